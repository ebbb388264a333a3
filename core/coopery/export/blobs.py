"""Blobs on their way out: read, checked, and put into archives."""

from __future__ import annotations

import hashlib
import io
import os
from typing import BinaryIO, cast

from coopery.archive.tar_writer import TarWriter
from coopery.errors import IntegrityError
from coopery.export.destination import Write
from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind

CHUNK = 1 << 20


class CheckedReader:
    """Reads a blob and, at its end, holds it against its digest."""

    def __init__(self, source: BinaryIO, digest: Digest, size: int, what: str) -> None:
        """`source` holds `size` bytes from where it stands; `what` names the blob in errors."""
        self._source = source
        self._digest = digest
        self._left = size
        self._what = what
        self._hash = hashlib.new(digest.algorithm)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a part of `buffer`; the number of bytes, 0 at the end. IntegrityError if the blob isn't what it was."""
        data = self._source.read(min(len(buffer), self._left))
        self._hash.update(data)
        self._left -= len(data)
        buffer[: len(data)] = data
        if not self._left:
            self.check()
        elif not data:
            raise self._damaged(f"{self._left} bytes are missing")
        return len(data)

    def check(self) -> None:
        """IntegrityError if what was read so far isn't the whole blob."""
        if self._hash.hexdigest() != self._digest.hex:
            raise self._damaged("its contents don't match its digest")

    def _damaged(self, problem: str) -> IntegrityError:
        hint = "remove the local cache and build again"
        return IntegrityError(f"{self._what} {self._digest} is damaged: {problem}", hint=hint)


def copy_checked(source: BinaryIO, digest: Digest, size: int, write: Write, what: str) -> None:
    """Copy a blob of `size` bytes; IntegrityError naming `what` if it isn't what `digest` says."""
    reader = CheckedReader(source, digest, size, what)
    buffer = memoryview(bytearray(min(CHUNK, size)))
    left = size
    while left:
        count = reader.readinto(buffer)
        write(buffer[:count])
        left -= count
    reader.check()


def length(source: BinaryIO) -> int:
    """The length in bytes of an open, seekable file; it stands at its beginning then."""
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size


def blob_path(digest: Digest) -> str:
    """Where a blob lies in an image layout (OCI image specification, image-layout.md#blobs)."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


class BlobArchive:
    """A tar of blobs in an image layout's folders, and of documents beside them.

    Owner, group and times are zero, so the same contents give the same bytes; a blob is written once.
    """

    def __init__(self, write: Write) -> None:
        self._tar = TarWriter(write)
        self._seen: set[str] = set()

    def document(self, path: str, data: bytes) -> None:
        """Add a file with these contents."""
        self._tar.add(Entry(path.encode(), Kind.FILE, 0o644, 0, 0, len(data)), io.BytesIO(data))

    def __contains__(self, digest: Digest) -> bool:
        return blob_path(digest) in self._seen

    def blob(self, digest: Digest, size: int, source: BinaryIO, what: str) -> None:
        """Add a blob that isn't in yet; IntegrityError naming `what` if it isn't what `digest` says."""
        for folder in ("blobs", f"blobs/{digest.algorithm}"):
            if folder not in self._seen:
                self._tar.add(Entry(folder.encode(), Kind.DIRECTORY, 0o755, 0, 0))
                self._seen.add(folder)
        path = blob_path(digest)
        self._seen.add(path)
        reader = CheckedReader(source, digest, size, what)
        self._tar.add(Entry(path.encode(), Kind.FILE, 0o644, 0, 0, size), cast(BinaryIO, reader))

    def close(self) -> None:
        """End the archive."""
        self._tar.close()
