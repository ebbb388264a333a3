"""What is to be copied: manifests and the blobs they name. Pure but for the manifests that are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from coopery.errors import IntegrityError, NotFound
from coopery.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    OCI_TYPE_OF,
    Descriptor,
)
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index, Manifest, parse_manifest
from coopery.oci.platform import Platform

#: How deep indexes may lie within each other, and how many manifests one may lead to.
MAX_DEPTH = 4
MAX_DOCUMENTS = 4096

#: Gives the bytes of a manifest, verified.
Lookup = Callable[[Descriptor], bytes]

_DOCKER = (DOCKER_MANIFEST, DOCKER_INDEX)
_OCI_TYPES = {
    **OCI_TYPE_OF,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": OCI_LAYER.replace("layer.", "layer.nondistributable.")
    + "+gzip",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index, with the very bytes it came in."""

    descriptor: Descriptor
    data: bytes
    value: Manifest | Index

    @classmethod
    def read(cls, descriptor: Descriptor, data: bytes) -> Document:
        """The document in `data`; IntegrityError if it is malformed."""
        return cls(descriptor, data, parse_manifest(data, descriptor.media_type))

    @classmethod
    def make(cls, value: Manifest | Index, like: Descriptor | None = None) -> Document:
        """A document of our own; its descriptor has the platform and annotations of `like`."""
        data = value.serialize()
        descriptor = Descriptor(value.media_type, Digest.of(data), len(data))
        if like:
            descriptor = replace(descriptor, platform=like.platform, annotations=like.annotations)
        return cls(descriptor, data, value)


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that makes up an image or an index; each document comes before those that name it."""

    documents: tuple[Document, ...]

    @property
    def top(self) -> Document:
        """The document that is copied, which the others belong to."""
        return self.documents[-1]

    @property
    def children(self) -> tuple[Document, ...]:
        """All documents but the top."""
        return self.documents[:-1]

    @property
    def image(self) -> Manifest:
        """The manifest, if this is one image; IntegrityError otherwise."""
        if isinstance(self.top.value, Index):
            raise IntegrityError(f"{self.top.descriptor.digest} is an index where an image was expected")
        return self.top.value

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Layers and configurations, each once, without layers that are only to be had elsewhere."""
        return blobs_of(self.documents)


def blobs_of(documents: Iterable[Document]) -> tuple[Descriptor, ...]:
    """What the manifests among `documents` name, each once; layers with addresses of their own are not for copying."""
    found: dict[Digest, Descriptor] = {}
    for document in documents:
        if isinstance(document.value, Manifest):
            for blob in (*document.value.layers, document.value.config):
                if not blob.urls:
                    found.setdefault(blob.digest, blob)
    return tuple(found.values())


def is_image(manifest: Manifest) -> bool:
    """Whether this is an image, not another kind of artifact: those have configurations of types of their own."""
    return manifest.config.media_type in (OCI_CONFIG, DOCKER_CONFIG)


def gather(top: Document, look_up: Lookup) -> Content:
    """`top` with all that it leads to. IntegrityError if that is malformed or goes on for ever."""
    found: dict[Digest, Document] = {}

    def visit(document: Document, depth: int) -> None:
        if isinstance(document.value, Index):
            if depth > MAX_DEPTH:
                raise IntegrityError(f"indexes lie within each other more than {MAX_DEPTH} deep")
            for entry in document.value.manifests:
                if entry.digest not in found:
                    visit(_look_up(entry, look_up), depth + 1)
        found[document.descriptor.digest] = document
        if len(found) > MAX_DOCUMENTS:
            raise IntegrityError(f"the index leads to more than {MAX_DOCUMENTS} manifests")

    visit(top, 1)
    return Content(tuple(found.values()))


def choose(top: Document, platform: Platform, look_up: Lookup, what: str) -> Document:
    """The manifest for `platform`: `top` itself if that is one. NotFound, naming `what` and listing what there is."""
    offered: list[Platform] = []

    def search(document: Document, depth: int) -> Document | None:
        if isinstance(document.value, Manifest):
            return document
        chosen = document.value.select(platform)
        # An index that lists further indexes often doesn't say which platforms are in them.
        inner = [entry for entry in document.value.manifests if entry.media_type in INDEX_TYPES and not entry.platform]
        offered.extend(platforms_of(document.value.manifests))
        found = (search(_look_up(entry, look_up), depth + 1) for entry in ([chosen] if chosen else inner))
        return next((one for one in found if one), None) if depth < MAX_DEPTH else None

    found = search(top, 1)
    if found is None:
        names = sorted({str(one) for one in offered})
        raise NotFound(
            f"{what} has no {platform}; it offers {', '.join(names) or 'no platform at all'}",
            hint="choose another with --platform",
        )
    return found


def platforms_of(entries: Iterable[Descriptor]) -> Iterator[Platform]:
    """The platforms of `entries`, without those of attestations, which call themselves unknown/unknown."""
    return (entry.platform for entry in entries if entry.platform and entry.platform.os != "unknown")


def as_oci(content: Content) -> Content:
    """The same in OCI's media types, as image layouts want it. Documents that have them already keep their bytes."""
    changed: dict[Digest, Descriptor] = {}
    documents = []
    for document in content.documents:
        converted = _converted(document, changed)
        changed[document.descriptor.digest] = converted.descriptor
        documents.append(converted)
    return Content(tuple(documents))


def _converted(document: Document, changed: dict[Digest, Descriptor]) -> Document:
    value = document.value
    if isinstance(value, Manifest):
        if value.media_type not in _DOCKER:
            return document
        config = _retyped(value.config)
        layers = tuple(_retyped(layer) for layer in value.layers)
        new = replace(value, media_type=OCI_MANIFEST, config=config, layers=layers)
        return Document.make(new, document.descriptor)
    entries = tuple(
        replace(changed[entry.digest], platform=entry.platform, annotations=entry.annotations)
        for entry in value.manifests
    )
    if value.media_type not in _DOCKER and [one.digest for one in entries] == [one.digest for one in value.manifests]:
        return document
    return Document.make(replace(value, media_type=OCI_INDEX, manifests=entries), document.descriptor)


def _retyped(descriptor: Descriptor) -> Descriptor:
    return replace(descriptor, media_type=_OCI_TYPES.get(descriptor.media_type, descriptor.media_type))


def _look_up(entry: Descriptor, look_up: Lookup) -> Document:
    if entry.media_type not in INDEX_TYPES | MANIFEST_TYPES:
        raise IntegrityError(f"an index lists {entry.digest} as {entry.media_type[:100]!r}, which is no manifest")
    data = look_up(entry)
    if len(data) != entry.size:
        raise IntegrityError(f"an index lists {entry.digest} with {entry.size} bytes, but it has {len(data)}")
    return Document.read(entry, data)
