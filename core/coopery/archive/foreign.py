"""Archives that users hand to ADD: told by their contents, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from coopery.archive.decompress import decompress
from coopery.errors import IntegrityError

_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\0"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...


def tar_bytes(file: BinaryIO) -> Iterator[bytes] | None:
    """The bytes of the tar in `file`, decompressed if it is gzip, bzip2, xz or zstd; None if it is no tar.

    Which file counts as an archive is BuildKit's choice (solver/llbsolver/file/unpack.go): one whose first header
    can be read. IntegrityError, perhaps while iterating, for an archive that is damaged further on.
    """
    start = file.read(10)
    chunks = _chunks(start, file)
    if start.startswith(_BZIP2):
        import bz2

        pieces = _expand(chunks, bz2.BZ2Decompressor, _BZIP2, (OSError, EOFError))
    elif start.startswith(_XZ):
        import lzma

        pieces = _expand(chunks, lzma.LZMADecompressor, _XZ, (lzma.LZMAError, EOFError))
    else:
        pieces = decompress(chunks)
    head = b""
    try:
        while len(head) < 512 and (piece := next(pieces, None)) is not None:
            head += piece
    except IntegrityError:
        if start.startswith(_GZIP) and _is_header(_first_of_gzip(file)):
            raise
        return None
    return _again(head, pieces) if _is_header(head[:512]) else None


def _first_of_gzip(file: BinaryIO) -> bytes:
    """The first block in a gzip file that is damaged further on."""
    import zlib

    file.seek(0)
    try:
        return zlib.decompressobj(31).decompress(file.read(_PIECE), 512)
    except zlib.error:
        return b""


def _chunks(start: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield start
    while piece := file.read(_PIECE):
        yield piece


def _again(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _expand(
    chunks: Iterable[bytes],
    make: Callable[[], _Decompressor],
    magic: bytes,
    failures: tuple[type[Exception], ...],
) -> Iterator[bytes]:
    """Several streams in a row are one, and what follows the last is left aside; output comes in bounded pieces."""
    current = make()
    for chunk in chunks:
        data = chunk
        while data:
            if current.eof:
                if not data.startswith(magic[: len(data)]):
                    return
                current = make()
            try:
                yield current.decompress(data, _PIECE)
                while not current.eof and not current.needs_input:
                    yield current.decompress(b"", _PIECE)
            except failures as error:
                raise IntegrityError(f"the archive is damaged: {error}") from error
            data = current.unused_data if current.eof else b""
    if not current.eof:
        raise IntegrityError("the archive ends too early")


def _is_header(block: bytes) -> bool:
    """Whether the block is a tar header: its checksum is right."""
    if len(block) < 512 or not any(block):
        return False
    try:
        said = int(block[148:156].strip(b"\0 ") or b"x", 8)
    except ValueError:
        return False
    return said == sum(block) - sum(block[148:156]) + 8 * 32
