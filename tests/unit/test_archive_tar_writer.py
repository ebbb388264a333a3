"""TarWriter beside GNU tar and Go's rules, and files that change under its hands."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from coopery.archive.tar_writer import CHUNK, TarWriter, write_layer
from coopery.errors import IntegrityError, StorageError
from coopery.tree.entry import Entry, Kind

SECOND = 10**9
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service+ep, full of zero bytes


def file(path: bytes, size: int = 0, **fields: object) -> Entry:
    return Entry(path, Kind.FILE, 0o644, 0, 0, size)._replace(**fields)


def tar_of(*entries: Entry, contents: bytes = b"") -> bytes:
    out = bytearray()
    write_layer(((entry, lambda: io.BytesIO(contents)) for entry in entries), out.extend)
    return bytes(out)


SAMPLE = (
    Entry(b"", Kind.DIRECTORY, 0o755, 0, 0, mtime_ns=SECOND),
    Entry(b"etc", Kind.DIRECTORY, 0o2750, 1000, 70000, mtime_ns=1_700_000_000 * SECOND),
    file(b"etc/hello", 5, mode=0o4755, mtime_ns=1_700_000_000 * SECOND + 999),
    Entry(b"etc/again", Kind.HARDLINK, 0o755, 0, 0, link=b"etc/hello"),
    Entry(b"etc/link", Kind.SYMLINK, 0o777, 0, 0, link=b"../away"),
    Entry(b"null", Kind.CHARACTER, 0o666, 0, 0, device=(1, 3)),
    Entry(b"disk", Kind.BLOCK, 0o660, 0, 6, device=(259, 70000)),
    Entry(b"pipe", Kind.FIFO, 0o600, 0, 0),
    file(b"etc/.wh.gone"),
    file(b"d" * 120 + b"/" + b"n" * 90, 5),  # fits into prefix and name
    file(b"l" * 200, 5),  # doesn't
    file("ümläut".encode(), 5),
    file(b"not-utf8-\xff", 5),
    file(b"a" * 99 + b"/" + b"b" * 200, 5),  # cut after a slash
    file(b"big-ids", 5, uid=4_000_000_000, gid=2_097_152),
    file(b"old", 5, mtime_ns=-5 * SECOND),
    file(b"cap", 5, xattrs=((b"security.capability", CAPABILITY), (b"user.a", b"\n= x"))),
)


def test_bytes_never_change() -> None:
    """A changed digest here is a changed diff ID of every layer: caches and registries would see new content."""
    digest = hashlib.sha256(tar_of(*SAMPLE, contents=b"hello")).hexdigest()
    assert digest == "7a6c81e8213318956a6b733785e498fac6f2b304a1b4f74aef3166fe96c41361"


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
def test_gnu_tar_lists_and_compares(tmp_path: Path) -> None:
    archive = tmp_path / "layer.tar"
    archive.write_bytes(tar_of(*SAMPLE, contents=b"hello"))
    listing = subprocess.run(
        ["tar", "--numeric-owner", "--quoting-style=escape", "--utc", "-tvf", archive],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    assert listing.stderr == b""
    lines = [line.split(maxsplit=5) for line in listing.stdout.decode().splitlines()]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "0/0", "./"),
        ("drwxr-s---", "1000/70000", "etc/"),
        ("-rwsr-xr-x", "0/0", "etc/hello"),
        ("hrwxr-xr-x", "0/0", "etc/again link to etc/hello"),
        ("lrwxrwxrwx", "0/0", "etc/link -> ../away"),
        ("crw-rw-rw-", "0/0", "null"),
        ("brw-rw----", "0/6", "disk"),
        ("prw-------", "0/0", "pipe"),
        ("-rw-r--r--", "0/0", "etc/.wh.gone"),
        ("-rw-r--r--", "0/0", "d" * 120 + "/" + "n" * 90),
        ("-rw-r--r--", "0/0", "l" * 200),
        ("-rw-r--r--", "0/0", "ümläut"),
        ("-rw-r--r--", "0/0", "not-utf8-\\377"),
        ("-rw-r--r--", "0/0", "a" * 99 + "/" + "b" * 200),
        ("-rw-r--r--", "4000000000/2097152", "big-ids"),
        ("-rw-r--r--", "0/0", "old"),
        ("-rw-r--r--", "0/0", "cap"),
    ]
    assert lines[5][2] == "1,3"
    assert lines[6][2] == "259,70000"
    assert lines[15][3:5] == ["1969-12-31", "23:59"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to set owners, devices and capabilities")
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
def test_gnu_tar_unpacks_it(tmp_path: Path) -> None:
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-xpf", "-", "-C", tmp_path],
        input=tar_of(*SAMPLE, contents=b"hello"),
        check=True,
    )
    assert os.getxattr(tmp_path / "cap", "security.capability") == CAPABILITY
    assert (tmp_path / "etc/hello").stat().st_ino == (tmp_path / "etc/again").stat().st_ino
    assert (tmp_path / "disk").stat().st_rdev == os.makedev(259, 70000)
    assert (tmp_path / "big-ids").stat().st_uid == 4_000_000_000
    assert (tmp_path / "old").stat().st_mtime == -5
    assert (os.fsencode(tmp_path) + b"/not-utf8-\xff") in [e.path for e in os.scandir(os.fsencode(tmp_path))]
    assert (tmp_path / ("a" * 99) / ("b" * 200)).read_bytes() == b"hello"


def test_plain_entries_need_one_header_each() -> None:
    assert len(tar_of(file(b"a"), file(b"d" * 150 + b"/" + b"n" * 100))) == 2 * 512 + 1024


def test_an_empty_layer_is_two_zero_blocks() -> None:
    assert tar_of() == bytes(1024)


def test_sizes_beyond_the_header_field_are_in_a_pax_record() -> None:
    header = bytearray()
    writer = TarWriter(header.extend)

    class Stop(Exception):
        pass

    class Endless(io.RawIOBase):
        def readinto(self, buffer: object) -> int:
            raise Stop

    with pytest.raises(Stop):
        writer.add(file(b"huge", 1 << 34), Endless())  # type: ignore[arg-type]
    writer.close()
    assert b"20 size=17179869184\n" in header


def test_pieces_are_whole_chunks_of_a_reused_buffer() -> None:
    sizes = []
    writer = TarWriter(lambda piece: sizes.append(len(piece)))
    writer.add(file(b"f", 3 * CHUNK), io.BytesIO(bytes(3 * CHUNK)))
    writer.close()
    assert sizes == [CHUNK, CHUNK, CHUNK, 512 + 1024]


def test_a_descriptor_is_read_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    descriptor = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        os.lseek(descriptor, 4, os.SEEK_SET)
        out = bytearray()
        writer = TarWriter(out.extend)
        entry = writer.add(file(b"f", 6), descriptor)
        writer.close()
    finally:
        os.close(descriptor)
    assert out[entry.offset : entry.offset + 6] == b"456789"


def test_a_file_that_shrank_is_named() -> None:
    with pytest.raises(IntegrityError, match=r"/app/log changed while it was being read.* 3 of 5 bytes"):
        write_layer([(file(b"app/log", 5), lambda: io.BytesIO(b"abc"))], lambda piece: None)


def test_a_file_that_grew_is_cut_to_its_size() -> None:
    assert tar_of(file(b"f", 5), contents=b"hello, world") == tar_of(file(b"f", 5), contents=b"hello")


@pytest.mark.parametrize(
    "entry",
    [
        file(b"f", xattrs=((b"user.a=b", b""),)),
        file(b"a\0b"),
        Entry(b"l", Kind.SYMLINK, 0o777, 0, 0, link=b"a\0b"),
        Entry(b"c", Kind.CHARACTER, 0o600, 0, 0, device=(1 << 21, 0)),
    ],
    ids=["xattr", "path", "link", "device"],
)
def test_what_a_tar_cannot_say_is_an_error(entry: Entry) -> None:
    with pytest.raises(IntegrityError):
        tar_of(entry)


def test_files_without_contents_are_refused() -> None:
    with pytest.raises(IntegrityError, match="no contents for /f"):
        write_layer([(file(b"f", 5), None)], lambda piece: None)


def test_unreadable_files_are_named_and_every_file_is_closed(tmp_path: Path) -> None:
    opened: list[BinaryIO] = []

    def opening(contents: bytes) -> Callable[[], BinaryIO]:
        def opener() -> BinaryIO:
            opened.append(io.BytesIO(contents))
            return opened[-1]

        return opener

    with pytest.raises(StorageError, match="cannot read /gone: No such file"):
        write_layer(
            [(file(b"a", 1), opening(b"a")), (file(b"gone", 1), lambda: (tmp_path / "gone").open("rb"))],
            lambda piece: None,
        )
    with pytest.raises(IntegrityError):
        write_layer([(file(b"b", 2), opening(b"b"))], lambda piece: None)
    with pytest.raises(StorageError, match="cannot read /dir: Is a directory"):
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            TarWriter(lambda piece: None).add(file(b"dir", 5), descriptor)
        finally:
            os.close(descriptor)
    assert len(opened) == 2
    assert all(each.closed for each in opened)
