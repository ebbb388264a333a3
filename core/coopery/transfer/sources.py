"""Where images are read from: registries, image layouts and docker archives."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from coopery import ports
from coopery.errors import IntegrityError, NotFound, UsageError
from coopery.export.blobs import blob_path
from coopery.export.docker_archive import familiar
from coopery.export.oci_layout import FULL_NAME, REF_NAME
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    Descriptor,
)
from coopery.oci.digest import Digest
from coopery.oci.manifest import MAX_MANIFEST_SIZE, Index, Manifest
from coopery.oci.reference import Reference
from coopery.registry.fetch import MAX_CONFIG_SIZE
from coopery.transfer.content import Document
from coopery.transfer.files import Archive, Files, Folder, StreamFile, pieces, read
from coopery.transfer.places import Place
from coopery.transfer.scratch import Scratch


class Source(Protocol):
    """An image or index that can be read. Safe to use from any thread."""

    #: The repositories it may be in, from which a registry can mount blobs; none outside of registries.
    origins: Sequence[Reference]
    #: Whether its layers lie there as tars only for want of a registry, and are to be compressed on their way to one.
    unpacked: bool

    def top(self) -> Document:
        """What is there under the name that was asked for."""

    def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest that `top` leads to, verified."""

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A blob's bytes. They aren't verified here: whoever writes them somewhere does that."""


def config_of(source: Source, manifest: Manifest) -> bytes:
    """An image's configuration, verified. IntegrityError if it is too large to be one."""
    if manifest.config.size > MAX_CONFIG_SIZE:
        raise IntegrityError(f"the configuration {manifest.config.digest} is larger than {MAX_CONFIG_SIZE} bytes")
    with source.open(manifest.config) as file:
        data = b"".join(pieces(file))
    return manifest.config.digest.check(data, "the configuration")


@contextmanager
def opened(place: Place, registry: ports.Source, scratch: Scratch) -> Iterator[Source]:
    """The image at `place`; `scratch` is for temporary files. UsageError if nothing is there that could be read."""
    with ExitStack() as stack:
        if place.reference and place.kind == "docker":
            yield RegistrySource(registry, place.reference)
            return
        files: Files
        if place.kind == "oci":
            files = Folder(place.path)
        else:
            files = archive = Archive(place.path, scratch)
            stack.callback(archive.close)
        yield DockerArchiveSource(files, place) if place.kind == "docker-archive" else LayoutSource(files, place)


class RegistrySource:
    """A name in a registry."""

    unpacked = False

    def __init__(self, registry: ports.Source, reference: Reference) -> None:
        self._registry = registry
        self.origins = registry.places(reference)
        self._name = reference

    def top(self) -> Document:
        """See `Source`."""
        return Document.read(*self._registry.manifest(self._name))

    def manifest(self, descriptor: Descriptor) -> bytes:
        """See `Source`."""
        return self._registry.manifest(self._name.at(descriptor.digest))[1]

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """See `Source`."""
        return cast(BinaryIO, StreamFile(self._registry.blob(self._name, descriptor)))


class LayoutSource:
    """A name in an image layout (OCI image specification, image-layout.md)."""

    unpacked = False
    origins: Sequence[Reference] = ()

    def __init__(self, files: Files, place: Place) -> None:
        self._files = files
        self._place = place

    def top(self) -> Document:
        """See `Source`. NotFound if the layout has no such name, UsageError if one of several has to be chosen."""
        index = Document.read(*_whole(read(self._files, "index.json", MAX_MANIFEST_SIZE))).value
        if not isinstance(index, Index):
            raise IntegrityError(f"the index.json of {self._place.path} is not an index")
        entry = _chosen(index.manifests, self._place)
        return Document.read(entry, self.manifest(entry))

    def manifest(self, descriptor: Descriptor) -> bytes:
        """See `Source`."""
        data = read(self._files, blob_path(descriptor.digest), MAX_MANIFEST_SIZE)
        return descriptor.digest.check(data, "a manifest in the layout")

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """See `Source`."""
        return self._files.open(blob_path(descriptor.digest))


def _whole(data: bytes) -> tuple[Descriptor, bytes]:
    return Descriptor("", Digest.of(data), len(data)), data


