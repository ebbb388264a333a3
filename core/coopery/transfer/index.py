"""Making an index of images that are in registries, and pushing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coopery import ports
from coopery.errors import CooperyError, Interrupted, UsageError, several
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index
from coopery.oci.reference import Reference
from coopery.ports import Progress, Registry
from coopery.transfer.content import Document, gather, is_image
from coopery.transfer.destinations import to_repository
from coopery.transfer.merge import merge, unchanged
from coopery.transfer.sources import RegistrySource, config_of


@dataclass(frozen=True, slots=True)
class _Part:
    """A manifest of the index, and where it is read from."""

    source: RegistrySource
    document: Document  # with the platform, as the index lists it


class IndexMaker:
    """One index, from the images it is made of to the names it is pushed under."""

    def __init__(self, access: tuple[ports.Source, Registry], progress: Progress) -> None:
        """`access` is how registries are read from and written to."""
        self._pulled_from, self._registry = access
        self._progress = progress
        self._parts: dict[Digest, _Part] = {}

    def make(
        self, references: Sequence[Reference], annotations: Mapping[str, str], append_to: Sequence[Reference]
    ) -> Document:
        """The index of the images, and of the manifests of the indexes, that `references` name.

        What the names in `append_to` have already, if they are there, comes first. Of two images for one platform the
        later stays. UsageError if there is nothing to put into it.
        """
        there = [name for name in append_to if self._registry.head(name) is not None]
        tops = [self._read(RegistrySource(self._registry, name)) for name in there]
        tops += [self._read(RegistrySource(self._pulled_from, name)) for name in references]
        same = unchanged(tops, annotations)
        if same:
            return same
        entries = [entry for top in tops for entry in _entries(top)]
        if not entries:
            raise UsageError("there is nothing to put into the index", hint="name the images it is to list")
        return Document.make(merge(entries, annotations))

    def push(self, index: Document, names: Sequence[Reference]) -> None:
        """Push what `make` gave under `names`. The images come first, mounted or copied into each repository that
        hasn't got them. Where a name fails the others are served all the same; then the failures are raised as one.
        """
        failures: list[tuple[str, CooperyError]] = []
        for name in names:
            step = self._progress.step(f"pushing {name}")
            step.start()
            try:
                self._push(index, name, step)
            except CooperyError as error:
                step.failed(error.message)
                if isinstance(error, Interrupted):
                    raise
                failures.append((str(name), error))
            else:
                step.done()
        if failures:
            raise several(failures, len(names), "names")

    def _push(self, index: Document, name: Reference, step: ports.StepProgress) -> None:
        assert isinstance(index.value, Index)
        for entry in index.value.manifests:
            part = self._parts[entry.digest]
            content = gather(part.document, part.source.manifest)
            to_repository(self._registry, name, content.documents, part.source, step)
        self._registry.push_manifest(name, index.descriptor, index.data)
        step.status(f"index {index.descriptor.digest} pushed as {name}")

    def _read(self, source: RegistrySource) -> Document:
        """What is at `source`; a single image comes with the platform that its configuration says."""
        top = source.top()
        if isinstance(top.value, Index):
            for entry in top.value.manifests:
                self._parts[entry.digest] = _Part(source, Document.read(entry, source.manifest(entry)))
            return top
        platform = ImageConfig.parse(config_of(source, top.value)).platform if is_image(top.value) else None
        listed = replace(top, descriptor=replace(top.descriptor, platform=platform))
        self._parts[listed.descriptor.digest] = _Part(source, listed)
        return listed


def _entries(top: Document) -> Sequence[Descriptor]:
    return top.value.manifests if isinstance(top.value, Index) else (top.descriptor,)


def check_names(names: Sequence[Reference]) -> None:
    """UsageError if the index can't be pushed under these names."""
    if any(name.digest for name in names):
        raise UsageError("an index can't be pushed to a digest", hint="give a tag: --tag REGISTRY/NAME:TAG")
