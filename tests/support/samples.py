"""A small image made of Coopery's own values, with its blobs in memory: what export tests write out."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from coopery.archive.tar_writer import TarWriter
from coopery.export.contents import Contents, image_contents
from coopery.oci.config import HistoryEntry, ImageConfig
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image, Layer
from coopery.oci.platform import Platform
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Tree

File = tuple[Entry, bytes]


def file(path: str, data: bytes = b"", mode: int = 0o644, **rest: object) -> File:
    entry = Entry(path.encode(), Kind.FILE, mode, 0, 0, len(data), 1_600_000_000 * 10**9)
    return entry._replace(**rest), data


def other(path: str, kind: Kind, mode: int = 0o755, link: str = "", **rest: object) -> File:
    entry = Entry(path.encode(), kind, mode, 0, 0, 0, 1_600_000_000 * 10**9, link.encode())
    return entry._replace(**rest), b""


@dataclass
class Sample:
    """An image, its blobs by digest, its tars by diff ID, and its merged tree."""

    image: Image
    tree: Tree
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    tars: dict[Digest, bytes] = field(default_factory=dict)

    @property
    def contents(self) -> Contents:
        return image_contents(self.image, self.blob)

    def blob(self, digest: Digest) -> BinaryIO:
        return io.BytesIO(self.blobs[digest])

    def tar(self, diff_id: Digest) -> BinaryIO:
        return io.BytesIO(self.tars[diff_id])


def sample(layers: Sequence[Sequence[File]]) -> Sample:
    """An image for linux/amd64 with these layers, lowest first."""
    result = Sample(Image(ImageConfig(Platform("linux", "amd64"), cmd=("/bin/sh",))), Tree.empty())
    for number, files in enumerate(layers):
        data = bytearray()
        writer = TarWriter(data.extend)
        entries = [writer.add(entry, io.BytesIO(contents)) for entry, contents in files]
        writer.close()
        diff_id, blob = Digest.of(data), gzip.compress(data, mtime=0)
        result.tars[diff_id] = bytes(data)
        result.blobs[Digest.of(blob)] = blob
        layer = Layer(Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob)), diff_id)
        result.image = result.image.append(layer, HistoryEntry(f"layer {number}", "2020-01-01T00:00:00Z"))
        result.tree = result.tree.apply(entries, diff_id)
    return result


def small() -> Sample:
    """Two layers: what can be in a tree, and a second layer that removes, replaces and adds."""
    return sample(
        [
            [
                other("bin", Kind.DIRECTORY),
                file("bin/tool", b"#!/bin/sh\n" * 300, 0o4755),
                other("bin/same", Kind.HARDLINK, link="bin/tool"),
                other("bin/link", Kind.SYMLINK, 0o777, link="tool"),
                other("etc", Kind.DIRECTORY, 0o700),
                file("etc/gone", b"removed later"),
                file("etc/kept", b"kept", 0o640, uid=7, gid=8),
                other("var", Kind.DIRECTORY),
                other("var/pipe", Kind.FIFO, 0o600),
                file("var/replaced", b"old"),
            ],
            [
                other("etc", Kind.DIRECTORY, 0o750),
                file("etc/.wh.gone"),
                other("var", Kind.DIRECTORY),
                file("var/replaced", b"new contents"),
                file("var/" + "x" * 150 + "/ä".replace("/", "_"), b"long name"),
            ],
        ]
    )
