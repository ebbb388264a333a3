"""Images in image layouts on this machine, as named contexts bring them: `oci-layout://DIRECTORY[:TAG][@DIGEST]`.

They get references of a registry that can't exist, and are read as if they came from there (OCI image specification,
image-layout.md).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from coopery.errors import IntegrityError, NotFound, UsageError
from coopery.export.blobs import blob_path
from coopery.export.oci_layout import FULL_NAME, REF_NAME
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import MAX_MANIFEST_SIZE, Index, parse_manifest
from coopery.oci.reference import Reference
from coopery.ports import Source

SCHEME = "oci-layout://"
_REGISTRY = "oci-layout.invalid"
_PIECE = 1 << 20


def parse_name(name: str) -> Reference:
    """The reference of an image, which may lie in a layout. UsageError if the text isn't one."""
    return _in_layout(name)[0] if name.startswith(SCHEME) else Reference.parse(name)


def _in_layout(name: str) -> tuple[Reference, str]:
    """The reference that stands for an image in a layout, and the layout's directory."""
    place, at, digest_text = name.removeprefix(SCHEME).partition("@")
    path, _, tag = place.partition(":")
    try:
        digest = Digest.parse(digest_text) if at else None
    except IntegrityError as error:
        raise UsageError(f"{name}: {error.message}", hint=f"write {SCHEME}DIRECTORY@sha256:…") from None
    if not path:
        raise UsageError(
            f"{name} names no directory", hint=f"write {SCHEME}DIRECTORY:TAG or {SCHEME}DIRECTORY@sha256:…"
        )
    path = os.path.abspath(path)
    words = re.sub("[^a-z0-9]+", "-", os.path.basename(path).lower()).strip("-") or "layout"
    repository = f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}/{words[:80].strip('-')}"
    return Reference(_REGISTRY, repository, tag, digest), path


class WithLayouts:
    """`ports.Source` over another, for images of the layouts that a request names as well. Safe to use from any
    thread."""

    def __init__(self, source: Source, contexts: Mapping[str, str]) -> None:
        """UsageError for a layout that can't be read as one."""
        self._source = source
        self._directories: dict[str, str] = {}  # by the names of references
        for name, where in contexts.items():
            if where.startswith(SCHEME):
                reference, path = _in_layout(where)
                if not os.path.isfile(os.path.join(path, "index.json")):
                    hint = "an image layout is a directory with index.json and blobs in it, as `-o type=oci` writes it"
                    raise UsageError(f"--build-context {name}={where}: {path} is no image layout", hint=hint)
                self._directories[reference.name] = path

    def places(self, reference: Reference) -> Sequence[Reference]:
        """See ports.Source: what lies in layouts is in no registry."""
        return () if reference.name in self._directories else self._source.places(reference)

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """See ports.Source."""
        directory = self._directories.get(reference.name)
        if directory is None:
            return self._source.manifest(reference)
        listed = self._listed(directory)
        digest = reference.digest or _chosen(listed, reference, directory).digest
        data = _read(directory, blob_path(digest), f"the image layout {directory} has no {digest}")
        digest.check(data, f"a manifest in {directory}")
        known = next((entry.media_type for entry in listed if entry.digest == digest), "")
        return Descriptor(known or parse_manifest(data).media_type, digest, len(data)), data

    def head(self, reference: Reference) -> Descriptor | None:
        """See ports.Source."""
        if reference.name not in self._directories:
            return self._source.head(reference)
        try:
            return self.manifest(reference)[0]
        except NotFound:
            return None

    def blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """See ports.Source."""
        directory = self._directories.get(reference.name)
        if directory is None:
            return self._source.blob(reference, descriptor)
        return _blob(directory, descriptor)

    @staticmethod
    def _listed(directory: str) -> Sequence[Descriptor]:
        index = parse_manifest(_read(directory, "index.json", f"{directory} is no image layout"))
        if not isinstance(index, Index):
            raise IntegrityError(f"the index.json of {directory} is not an index")
        return index.manifests


def _chosen(listed: Sequence[Descriptor], reference: Reference, directory: str) -> Descriptor:
    """What a tag names; without one it is `latest`, or the only image that there is."""
    wanted = reference.tag or "latest"
    for entry in listed:
        if entry.annotations.get(REF_NAME) == wanted or entry.annotations.get(FULL_NAME, "").endswith(f":{wanted}"):
            return entry
    if wanted == "latest" and len({entry.digest for entry in listed}) == 1:
        return listed[0]
    names = sorted({entry.annotations[REF_NAME] for entry in listed if REF_NAME in entry.annotations})
    hint = f"it has {', '.join(names)}" if names else "choose an image by its digest: @sha256:…"
    raise NotFound(f"the image layout {directory} has no image called {wanted}", hint=hint)


def _read(directory: str, path: str, missing: str) -> bytes:
    try:
        with open(os.path.join(directory, path), "rb") as file:
            return file.read(MAX_MANIFEST_SIZE + 1)
    except OSError as error:
        raise NotFound(f"{missing}: {error.strerror}") from error


def _blob(directory: str, descriptor: Descriptor) -> Iterator[bytes]:
    hasher, size = hashlib.new(descriptor.digest.algorithm), 0
    try:
        with open(os.path.join(directory, blob_path(descriptor.digest)), "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
                size += len(piece)
                yield piece
    except OSError as error:
        raise NotFound(f"the image layout {directory} has no {descriptor.digest}: {error.strerror}") from error
    if size != descriptor.size or hasher.hexdigest() != descriptor.digest.hex:
        raise IntegrityError(f"{descriptor.digest} in {directory} isn't what its name says")
