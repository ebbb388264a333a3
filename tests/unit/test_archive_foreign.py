"""Which files ADD takes for archives, by their contents."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile

import pytest
import zstandard

from coopery.archive.foreign import tar_bytes
from coopery.errors import IntegrityError


def tar(size: int = 3, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        info = tarfile.TarInfo("file")
        info.size = size
        archive.addfile(info, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


def unpacked(data: bytes) -> bytes | None:
    pieces = tar_bytes(io.BytesIO(data))
    return None if pieces is None else b"".join(pieces)


PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("size", [0, 3, 1_500_000])
@pytest.mark.parametrize("packer", PACKERS)
def test_archives_of_every_kind(packer, size):
    data = tar(size)
    assert unpacked(PACKERS[packer](data)) == data


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_dialects(form):
    assert unpacked(tar(3, form)) is not None


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd"])
def test_several_streams_in_a_row_are_one(packer):
    data = tar(5000)
    pack = PACKERS[packer]
    assert unpacked(pack(data[:700]) + pack(data[700:5000]) + pack(data[5000:])) == data


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz"])
def test_padding_at_the_end(packer):
    data = tar()
    assert unpacked(PACKERS[packer](data) + b"\0" * 512) == data


@pytest.mark.parametrize("packer", ["plain", "gzip", "xz"])
def test_damage_further_on_is_an_error_and_no_plain_file(packer):
    """bzip2 and zstd show nothing of a block that isn't whole: nobody can tell what that would have been."""
    packed = PACKERS[packer](tar(1_000_000))
    if packer == "plain":
        assert unpacked(packed[:600_000]) == packed[:600_000]  # the tar's own reader sees that
        return
    for damaged in (packed[: len(packed) // 2], packed[:-3]):
        with pytest.raises(IntegrityError):
            unpacked(damaged)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"plain text, longer than one tar block" * 100,
        bytes(512),
        bytes(10240),
        b"\x1f\x8b",
        b"\x1f\x8bnot gzip after all",
        b"BZh9not bzip2",
        b"\xfd7zXZ\0not xz",
        b"\x28\xb5\x2f\xfdnot zstd",
        b"\x04\x22\x4d\x18lz4 isn't known",
        gzip.compress(b"a file that is only compressed" * 100, mtime=0),
        bz2.compress(b"the same" * 1000),
        lzma.compress(b"and again" * 1000),
        tar()[:300],
        b"PK\x03\x04" + bytes(600),
    ],
)
def test_everything_else_is_a_file(data):
    assert unpacked(data) is None


def test_a_changed_header_is_no_header():
    data = bytearray(tar())
    data[0] ^= 1
    assert unpacked(bytes(data)) is None


def test_memory_stays_flat():
    """A small bomb: what comes out comes in bounded pieces."""
    data = tar(0)[:512] + bytes(20_000_000)
    for pack in (
        lambda data: gzip.compress(data, 1, mtime=0),
        bz2.compress,
        lambda data: lzma.compress(data, preset=0),
    ):
        pieces = tar_bytes(io.BytesIO(pack(data)))
        assert pieces is not None
        assert max(map(len, pieces)) <= 2 << 20
