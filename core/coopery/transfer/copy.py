"""Copying an image or an index, from one place to one or more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from coopery import ports
from coopery.errors import CooperyError, Interrupted, NotFound, UsageError, several
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import Descriptor
from coopery.oci.manifest import Index
from coopery.oci.platform import Platform, host
from coopery.oci.reference import Reference
from coopery.ports import Progress, Registry, StepProgress
from coopery.transfer.content import Content, Document, choose, gather
from coopery.transfer.destinations import to_docker_archive, to_layout, to_registry
from coopery.transfer.places import Place
from coopery.transfer.scratch import Scratch
from coopery.transfer.sources import Source, config_of, opened
from coopery.transfer.unpacking import Compressed


@dataclass(frozen=True, slots=True)
class Copied:
    """A place that now has the image, and what it calls it."""

    place: Place
    descriptor: Descriptor


def copy(
    access: tuple[ports.Source, Registry],
    source: Place,
    destinations: Sequence[Place],
    scratch: Scratch,
    progress: Progress,
    *,
    platform: Platform | None = None,
    every: bool = False,
) -> list[Copied]:
    """Copy what is at `source` to all `destinations`, one after the other. `access` is how registries are read from and
    written to, `scratch` is for temporary files.

    Of an index the image for `platform` is copied (None: this machine's), or with `every` the whole of it. Manifests
    keep their bytes, and so their digests, where the destination takes their media types. Where a destination fails
    the others are served all the same; then the failures are raised as one error of the first one's class.
    """
    check(source, destinations, every)
    pulled_from, registry = access
    with ExitStack() as stack:
        place: Source = stack.enter_context(opened(source, pulled_from, scratch))
        if place.unpacked and any(one.kind != "docker-archive" for one in destinations):
            place = Compressed(place, scratch)
        content = select(place, str(source), platform, every)
        copied: list[Copied] = []
        failures: list[tuple[str, CooperyError]] = []
        for destination in destinations:
            step = progress.step(f"copying {source} to {destination}")
            step.start()
            near = [one.place.reference for one in copied if one.place.reference]
            try:
                descriptor = _write(registry, destination, content, place, scratch, step, near)
            except CooperyError as error:
                step.failed(error.message)
                if isinstance(error, Interrupted):
                    raise
                failures.append((str(destination), error))
            else:
                step.done()
                copied.append(Copied(destination, descriptor))
    if failures:
        raise several(failures, len(destinations), "destinations")
    return copied


def check(source: Place, destinations: Sequence[Place], every: bool) -> None:
    """UsageError for what can't be copied, before anything is read."""
    for destination in destinations:
        if every and destination.kind == "docker-archive":
            hint = "leave --all out, or write an image layout: oci-archive:FILE"
            raise UsageError(f"{destination}: a docker archive takes one image, not a whole index", hint=hint)
        if destination.kind != "docker" and destination.path == source.path and source.kind != "oci":
            raise UsageError(f"{destination} is what is to be copied")
        if destinations.count(destination) > 1:
            raise UsageError(f"{destination} is given twice")


def select(source: Source, what: str, platform: Platform | None, every: bool) -> Content:
    """What is to be copied of a source that is called `what`. NotFound if it has nothing for the platform."""
    top = source.top()
    if every:
        return gather(top, source.manifest)
    return Content((for_platform(source, top, what, platform),))


def for_platform(source: Source, top: Document, what: str, platform: Platform | None) -> Document:
    """The image for `platform` (None: this machine's, or whatever there is if there is no choice)."""
    chosen = choose(top, platform or host(), source.manifest, what)
    if platform and chosen is top and not isinstance(top.value, Index):
        there = ImageConfig.parse(config_of(source, top.value)).platform
        if not there.satisfies(platform):
            raise NotFound(f"{what} is for {there}, not for {platform}", hint="choose another with --platform")
    return chosen


def _write(
    registry: Registry,
    place: Place,
    content: Content,
    source: Source,
    scratch: Scratch,
    step: StepProgress,
    near: Sequence[Reference],
) -> Descriptor:
    if place.kind == "docker":
        assert place.reference is not None
        to_registry(registry, place.reference, content, source, step, near)
        return content.top.descriptor
    if place.kind == "docker-archive":
        return to_docker_archive(place, content, source, scratch)
    return to_layout(place, content, source)
