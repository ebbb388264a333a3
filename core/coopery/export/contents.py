"""What a result is made of, as values: the blobs of an image, or of an index of several images, and what names them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import BinaryIO

from coopery.export.destination import BlobOpener
from coopery.oci.descriptor import DOCKER_INDEX, OCI_INDEX, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.manifest import Index
from coopery.oci.platform import Platform

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob to be written; `what` names it in errors."""

    what: str
    descriptor: Descriptor
    opener: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A serialized manifest or index, with its descriptor."""

    descriptor: Descriptor
    data: bytes

    @property
    def blob(self) -> Blob:
        """The manifest as one more blob, as image layouts have it."""
        return Blob("manifest", self.descriptor, lambda: io.BytesIO(self.data))


@dataclass(frozen=True, slots=True)
class Contents:
    """All that makes up a result: first what is named, then what names it."""

    blobs: tuple[Blob, ...]  # layers and configurations, each once
    manifests: tuple[Manifest, ...]  # those that `top` lists, if it is an index
    top: Manifest
    annotations: Mapping[str, str]  # of `top`
    platform: Platform | None = None  # of the one image

    @property
    def entry(self) -> Descriptor:
        """What the index of a layout says of the result."""
        return replace(self.top.descriptor, platform=self.platform)

    @property
    def everything(self) -> tuple[Blob, ...]:
        """The files of a layout, in the order in which they may be written."""
        return *self.blobs, *(manifest.blob for manifest in (*self.manifests, self.top))


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """An image as an index has it."""

    platform: Platform
    image: Image
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    entry_annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)  # in the index


def image_contents(
    image: Image, blob: BlobOpener, *, docker_types: bool = False, annotations: Mapping[str, str] | None = None
) -> Contents:
    """The image and what it is made of; `blob` opens its layers as they are transported."""
    manifest, config = image.manifest(docker=docker_types, annotations=annotations)
    data = manifest.serialize()
    blobs = {layer.digest: Blob("layer", layer, _opener(blob, layer.digest)) for layer in manifest.layers}
    blobs[manifest.config.digest] = Blob("configuration", manifest.config, lambda: io.BytesIO(config))
    top = Manifest(Descriptor(manifest.media_type, Digest.of(data), len(data)), data)
    return Contents(tuple(blobs.values()), (), top, manifest.annotations, image.config.platform)


def index_contents(
    images: Sequence[IndexedImage],
    blob: BlobOpener,
    *,
    docker_types: bool = False,
    annotations: Mapping[str, str] | None = None,
) -> Contents:
    """The index of `images`, in their order, and what they are made of; `annotations` are the index's own.

    An entry's platform is what was asked for, as with BuildKit (exporter/containerimage/writer.go), whatever the
    image's configuration says.
    """
    blobs: dict[Digest, Blob] = {}
    manifests: list[Manifest] = []
    for one in images:
        contents = image_contents(one.image, blob, docker_types=docker_types, annotations=one.annotations)
        blobs |= {each.descriptor.digest: each for each in contents.blobs}
        descriptor = replace(contents.top.descriptor, platform=one.platform, annotations=one.entry_annotations)
        manifests.append(Manifest(descriptor, contents.top.data))
    media_type = DOCKER_INDEX if docker_types else OCI_INDEX
    index = Index(tuple(manifest.descriptor for manifest in manifests), media_type, dict(annotations or {}))
    data = index.serialize()
    top = Manifest(Descriptor(media_type, Digest.of(data), len(data)), data)
    return Contents(tuple(blobs.values()), tuple(manifests), top, index.annotations)


def _opener(blob: BlobOpener, digest: Digest) -> Callable[[], BinaryIO]:
    return lambda: blob(digest)
