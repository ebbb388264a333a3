"""`coopery ci merge`: what parallel jobs built for single platforms becomes one index under the real names."""

from __future__ import annotations

import time

from coopery.ci.intents import Intent, intents
from coopery.ci.logins import make_logins
from coopery.ci.parts import job_of, part_names, part_tag
from coopery.ci.registries import reaching
from coopery.ci.report import ImageResult
from coopery.ci.requests import annotations_for
from coopery.ci.run import Job
from coopery.ci.secrets import SecretStore
from coopery.ci.settings import Settings
from coopery.errors import NotFound, UsageError
from coopery.oci.descriptor import Descriptor
from coopery.oci.manifest import Index, Manifest, parse_manifest
from coopery.oci.reference import Reference
from coopery.ports import Progress, Source
from coopery.transfer.content import Document
from coopery.transfer.index import IndexMaker


def merge_all(job: Job, settings: Settings) -> None:
    """Join the parts of each target of `settings` that is for several platforms, and push the index.

    NotFound, naming the jobs, if parts are missing; UsageError if no target is for several platforms.
    """
    platform, revision = job.platform, job.ledger.revision
    planned = [
        intent
        for intent in intents(settings, revision, platform, now=job.now, push=job.options.push, merging=True)
        if len(intent.platforms) > 1
    ]
    if not planned:
        hint = "list them in `platforms`, in coopery.yaml"
        raise UsageError("no target is for several platforms: there is nothing to merge", hint=hint)
    store = SecretStore(platform, job.environ, job.masks.text)
    logins = make_logins(settings.registries, platform, store)
    registries = reaching(settings.registries, job.options.registries)
    for intent in planned:
        job.ledger.target = intent.target.name
        if not intent.push:
            job.notice(intent.why or f"{intent.target.title} isn't pushed: there is nothing to merge")
            continue
        with platform.group(f"Merge {intent.target.title}"):
            board = job.board()
            try:
                with job.engine.access(job.environ, registries, job.masks.add, board.warn, logins) as (_, registry):
                    # Mirrors have no business here: parts are where they were just pushed.
                    maker = IndexMaker((registry, registry), board)
                    job.ledger.images.append(_merge(job, intent, maker, registry, board))
            finally:
                board.close()
    job.ledger.target = ""


def _merge(job: Job, intent: Intent, maker: IndexMaker, source: Source, progress: Progress) -> ImageResult:
    started = time.monotonic()
    target, revision = intent.target, job.ledger.revision
    step = progress.step(f"looking for the parts of {target.title}")
    step.start()
    parts, missing = [], []
    for platform in intent.platforms:
        # All parts are in all repositories: the first one's are read.
        reference = Reference.parse(part_names(intent.names, part_tag(target, revision, platform))[0])
        if _is_there(source, reference):
            parts.append(reference)
        else:
            missing.append((platform, reference))
    if missing:
        lines = [f"{platform}: {reference}, by `{job_of(platform)}`" for platform, reference in missing]
        step.failed("parts are missing")
        raise NotFound(
            f"{target.title} can't be merged, parts are missing:\n  " + "\n  ".join(lines),
            hint="each of these jobs has to end well, for the same commit and with the same settings, before this one",
        )
    step.done()
    wanted = annotations_for(target, intent.naming, indexed=True)
    annotations = {each.key: each.value for each in wanted if each.level == "index"}
    index = maker.make(parts, annotations, ())
    maker.push(index, [Reference.parse(name) for name in intent.names])
    return ImageResult(
        target=target.name,
        platforms=_platforms(index) or intent.platforms,
        names=intent.names,
        version=intent.naming.version,
        pushed=True,
        digest=str(index.descriptor.digest),
        image_id="",
        media_type=index.descriptor.media_type,
        manifest_size=index.descriptor.size,
        size=_size(index, parts, source),
        seconds=time.monotonic() - started,
        labels=dict(intent.naming.labels),
        annotations=annotations,
    )


def _is_there(source: Source, reference: Reference) -> bool:
    try:
        return source.head(reference) is not None
    except NotFound:
        return False


def _platforms(index: Document) -> tuple[str, ...]:
    assert isinstance(index.value, Index)
    return tuple(str(entry.platform) for entry in index.value.manifests if entry.platform)


def _size(index: Document, parts: list[Reference], source: Source) -> int:
    """Bytes of all blobs that the images have, each counted once."""
    assert isinstance(index.value, Index)
    blobs: dict[str, int] = {}
    for entry in index.value.manifests:
        _, data = source.manifest(parts[0].at(entry.digest))
        value = parse_manifest(data, entry.media_type)
        if isinstance(value, Manifest):
            found: tuple[Descriptor, ...] = (value.config, *value.layers)
            blobs |= {str(blob.digest): blob.size for blob in found}
    return sum(blobs.values())
