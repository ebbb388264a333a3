"""Files of image layouts and archives, and streams that are read like files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from coopery.archive.decompress import decompress
from coopery.archive.tar_reader import scan_file
from coopery.errors import IntegrityError, StorageError, UsageError
from coopery.transfer.scratch import Scratch
from coopery.tree.entry import Entry, Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE = 1 << 20
_MAX_LINKS = 8
_MAX_ARCHIVE = 1 << 42  # bytes unpacked


class Files(Protocol):
    """Read-only files by their paths, parts of which are separated by slashes."""

    def open(self, path: str) -> BinaryIO:
        """The file's contents, seekable; IntegrityError if it isn't there. The caller closes it."""

    def __contains__(self, path: str) -> bool: ...


def read(files: Files, path: str, limit: int) -> bytes:
    """All bytes of a file that has `limit` at most; IntegrityError for more."""
    with files.open(path) as file:
        parts = []
        left = limit + 1
        while left and (piece := file.read(min(left, PIECE))):
            parts.append(piece)
            left -= len(piece)
    if not left:
        raise IntegrityError(f"{path} is larger than {limit} bytes")
    return b"".join(parts)


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """What is left of a file, in pieces."""
    while piece := file.read(PIECE):
        yield piece


class Folder:
    """The files below a directory."""

    def __init__(self, root: str) -> None:
        """UsageError if `root` isn't a directory."""
        if not os.path.isdir(root):
            raise UsageError(
                f"{root} is not a directory", hint="an image layout is one; archives have -archive: before"
            )
        self._root = root

    def open(self, path: str) -> BinaryIO:
        """See `Files`."""
        try:
            return open(os.path.join(self._root, path), "rb")
        except FileNotFoundError:
            raise IntegrityError(f"{self._root} has no {path}") from None
        except OSError as error:
            raise StorageError(f"cannot read {path} in {self._root}: {error.strerror}") from error

    def __contains__(self, path: str) -> bool:
        return os.path.isfile(os.path.join(self._root, path))


class Archive:
    """The files in a tar, which may be compressed: then it is unpacked into `scratch` first, as is one from a pipe."""

    def __init__(self, path: str, scratch: Scratch) -> None:
        """UsageError if `path` can't be opened, IntegrityError if it is no tar."""
        self._path = path
        try:
            with open(path, "rb", buffering=0) as file:
                start = file.read(4)
                plain = file.seekable() and not start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))
                tar = path
                if not plain:
                    tar = os.path.join(scratch.path, "archive.tar")
                    _unpack(start, cast(BinaryIO, file), tar)
        except IsADirectoryError:
            raise UsageError(f"{path} is a directory", hint="oci:DIRECTORY is how a directory is spelt") from None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        self._entries = {entry.path.decode(errors="surrogateescape"): entry for entry in scan_file(tar)}
        self._fd = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the archive, and with it all files that were opened."""
        os.close(self._fd)

    def open(self, path: str) -> BinaryIO:
        """See `Files`. Links within the archive, which older docker versions save, are followed."""
        entry = self._find(path)
        if entry is None:
            raise IntegrityError(f"{self._path} has no {path}")
        return cast(BinaryIO, Window(self._fd, entry.offset, entry.size))

    def __contains__(self, path: str) -> bool:
        return self._find(path) is not None

    def _find(self, path: str) -> Entry | None:
        path = os.path.normpath(path)
        for _ in range(_MAX_LINKS):
            entry = self._entries.get(path)
            if entry is None or entry.kind is Kind.FILE:
                return entry
            link = entry.link.decode(errors="surrogateescape")
            if entry.kind is Kind.SYMLINK:
                path = os.path.normpath(os.path.join(os.path.dirname(path), link))
            elif entry.kind is Kind.HARDLINK:
                path = link
            else:
                return None
        return None


def _unpack(start: bytes, file: BinaryIO, target: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield start
        yield from pieces(file)

    with open(target, "wb") as out:
        for piece in decompress(chunks(), max_output=_MAX_ARCHIVE):
            out.write(piece)


class Window(io.RawIOBase):
    """A part of an open file, as a file of its own. Many may be in use at once; none closes what it looks into."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd = fd
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        room = view[: max(0, min(len(view), self._size - self._position))]
        count = os.preadv(self._fd, [room], self._start + self._position) if room else 0
        self._position += count
        return count


class StreamFile(io.RawIOBase):
    """An iterator's bytes, read like a file. Closing it closes the iterator, and with that its connection."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._rest:
            piece = next(self._source, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            stop = getattr(self._source, "close", None)
            if stop:
                stop()
        super().close()
