"""Decompressing layers as they arrive, piece by piece, whatever they are compressed with."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, cast

from coopery.errors import IntegrityError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE = 1 << 20  # no piece of output is longer

_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # after a byte from 0x50 to 0x5f: RFC 8878, section 3.1.2
_FOREIGN = {b"BZh91AY&SY": "bzip2", b"\xfd7zXZ\0": "xz", b"\x04\x22\x4d\x18": "lz4"}


def decompress(chunks: Iterable[bytes], media_type: str = "", *, max_output: int | None = None) -> Iterator[bytes]:
    """The uncompressed bytes of a layer's blob that comes as `chunks`, in pieces of at most 1 MiB.

    gzip and zstd are told by their first bytes, as containerd does (pkg/archive/compression), since media types are
    sometimes wrong; anything else passes as it is. `media_type` only tells that an empty blob isn't whole. Several
    gzip members or zstd frames in a row are one layer, and zeros may follow gzip members.

    IntegrityError if the stream is corrupt, ends early, is compressed in another way, or gives more than `max_output`
    bytes. Errors that `chunks` raises pass through.
    """
    source = _Source(chunks)
    first = source.peek(10)
    if first.startswith(b"\x1f\x8b"):
        pieces = _gunzip(source)
    elif _is_zstd(first[:4]):
        pieces = _unzstd(source)
    else:
        for magic, name in _FOREIGN.items():
            if first.startswith(magic):
                raise IntegrityError(
                    f"a layer is compressed with {name}, which images don't allow", hint="use gzip or zstd"
                )
        if not first and media_type.endswith(("gzip", "zstd")):
            raise IntegrityError(f"an empty layer of type {media_type}")
        pieces = source.pieces()
    total = 0
    for piece in pieces:
        total += len(piece)
        if max_output is not None and total > max_output:
            raise IntegrityError(f"a layer unpacks to more than {max_output} bytes")
        yield piece


class _Source(io.RawIOBase):
    """`chunks` as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if not self._fill():
            return 0
        room = memoryview(buffer).cast("B")
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or fewer at the end, without taking them."""
        head = self.take(count)
        self._rest = memoryview(head + self._rest.tobytes()) if self._rest else memoryview(head)
        return head

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end."""
        if len(self._rest) >= count:
            taken = bytes(self._rest[:count])
            self._rest = self._rest[count:]
            return taken
        parts: list[memoryview] = []
        while count and self._fill():
            part = self._rest[:count]
            parts.append(part)
            self._rest = self._rest[len(part) :]
            count -= len(part)
        return b"".join(parts)

    def pieces(self) -> Iterator[bytes]:
        """All that is left, as it comes."""
        while self._fill():
            piece, self._rest = self._rest, memoryview(b"")
            for start in range(0, len(piece), PIECE):
                yield bytes(piece[start : start + PIECE])

    def _fill(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True


def _gunzip(source: _Source) -> Iterator[bytes]:
    from gzip import BadGzipFile

    from isal import igzip, isal_zlib

    # The library's stubs call its exception an instance and leave `open` without types.
    corrupt = cast(tuple[type[Exception], ...], (BadGzipFile, isal_zlib.error))
    open_gzip: Callable[[io.RawIOBase, str], io.BufferedIOBase] = igzip.open
    file = open_gzip(source, "rb")
    while True:
        try:
            piece = file.read1(PIECE)
        except EOFError as error:
            raise IntegrityError("a gzip layer ends early") from error
        except corrupt as error:
            raise IntegrityError(f"a gzip layer is corrupt: {error}") from error
        if not piece:
            return
        yield piece


def _is_zstd(magic: bytes) -> bool:
    return magic == _ZSTD or (magic[1:] == _SKIPPABLE and magic[0] & 0xF0 == 0x50)


def _unzstd(source: _Source) -> Iterator[bytes]:
    import zstandard

    # The window is 128 MiB at most, the library's own limit.
    frames = cast(IO[bytes], _Source(_zstd_frames(source)))
    file = zstandard.ZstdDecompressor().stream_reader(frames, read_across_frames=True)
    while True:
        try:
            piece = file.read(PIECE)
        except zstandard.ZstdError as error:
            raise IntegrityError(f"a zstd layer is corrupt: {error}") from error
        if not piece:
            return
        yield piece


def _zstd_frames(source: _Source) -> Iterator[bytes]:
    """The bytes of `source` again, without skippable frames; IntegrityError if they end inside a frame.

    The library's reader takes such a stream for a whole one, so the frames are followed here: RFC 8878, section 3.1.1.
    """
    while magic := source.take(4):
        if not _is_zstd(magic):
            raise IntegrityError("a zstd layer is corrupt: no frame where one should begin")
        if magic != _ZSTD:
            left = int.from_bytes(_exactly(source, 4), "little")
            while left:
                left -= len(_exactly(source, min(left, PIECE)))
            continue
        descriptor = _exactly(source, 1)
        flags = descriptor[0]
        single_segment = flags >> 5 & 1
        fields = 1 - single_segment + (0, 1, 2, 4)[flags & 3] + (single_segment, 2, 4, 8)[flags >> 6]
        yield magic + descriptor + _exactly(source, fields)
        last = 0
        while not last:
            head = _exactly(source, 3)
            number = int.from_bytes(head, "little")
            last, kind, size = number & 1, number >> 1 & 3, number >> 3
            yield head + _exactly(source, 1 if kind == 1 else size)  # 1: one byte, repeated `size` times
        if flags & 4:
            yield _exactly(source, 4)


def _exactly(source: _Source, count: int) -> bytes:
    data = source.take(count)
    if len(data) != count:
        raise IntegrityError("a zstd layer ends early")
    return data
