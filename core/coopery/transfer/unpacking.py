"""Layers unpacked for docker archives, and compressed for everybody else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import BinaryIO

from coopery.archive.compress import Codec, compress_file
from coopery.archive.decompress import decompress
from coopery.archive.hashing import HashingWriter
from coopery.errors import IntegrityError
from coopery.oci.descriptor import DOCKER_LAYER, DOCKER_TYPE_OF, OCI_LAYER, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.transfer.content import Content, Document
from coopery.transfer.files import pieces
from coopery.transfer.scratch import Scratch
from coopery.transfer.sources import Source

_LARGEST_LAYER = 1 << 40  # bytes unpacked


def unpack(
    source: Source, layers: Sequence[Descriptor], diff_ids: Sequence[Digest], scratch: Scratch
) -> list[Descriptor]:
    """Unpack layers into files of `scratch`, named by the digits of their diff IDs; returns descriptors of the tars.

    IntegrityError if one isn't what its digest or its diff ID says.
    """
    found = []
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        path = os.path.join(scratch.path, diff_id.hex)
        if not os.path.exists(path):
            _unpack(source, layer, diff_id, path)
        found.append(Descriptor(OCI_LAYER, diff_id, os.stat(path).st_size))
    return found


def _unpack(source: Source, layer: Descriptor, diff_id: Digest, path: str) -> None:
    with source.open(layer) as file, open(f"{path}.part", "wb") as out:
        packed = HashingWriter(lambda _: None)

        def chunks() -> Iterator[bytes]:
            for piece in pieces(file):
                packed.write(piece)
                yield piece

        writer = HashingWriter(out.write)
        for piece in decompress(chunks(), layer.media_type, max_output=_LARGEST_LAYER):
            writer.write(piece)
    if writer.digest != diff_id:
        raise IntegrityError(f"layer {layer.digest} unpacks to {writer.digest}, the configuration says {diff_id}")
    if packed.size != layer.size or (layer.digest.algorithm == "sha256" and packed.digest != layer.digest):
        raise IntegrityError(f"layer {layer.digest} has digest {packed.digest} and {packed.size} bytes")
    os.rename(f"{path}.part", path)


class Compressed:
    """A source whose layers are compressed with gzip where they lie as plain tars."""

    unpacked = False
    origins: Sequence[Reference] = ()

    def __init__(self, source: Source, scratch: Scratch) -> None:
        self._source = source
        self._scratch = scratch
        self._paths: dict[Digest, str] = {}
        self._top: Document | None = None

    def top(self) -> Document:
        """See `Source`."""
        if self._top is None:
            top = self._source.top()
            value = Content((top,)).image
            with ThreadPoolExecutor(os.cpu_count() or 1, "coopery-compress") as pool:
                layers = tuple(self._compress(layer, pool) for layer in value.layers)
            self._top = top if layers == value.layers else Document.make(replace(value, layers=layers))
        return self._top

    def manifest(self, descriptor: Descriptor) -> bytes:
        """See `Source`."""
        return self._source.manifest(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """See `Source`."""
        path = self._paths.get(descriptor.digest)
        return open(path, "rb") if path else self._source.open(descriptor)

    def _compress(self, layer: Descriptor, pool: ThreadPoolExecutor) -> Descriptor:
        if layer.media_type != DOCKER_LAYER:
            return layer
        unpack(self._source, [layer], [layer.digest], self._scratch)
        tar = os.path.join(self._scratch.path, layer.digest.hex)
        path = f"{tar}.gz"
        codec = Codec()
        with open(path, "wb") as out:
            digest, size = compress_file(tar, out.write, codec, pool)
        os.unlink(tar)
        self._paths[digest] = path
        return Descriptor(DOCKER_TYPE_OF[codec.media_type], digest, size)