def _chosen(entries: Sequence[Descriptor], place: Place) -> Descriptor:
    names = sorted({entry.annotations[REF_NAME] for entry in entries if REF_NAME in entry.annotations})
    there = f"it has {', '.join(names)}" if names else "none of its images has a name"
    if place.name:
        for key in (REF_NAME, FULL_NAME):
            for entry in entries:
                if entry.annotations.get(key) == place.name:
                    return entry
        raise NotFound(f"{place.path} has no image called {place.name}", hint=there)
    digests = {entry.digest for entry in entries}
    if not digests:
        raise NotFound(f"the image layout {place.path} is empty")
    if len(digests) > 1:
        raise UsageError(f"{place.path} has {len(digests)} images", hint=f"choose one by name after a colon: {there}")
    return entries[0]


@dataclass(frozen=True, slots=True)
class _Saved:
    """One image of a docker archive's manifest.json."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


class DockerArchiveSource:
    """An image in what `docker save` writes (Docker image specification 1.2), whether or not its layers are compressed.

    There is no manifest in it, so one is made: for the files as they are, in Docker's media types.
    """

    unpacked = True
    origins: Sequence[Reference] = ()

    def __init__(self, files: Files, place: Place) -> None:
        self._files = files
        self._place = place
        self._paths: dict[Digest, str] = {}
        self._top: Document | None = None

    def top(self) -> Document:
        """See `Source`. NotFound and UsageError as with layouts."""
        if self._top is None:
            saved = self._chosen(_saved(read(self._files, "manifest.json", MAX_MANIFEST_SIZE)))
            config = read(self._files, saved.config, MAX_CONFIG_SIZE)
            diff_ids = ImageConfig.parse(config).diff_ids
            if len(diff_ids) != len(saved.layers):
                raise IntegrityError(
                    f"{self._place.path} has {len(saved.layers)} layers, but its configuration lists {len(diff_ids)}"
                )
            layers = tuple(self._layer(path, diff_id) for path, diff_id in zip(saved.layers, diff_ids, strict=True))
            described = Descriptor(DOCKER_CONFIG, Digest.of(config), len(config))
            self._paths[described.digest] = saved.config
            self._top = Document.make(Manifest(described, layers, DOCKER_MANIFEST))
        return self._top

    def manifest(self, descriptor: Descriptor) -> bytes:
        """See `Source`."""
        return self.top().data

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """See `Source`."""
        return self._files.open(self._paths[descriptor.digest])

    def _layer(self, path: str, diff_id: Digest) -> Descriptor:
        with self._files.open(path) as file:
            start = file.read(4)
            size = file.seek(0, os.SEEK_END)
            media_type = DOCKER_LAYER
            digest = diff_id  # what isn't compressed is its own tar
            if start.startswith(b"\x1f\x8b"):
                media_type = DOCKER_LAYER_GZIP
            elif start == b"\x28\xb5\x2f\xfd":
                media_type = DOCKER_LAYER_ZSTD
            if media_type != DOCKER_LAYER:
                file.seek(0)
                state = hashlib.sha256()
                for piece in pieces(file):
                    state.update(piece)
                digest = Digest("sha256", state.hexdigest())
        self._paths[digest] = path
        return Descriptor(media_type, digest, size)

    def _chosen(self, images: Sequence[_Saved]) -> _Saved:
        names = sorted({tag for image in images for tag in image.tags})
        there = f"it has {', '.join(names)}" if names else "none of its images has a name"
        place = self._place
        if place.reference:
            wanted = (familiar(place.reference), str(place.reference))
            for image in images:
                if any(tag in wanted for tag in image.tags):
                    return image
            raise NotFound(f"{place.path} has no image called {familiar(place.reference)}", hint=there)
        if len(images) != 1:
            hint = f"choose one by name after a colon: {there}"
            raise UsageError(f"{place.path} has {len(images)} images", hint=hint)
        return images[0]


def _saved(data: bytes) -> list[_Saved]:
    try:
        value: Any = json.loads(data)
        return [
            _Saved(str(image["Config"]), tuple(map(str, image.get("RepoTags") or ())), tuple(map(str, image["Layers"])))
            for image in value
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"malformed manifest.json in a docker archive: {error!r}") from error
