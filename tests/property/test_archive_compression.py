"""Compression loses nothing, however streams are made and cut; damaged streams only ever raise IntegrityError."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from coopery.archive.compress import Codec, compress_file
from coopery.archive.decompress import decompress
from coopery.errors import IntegrityError

_contents = st.one_of(
    st.binary(max_size=3000),
    st.builds(lambda unit, times: unit * times, st.binary(max_size=50), st.integers(0, 5000)),
)
_codecs = st.sampled_from([Codec("gzip"), Codec("gzip", 9), Codec("zstd"), Codec("uncompressed")])
_cuts = st.lists(st.integers(0, 4000), max_size=20)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """`data` in pieces of these sizes, some of them empty, and then the rest."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def pigz(data: bytes) -> bytes:
    """One member of blocks that are flushed to byte boundaries, as pigz makes it."""
    parts = []
    for start in range(0, len(data), 1000):
        block = zlib.compressobj(6, zlib.DEFLATED, -15)
        parts.append(block.compress(data[start : start + 1000]) + block.flush(zlib.Z_SYNC_FLUSH))
    end = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"".join(parts) + b"\x03\0" + end


def named(data: bytes) -> bytes:
    """A member with all the optional header fields: extra, name, comment, checksum."""
    header = b"\x1f\x8b\x08\x1e\1\2\3\4\0\x03" + b"\x04\0abcd" + b"name\0" + b"comment\0"
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = raw.compress(data) + raw.flush()
    end = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") + body + end


def zstd_stream(data: bytes) -> bytes:
    """A frame that doesn't know its size."""
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return stream.compress(data) + stream.flush()


def zstd_checked(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=9, write_checksum=True).compress(data)


_gzip_makers = st.sampled_from([gzip.compress, pigz, named])
_zstd_makers = st.sampled_from([zstandard.compress, zstd_stream, zstd_checked])


@given(_contents, _codecs, _cuts)
@settings(deadline=None)
def test_what_is_compressed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, contents: bytes, codec: Codec, sizes: list[int]
) -> None:
    source = Path(tmp_path_factory.getbasetemp(), "compress-roundtrip")
    source.write_bytes(contents)
    out = bytearray()
    compress_file(str(source), out.extend, codec)
    if codec.name != "uncompressed":
        assert b"".join(decompress(cut(bytes(out), sizes), codec.media_type)) == contents
    else:
        assert bytes(out) == contents


@given(st.lists(st.tuples(_contents, _gzip_makers), min_size=1, max_size=5), st.integers(0, 600), _cuts)
def test_gzip_made_by_others(
    members: list[tuple[bytes, Callable[[bytes], bytes]]], padding: int, sizes: list[int]
) -> None:
    data = b"".join(make(contents) for contents, make in members) + bytes(padding)
    assert b"".join(decompress(cut(data, sizes))) == b"".join(contents for contents, _ in members)


@given(st.lists(st.tuples(_contents, _zstd_makers), min_size=1, max_size=5), _cuts)
def test_zstd_made_by_others(members: list[tuple[bytes, Callable[[bytes], bytes]]], sizes: list[int]) -> None:
    data = b"".join(make(contents) for contents, make in members)
    assert b"".join(decompress(cut(data, sizes))) == b"".join(contents for contents, _ in members)


@given(_contents, st.one_of(_gzip_makers, _zstd_makers), st.data())
def test_a_truncated_stream_is_always_noticed(
    contents: bytes, make: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    whole = make(contents)
    length = data.draw(st.integers(4, len(whole) - 1))
    with pytest.raises(IntegrityError):
        list(decompress([whole[:length]]))


@given(_contents, st.one_of(_gzip_makers, _zstd_makers), st.data())
def test_a_damaged_stream_raises_nothing_else(
    contents: bytes, make: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    damaged = bytearray(make(contents))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(IntegrityError):
        for piece in decompress([bytes(damaged)], max_output=1 << 22):
            assert len(piece) <= 1 << 20


@given(_contents, st.sampled_from([gzip.compress, pigz, named, zstd_checked]), st.data())
def test_damage_under_a_checksum_never_gives_other_bytes(
    contents: bytes, make: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    damaged = bytearray(make(contents))
    at = data.draw(st.integers(4, len(damaged) - 1))
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(IntegrityError):
        assert b"".join(decompress([bytes(damaged)], max_output=1 << 22)) == contents


@given(st.binary(max_size=200), st.sampled_from([b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"]))
def test_noise_behind_a_magic_number_raises_nothing_else(noise: bytes, magic: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        for _ in decompress([magic + noise], max_output=1 << 22):
            pass
