"""Which layers get an EROFS index, and which must be unpacked."""

from __future__ import annotations

import struct

import pytest

from coopery.archive.erofs import Unsupported, build_index
from coopery.tree.entry import Entry, Kind

TAR_SIZE = 1 << 20


def file(path: bytes, **fields: object) -> Entry:
    return Entry(path, Kind.FILE, 0o644, 0, 0, 100, offset=512)._replace(**fields)


def directory(path: bytes, **fields: object) -> Entry:
    return Entry(path, Kind.DIRECTORY, 0o755, 0, 0)._replace(**fields)


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, Kind.HARDLINK, 0o644, 0, 0, link=target)


UNSUPPORTED = {
    "contents off a block": [file(b"f", offset=513)],
    "contents nowhere": [file(b"f", offset=-1)],
    "contents beyond the tar": [file(b"f", offset=TAR_SIZE)],
    "contents past the tar's end": [file(b"f", offset=TAR_SIZE - 512, size=513)],
    "a negative size": [file(b"f", size=-1)],
    "a user id of 33 bits": [file(b"f", uid=1 << 32)],
    "a negative group id": [directory(b"d", gid=-1)],
    "a time of 65 bits": [file(b"f", mtime_ns=(1 << 63) * 10**9)],
    "an ACL": [file(b"f", xattrs=((b"system.posix_acl_access", b"\2\0\0\0"),))],
    "an attribute of no known kind": [file(b"f", xattrs=((b"btrfs.compression", b"zstd"),))],
    "an attribute without a name": [file(b"f", xattrs=((b"user.", b""),))],
    "an attribute of a long name": [file(b"f", xattrs=((b"user." + b"n" * 256, b""),))],
    "an attribute of a long value": [file(b"f", xattrs=((b"user.n", bytes(65536)),))],
    "attributes beyond the inode's count": [
        file(b"f", xattrs=tuple((b"user.%d" % n, bytes(60_000)) for n in range(5)))
    ],
    "a hard link into another layer": [link(b"l", b"elsewhere")],
    "a hard link before its file": [link(b"l", b"f"), file(b"f")],
    "a hard link to a directory": [directory(b"d"), link(b"l", b"d")],
    "a hard link to a whiteout": [file(b".wh.f", size=0), link(b"l", b".wh.f")],
    "a missing parent": [file(b"d/f")],
    "a parent that comes later": [file(b"d/f"), directory(b"d")],
    "a file as a parent": [file(b"d"), file(b"d/f")],
    "a name twice": [file(b"f"), file(b"f")],
    "a long name": [file(b"n" * 256)],
    "a dot": [file(b".")],
    "two dots": [directory(b"d"), file(b"d/..")],
    "an empty name": [directory(b"d"), file(b"d/")],
    "a root that is a file": [file(b"")],
    "a whiteout of nothing": [file(b".wh.", size=0)],
    "a whiteout of a dot": [file(b".wh..", size=0)],
    "a whiteout of two dots": [file(b".wh...", size=0)],
    "a whiteout that is a directory": [directory(b".wh.d")],
    "an empty link": [Entry(b"l", Kind.SYMLINK, 0o777, 0, 0)],
    "a link of more than a page": [Entry(b"l", Kind.SYMLINK, 0o777, 0, 0, link=b"t" * 4096)],
    "a device's number": [Entry(b"c", Kind.CHARACTER, 0o600, 0, 0, device=(1 << 12, 0))],
    "a device's minor number": [Entry(b"c", Kind.BLOCK, 0o600, 0, 0, device=(0, 1 << 20))],
}


@pytest.mark.parametrize("entries", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_what_must_be_unpacked(entries: list[Entry]) -> None:
    with pytest.raises(Unsupported):
        build_index(entries, TAR_SIZE)


def test_tars_beyond_the_address_space() -> None:
    build_index([file(b"f")], 2**40)
    with pytest.raises(Unsupported):
        build_index([file(b"f")], 2**41)


def test_equal_layers_give_equal_indexes() -> None:
    entries = [directory(b"d"), file(b"d/f"), link(b"l", b"d/f"), file(b".wh.x", size=0)]
    assert build_index(entries, TAR_SIZE) == build_index(list(entries), TAR_SIZE)
    assert build_index(entries, TAR_SIZE) != build_index([directory(b"d", mtime_ns=1), *entries[1:]], TAR_SIZE)


def test_an_empty_layer_has_an_index() -> None:
    image = build_index([], 1024)
    assert len(image) % 512 == 0
    assert struct.unpack_from("<I", image, 1024) == (0xE0F5E1E2,)


def test_the_order_of_attributes_does_not_matter() -> None:
    one, two = (b"user.a", b"1"), (b"user.b", b"2")
    assert build_index([file(b"f", xattrs=(one, two))], TAR_SIZE) == build_index(
        [file(b"f", xattrs=(two, one))], TAR_SIZE
    )
