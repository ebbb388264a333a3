"""A blob on its way out: read from any offset, with every byte that a registry keeps of it verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from coopery.errors import IntegrityError, StorageError
from coopery.oci.descriptor import Descriptor
from coopery.registry.transport import SEND_SIZE

#: The state of the digest is noted about this often, in bytes, so that going back re-reads no more than this.
MARK_EVERY = 16 << 20


class BlobSource:
    """Gives out a blob in spans, in order or going back. Memory stays flat, and what is sent twice is verified twice.

    The last byte only leaves when size and digest of all that came before are right; IntegrityError otherwise.
    StorageError if the blob can't be read. Not for use by several threads at once.
    """

    def __init__(self, open_blob: Callable[[], BinaryIO], descriptor: Descriptor) -> None:
        self._open_blob = open_blob
        self._descriptor = descriptor
        self._file: BinaryIO | None = None
        self._state = hashlib.new(descriptor.digest.algorithm)
        self._marks = [(0, self._state.copy())]
        #: How many of the blob's bytes have been read and counted into the digest.
        self.position = 0

    def span(self, start: int, end: int) -> Span:
        """The bytes from `start` to before `end`, as a request's body; spans given out before are of no use then."""
        self._seek(start)
        if self.position == self._descriptor.size:
            self._finish()
        return Span(self, end - start)

    def close(self) -> None:
        """Close what was opened. The source can be used again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, amount: int) -> bytes:
        """Up to `amount` bytes from the position on, at least one."""
        piece = self._from_file(amount)
        self.position += len(piece)
        self._state.update(piece)
        if not piece:
            raise self._wrong_size("shorter")
        if self.position == self._descriptor.size:
            self._finish()
        elif self.position - self._marks[-1][0] >= MARK_EVERY:
            self._marks.append((self.position, self._state.copy()))
        return piece

    def _seek(self, start: int) -> None:
        if self._file is not None and self.position == start:
            return
        self.close()
        self._file = self._open_blob()
        while self._marks[-1][0] > start:
            self._marks.pop()
        if self._marks[-1][0] and not self._file.seekable():
            del self._marks[1:]
        self.position, state = self._marks[-1]
        self._state = state.copy()
        if self.position:
            try:
                self._file.seek(self.position)
            except OSError as error:
                raise self._unreadable(error) from error
        while self.position < start:
            self.read(min(SEND_SIZE, start - self.position))

    def _finish(self) -> None:
        if self._from_file(1):
            raise self._wrong_size("longer")
        digest = self._descriptor.digest
        if self._state.hexdigest() != digest.hex:
            raise IntegrityError(
                f"what is to be pushed as blob {digest} has digest {digest.algorithm}:{self._state.hexdigest()}"
            )

    def _from_file(self, amount: int) -> bytes:
        assert self._file is not None, "span opens it"
        try:
            return self._file.read(amount)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(f"blob {self._descriptor.digest} can't be read: {error.strerror or error}")

    def _wrong_size(self, how: str) -> IntegrityError:
        return IntegrityError(
            f"blob {self._descriptor.digest} should have {self._descriptor.size} bytes, but what is to be pushed "
            f"is {how}"
        )


class Span:
    """A part of a blob as `transport.Body`."""

    def __init__(self, source: BlobSource, length: int) -> None:
        self._source = source
        self._length = length
        self._left = length

    def __len__(self) -> int:
        return self._length

    def read(self, amount: int = -1, /) -> bytes:
        """Up to `amount` of the bytes that are left, empty at the end."""
        if not self._left:
            return b""
        piece = self._source.read(self._left if amount < 0 else min(amount, self._left))
        self._left -= len(piece)
        return piece
