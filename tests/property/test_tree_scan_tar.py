"""The tar scanner against the standard library's writer, in pieces of any size, and against damage."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopery.archive.tar_reader import TarScanner, read_entries, scan_file
from coopery.errors import IntegrityError
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Tree, normalise

TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.CHARACTER: tarfile.CHRTYPE,
    Kind.BLOCK: tarfile.BLKTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}

part = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: text not in (".", "..") and len(text.encode()) < 256
)
path = st.lists(part, min_size=1, max_size=6).map("/".join)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    kind = draw(st.sampled_from(list(Kind)))
    info = tarfile.TarInfo(draw(path))
    info.type = TYPES[kind]
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 1 << 31)), draw(st.sampled_from([0, 1000, 0o7777777, 1 << 30]))
    info.mtime = draw(st.one_of(st.integers(0, 1 << 35), st.sampled_from([0.5, 1.25, -3.5, 1700000000.75])))
    data = draw(st.binary(max_size=1100)) if kind is Kind.FILE else b""
    info.size = len(data)
    if kind in (Kind.SYMLINK, Kind.HARDLINK):
        info.linkname = draw(path)
    if kind in (Kind.CHARACTER, Kind.BLOCK):
        info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1))
    if draw(st.booleans()):
        names = st.text("abc.", min_size=1, max_size=20).map(lambda text: "SCHILY.xattr.user." + text)
        values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
        info.pax_headers = draw(st.dictionaries(names, values, max_size=3))
    return info, data


def archive(items: list[tuple[tarfile.TarInfo, bytes]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in items:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


archives = st.builds(
    archive, st.lists(members(), max_size=6), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
)


def test_empty_archives() -> None:
    assert read_entries([]) == read_entries([bytes(512)]) == read_entries([bytes(1024), b"rubbish"]) == ()


@given(st.lists(members(), max_size=6), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_says_what_tarfile_wrote(items: list[tuple[tarfile.TarInfo, bytes]], form: int) -> None:
    data = archive(items, form)
    entries = read_entries([data])
    assert len(entries) == len(items)
    for entry, (info, contents) in zip(entries, items, strict=True):
        assert entry.path == "/".join(p for p in info.name.split("/") if p != ".").encode()
        assert TYPES[entry.kind] == info.type
        assert (entry.mode, entry.uid, entry.gid) == (info.mode, info.uid, info.gid)
        exact = form == tarfile.PAX_FORMAT
        assert entry.mtime_ns == int((info.mtime if exact else int(info.mtime)) * 1000) * 10**6
        if entry.kind is Kind.FILE:
            assert data[entry.offset : entry.offset + entry.size] == contents
        else:
            assert (entry.size, entry.offset) == (0, -1)
        if entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
            assert entry.link == info.linkname.encode()
        if entry.kind in (Kind.CHARACTER, Kind.BLOCK):
            assert entry.device == (info.devmajor, info.devminor)
        if exact:
            wanted = {key[13:].encode(): value.encode() for key, value in info.pax_headers.items()}
            assert entry.xattrs == tuple(sorted(wanted.items()))


@given(archives, st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_pieces_do_not_matter(data: bytes, cuts: list[int]) -> None:
    whole = read_entries([data])
    scanner, here, turn = TarScanner(), 0, 0
    while here < len(data):
        size = cuts[turn % len(cuts)]
        scanner.feed(memoryview(data)[here : here + size])
        here, turn = here + size, turn + 1
    assert scanner.finish() == whole
    if len(data) < 20_000:
        assert read_entries(data[i : i + 1] for i in range(len(data))) == whole


def test_a_file_is_scanned_without_its_contents(tmp_path: Path) -> None:
    info = tarfile.TarInfo("big")
    info.size = 3_000_000
    small = tarfile.TarInfo("small")
    data = archive([(info, b"x" * info.size), (small, b"")], tarfile.PAX_FORMAT)
    (tmp_path / "a.tar").write_bytes(data)
    assert scan_file(str(tmp_path / "a.tar")) == read_entries([data])
    (tmp_path / "b.tar").write_bytes(data[:2_000_000])
    with pytest.raises(IntegrityError, match="too early"):
        scan_file(str(tmp_path / "b.tar"))


def reseal(data: bytearray, block: int) -> None:
    """Make the checksum of the header at `block` right again."""
    header = data[block : block + 512]
    data[block + 148 : block + 156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256)


@settings(max_examples=400)
@given(archives, st.data())
def test_damage_is_an_integrity_error_or_harmless(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 5))):
        here = draw.draw(st.integers(0, len(damaged) - 1))
        damaged[here] = draw.draw(st.integers(0, 255))
        if draw.draw(st.booleans()):
            reseal(damaged, here // 512 * 512)
    damaged = damaged[: draw.draw(st.integers(0, len(damaged))) if draw.draw(st.booleans()) else len(damaged)]
    with contextlib.suppress(IntegrityError):
        entries = read_entries([bytes(damaged)])
        for entry in entries:
            assert isinstance(entry, Entry)
            assert not entry.path.startswith(b"/") and b".." not in entry.path.split(b"/")
            assert entry.size >= 0 and entry.offset + entry.size <= len(damaged)
        normalise(entries, Tree.empty())
