"""What TarWriter writes is what other programs read, whatever the names and numbers."""

from __future__ import annotations

import io
import tarfile
from random import Random
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coopery.archive.tar_reader import read_entries
from coopery.archive.tar_writer import PAX_XATTR, TarWriter, write_layer
from coopery.tree.entry import Entry, Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SECOND = 10**9

_names = st.binary(min_size=1, max_size=120).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)
_paths = st.lists(_names, min_size=1, max_size=6).map(b"/".join)
_targets = st.lists(_names, min_size=1, max_size=6).map(b"/".join)
_xattrs = st.dictionaries(
    st.binary(min_size=1, max_size=30).filter(lambda key: not set(key) & {0, ord("=")}).map(lambda key: b"user." + key),
    st.binary(max_size=300),
    max_size=3,
).map(lambda pairs: tuple(sorted(pairs.items())))
_ids = st.one_of(st.integers(0, 70_000), st.integers(0, 2**32 - 2))
_times = st.one_of(st.integers(0, 2**33), st.integers(-(2**40), 2**40)).flatmap(
    lambda seconds: st.integers(0, SECOND - 1).map(lambda fraction: seconds * SECOND + fraction)
)


@st.composite
def entries_with_contents(draw: st.DrawFn) -> tuple[Entry, bytes]:
    kind = draw(st.sampled_from(list(Kind)))
    contents = draw(st.binary(max_size=2000)) if kind is Kind.FILE else b""
    link = draw(_targets) if kind in (Kind.HARDLINK, Kind.SYMLINK) else b""
    device = (0, 0)
    if kind in (Kind.CHARACTER, Kind.BLOCK):
        device = draw(st.tuples(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF)))
    entry = Entry(
        path=draw(_paths),
        kind=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(_ids),
        gid=draw(_ids),
        size=len(contents),
        mtime_ns=draw(_times),
        link=link,
        device=device,
        xattrs=draw(_xattrs),
    )
    return entry, contents


_layers = st.lists(entries_with_contents(), max_size=8)


def write(layer: list[tuple[Entry, bytes]]) -> tuple[bytes, tuple[Entry, ...]]:
    out = bytearray()
    entries = write_layer(((entry, lambda data=data: io.BytesIO(data)) for entry, data in layer), out.extend)
    return bytes(out), entries


@given(_layers)
def test_python_reads_back_what_was_written(layer: list[tuple[Entry, bytes]]) -> None:
    tar, written = write(layer)
    with tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape") as archive:
        members = archive.getmembers()
    assert len(members) == len(written) == len(layer)
    for member, entry, (given_entry, contents) in zip(members, written, layer, strict=True):
        assert member.name.encode("utf-8", "surrogateescape") == entry.path == given_entry.path
        assert member.type == entry.kind.encode()
        assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
        assert member.mtime == entry.mtime_ns // SECOND
        assert entry.mtime_ns == given_entry.mtime_ns // SECOND * SECOND
        assert member.size == entry.size == len(contents)
        assert member.linkname.encode("utf-8", "surrogateescape") == entry.link
        assert (member.uname, member.gname) == ("", "")
        if entry.kind in (Kind.CHARACTER, Kind.BLOCK):
            assert (member.devmajor, member.devminor) == entry.device
        prefix = PAX_XATTR.decode()
        assert {
            key.removeprefix(prefix).encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(prefix)
        } == dict(entry.xattrs)
        if entry.kind is Kind.FILE:
            assert member.offset_data == entry.offset
            assert tar[entry.offset : entry.offset + entry.size] == contents
        else:
            assert entry.offset == -1


@given(_layers)
def test_our_own_reader_finds_the_entries_that_the_writer_returned(layer: list[tuple[Entry, bytes]]) -> None:
    tar, written = write(layer)
    assert read_entries([tar]) == written


@given(_layers)
def test_the_archive_has_whole_blocks_and_ends_after_two_zero_ones(layer: list[tuple[Entry, bytes]]) -> None:
    tar, entries = write(layer)
    assert len(tar) % 512 == 0
    assert tar.endswith(bytes(1024))
    assert len(tar) > 1024 or not entries
    assert not tar[:-1024].endswith(bytes(512)) or any(entry.size for entry in entries)


@given(_layers)
def test_writing_what_was_written_gives_the_same_bytes(layer: list[tuple[Entry, bytes]]) -> None:
    tar, entries = write(layer)
    again, same = write([(entry, data) for entry, (_, data) in zip(entries, layer, strict=True)])
    assert again == tar
    assert same == entries


@given(st.integers(0, 300), st.integers(0, 300), st.booleans())
@settings(max_examples=200)
def test_long_paths_of_any_shape_survive(first: int, second: int, directory: bool) -> None:
    assume(first + second)
    path = b"/".join(part for part in (b"a" * first, b"b" * second) if part)
    out = bytearray()
    writer = TarWriter(out.extend)
    writer.add(Entry(path, Kind.DIRECTORY if directory else Kind.FILE, 0o755, 0, 0))
    writer.close()
    with tarfile.open(fileobj=io.BytesIO(bytes(out))) as archive:
        (member,) = archive.getmembers()
    assert (member.name.encode(), member.isdir()) == (path, directory)


@given(st.integers(0, 3 << 20), st.integers())
@settings(max_examples=25, deadline=None)
def test_contents_arrive_whole_however_they_are_read(size: int, seed: int) -> None:
    random = Random(seed)
    contents = random.randbytes(size)

    class Halting(io.BytesIO):
        def readinto(self, buffer: WriteableBuffer) -> int:
            return super().readinto(memoryview(buffer)[: random.randrange(1, 1 << 20)])

    out = bytearray()
    writer = TarWriter(out.extend)
    written = writer.add(Entry(b"f", Kind.FILE, 0o644, 0, 0, size), Halting(contents))
    writer.close()
    assert out[written.offset : written.offset + size] == contents
