"""Pushes an image to registries."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from coopery.export.destination import BlobOpener
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.reference import Reference
from coopery.ports import Registry, StepProgress

if TYPE_CHECKING:
    from concurrent.futures import Executor

#: How many blobs are on their way at once.
CONCURRENCY = 5


@dataclass(frozen=True, slots=True)
class Pushed:
    """A name under which a registry now has the image."""

    reference: Reference
    descriptor: Descriptor


def push(
    registry: Registry,
    image: Image,
    references: Sequence[Reference],
    blob: BlobOpener,
    *,
    step: StepProgress,
    mount_from: Sequence[Reference] = (),
    docker_types: bool = False,
    annotations: Mapping[str, str] | None = None,
    pool: Executor | None = None,
) -> list[Pushed]:
    """Push the image under all of `references`, which may be in several repositories and registries.

    Each blob goes once to each repository, and is mounted where the registry has it elsewhere: in one of `mount_from`,
    or in a repository served before. Manifests come last, in the order of `references`, when every blob is everywhere:
    if something fails, no name has changed. `pool` must not be one that the caller itself runs in. Raises what the
    registry client raises: RegistryError and its subclasses, NetworkError, IntegrityError.
    """
    manifest, config = image.manifest(docker=docker_types, annotations=annotations)
    data = manifest.serialize()
    descriptor = Descriptor(manifest.media_type, Digest.of(data), len(data))
    blobs: dict[Digest, tuple[str, Descriptor, Callable[[], BinaryIO]]] = {}
    for layer in manifest.layers:
        if not layer.urls:  # a layer with addresses of its own is not for distribution
            blobs[layer.digest] = ("layer", layer, _opener(blob, layer.digest))
    blobs[manifest.config.digest] = ("configuration", manifest.config, lambda: io.BytesIO(config))

    named = [reference.or_latest() for reference in references]
    registries: dict[str, dict[str, Reference]] = {}
    for reference in named:
        registries.setdefault(reference.registry, {}).setdefault(reference.repository, reference)

    def push_blob(what: str, wanted: Descriptor, opener: Callable[[], BinaryIO], host: str) -> None:
        sources = [source for source in mount_from if source.registry == host]
        for repository, reference in registries[host].items():
            others = [source for source in sources if source.repository != repository]
            outcome = registry.push_blob(reference, wanted, opener, others)
            step.status(f"{what} {_short(wanted.digest)} {_OUTCOMES[outcome]} {reference.name}")
            # From now on this repository is the surest place to mount it from.
            sources.insert(0, reference)

    jobs = [(what, wanted, opener, host) for what, wanted, opener in blobs.values() for host in registries]
    _run(push_blob, jobs, pool)
    pushed = []
    for reference in named:
        registry.push_manifest(reference, descriptor, data)
        step.status(f"manifest {descriptor.digest} pushed as {reference}")
        pushed.append(Pushed(reference, descriptor))
    return pushed


_OUTCOMES = {"exists": "is already in", "mounted": "mounted into", "uploaded": "uploaded to"}


def _opener(blob: BlobOpener, digest: Digest) -> Callable[[], BinaryIO]:
    return lambda: blob(digest)


def _short(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:12]}"


def _run(
    work: Callable[[str, Descriptor, Callable[[], BinaryIO], str], None],
    jobs: Sequence[tuple[str, Descriptor, Callable[[], BinaryIO], str]],
    pool: Executor | None,
) -> None:
    """Do all jobs at once; when one fails, those not begun are dropped and its error is raised after the others."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ExitStack() as stack:
        if pool is None:
            pool = stack.enter_context(ThreadPoolExecutor(min(CONCURRENCY, len(jobs) or 1), "coopery-push"))
        futures = [pool.submit(work, *job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
        wait(futures)
        for future in done:
            future.result()
