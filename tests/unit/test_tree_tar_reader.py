"""Tar headers by hand: forms that few writers make, and limits."""

from __future__ import annotations

import base64

import pytest

from coopery.archive import tar_reader
from coopery.archive.tar_reader import read_entries
from coopery.errors import IntegrityError
from coopery.tree.entry import Entry, Kind


def header(name: bytes = b"x", flag: bytes = b"0", size: int = 0, **fields: bytes) -> bytes:
    """A ustar header; fields by name replace what stands there."""
    places = {"mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "link": 157, "magic": 257, "prefix": 345}
    block = bytearray(512)
    block[: len(name)] = name
    defaults = {"mode": b"0000644\0", "uid": b"0000000\0", "gid": b"0000000\0", "mtime": b"%011o\0" % 0}
    values = {**defaults, "size": b"%011o\0" % size, "magic": b"ustar\x0000", **fields}
    for field, value in values.items():
        block[places[field] : places[field] + len(value)] = value
    block[156:157] = flag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    data = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        while length != len(b"%d %s=%s\n" % (length, key, value)):
            length = len(b"%d %s=%s\n" % (length, key, value))
        data += b"%d %s=%s\n" % (length, key, value)
    return header(b"PaxHeaders/x", flag, len(data)) + padded(data)


def one(*blocks: bytes) -> Entry:
    (entry,) = read_entries([b"".join(blocks) + bytes(1024)])
    return entry


def test_prefix_and_v7_directory() -> None:
    assert one(header(b"name", prefix=b"a/b")).path == b"a/b/name"
    assert one(header(b"dir/", b"\0", magic=bytes(8))).kind is Kind.DIRECTORY
    assert one(header(b"x" * 100)).path == b"x" * 100


@pytest.mark.parametrize("name", [b"/a/b", b"./a/b", b"a//b/", b"a/./b", b"//a/b//", b"././a/b/."])
def test_paths_are_cleaned(name: bytes) -> None:
    assert one(header(name, b"5")).path == b"a/b"
    assert one(header(b"h", b"1", link=name)).link == b"a/b"
    assert one(header(b"s", b"2", link=name)).link == name, "a symlink's target is taken as it is"


def test_the_root() -> None:
    assert one(header(b"./", b"5")).path == b""


def test_base_256() -> None:
    big = b"\x80" + (5 << 33).to_bytes(11, "big")
    entry = one(header(b"d", b"5", uid=b"\x80" + (1 << 31).to_bytes(7, "big"), mtime=big))
    assert (entry.uid, entry.mtime_ns) == (1 << 31, (5 << 33) * 10**9)
    assert one(header(b"d", b"5", mtime=b"\xff" * 12)).mtime_ns == -(10**9)


def test_pax_overrides_and_global_headers() -> None:
    records = [
        (b"path", b"long/" * 40 + b"p"),
        (b"uid", b"70000"),
        (b"mtime", b"-5.25"),
        (b"size", b"3"),
        (b"gid", b""),
    ]
    given = pax((b"gid", b"9"), (b"comment", b"c"), flag=b"g") + pax(*records) + header(size=0) + padded(b"abc")
    first, second = read_entries([given + header(b"y")])
    assert first == Entry(b"long/" * 40 + b"p", Kind.FILE, 0o644, 70000, 0, 3, -5_250_000_000, offset=first.offset)
    assert given[first.offset : first.offset + 3] == b"abc"
    assert second.gid == 9


def test_gnu_long_names() -> None:
    name, link = b"n" * 200, b"t" * 300
    assert one(header(b"././@LongLink", b"L", 201), padded(name + b"\0"), header(b"cut")).path == name
    assert one(header(b"././@LongLink", b"K", 301), padded(link + b"\0"), header(b"s", b"2", link=b"cut")).link == link


def test_xattrs_in_both_forms() -> None:
    binary = bytes(range(256))
    entry = one(
        pax(
            (b"SCHILY.xattr.security.capability", b"=\n\0" + binary),
            (b"LIBARCHIVE.xattr.user.%41b", base64.b64encode(binary).rstrip(b"=")),
            (b"LIBARCHIVE.xattr.security.capability", b"AAAA"),
        ),
        header(),
    )
    assert entry.xattrs == ((b"security.capability", b"=\n\0" + binary), (b"user.Ab", binary))


def test_signed_checksums_are_accepted() -> None:
    block = bytearray(header("é".encode()))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(b - 256 if b > 127 else b for b in block)
    assert one(bytes(block)).path == "é".encode()


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (header(b"../x"), "leads out"),
        (header(b"a/../../x"), "leads out"),
        (header(b"h", b"1", link=b"../x"), "leads out"),
        (header(b"h", b"1"), "nowhere"),
        (header(b"s", b"2"), "nowhere"),
        (header(b"/"), "without a name"),
        (header(flag=b"S"), "sparse"),
        (pax((b"GNU.sparse.major", b"1")) + header(), "sparse"),
        (header(flag=b"V"), "unknown type"),
        (header(size=5), "too early"),
        (header()[:100], "too early"),
        (pax((b"path", b"x")), "too early"),
        (header(b"x", b"x", 2 << 20), "extended header of"),
        (header(b"x", b"x", 12) + padded(b"12 path=abc"), "malformed pax"),
        (header(b"x", b"x", 12) + padded(b"99 path=abc\n"), "malformed pax"),
        (header(b"x", b"x", 12) + padded(b"-2 path=abc\n"), "malformed pax"),
        (header(b"x", b"x", 33) + padded(b"11 path=ab\npath=without-a-length\n"), "malformed pax"),
        (header(b"x", b"x", 11) + padded(b"00 path=ab\n"), "malformed pax"),
        (pax((b"size", b"-1")) + header(), "for a number"),
        (pax((b"size", b"9" * 20)) + header(), "bytes"),
        (pax((b"mtime", b"now")) + header(), "for a time"),
        (pax((b"path", b"a\0b")) + header(), "malformed name"),
        (pax((b"path", b"p" * 5000)) + header(), "malformed name"),
        (pax((b"linkpath", b"p" * 5000)) + header(b"s", b"2"), "link target"),
        (pax((b"SCHILY.xattr." + b"n" * 300, b"1")) + header(), "extended attribute"),
        (pax((b"SCHILY.xattr.user.a", b"1" * 70000)) + header(), "extended attribute"),
        (pax((b"LIBARCHIVE.xattr.user.a", b"A")) + header(), "extended attribute"),
        (pax((b"a", b"1" * 600000)) + pax((b"b", b"1" * 600000)) + header(), "in a row"),
        (header(uid=b"\xff" * 8), "belongs to"),
        (header(uid=b"12x4567\0"), "for a number"),
        (header(size=1).replace(b"ustar", b"Ustar"), "checksum"),
        (bytes(512) + header(), "behind an empty block"),
    ],
)
def test_what_is_refused(blocks: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        read_entries([blocks])


def test_the_number_of_members_and_their_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "MAX_ENTRIES", 3)
    with pytest.raises(IntegrityError, match="more than 3 members"):
        read_entries([header()] * 4)
    monkeypatch.setattr(tar_reader, "MAX_ENTRIES", 1000)
    monkeypatch.setattr(tar_reader, "MAX_METADATA", 500)
    with pytest.raises(IntegrityError, match="more than"):
        read_entries([header(b"n" * 99)] * 6)
