"""A directory as a cache, made to be kept by a CI system's own cache or on a shared disk.

    oci-layout, index.json    it is an OCI image layout, with blobs and no images
    blobs/sha256/H            layers' blobs
    records/H                 the record of the step with this key

Everything is written under a name of its own and renamed into place whole, so any number of builds, on any number of
machines, may read and write it at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Literal

from coopery.cache.remote.protocol import MayNotWrite
from coopery.cache.remote.record import RemoteRecord
from coopery.errors import IntegrityError, NetworkError, NotFound, StorageError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference

_PIECE = 1 << 20
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
_PARTIAL = ".part"
_LONGEST_WRITE = 86_400  # seconds
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)


class DirectoryCache:
    """`Cache` in a directory, which is made when the first blob or record is kept."""

    def __init__(self, path: str) -> None:
        """`path` is absolute."""
        self.name = f"local {path}"
        self.identity = f"local {os.path.realpath(path)}"
        self._path = path
        self._swept = False

    @property
    def place(self) -> Reference | None:
        """See `Cache`."""
        return None

    def lookup(self, key: Digest) -> RemoteRecord | None:
        """See `Cache`."""
        try:
            with open(os.path.join(self._path, "records", key.hex), "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise NetworkError(f"can't read the cache {self._path}: {error.strerror}") from error
        return RemoteRecord.parse(data, key)

    def blob(self, layer: Descriptor) -> Iterator[bytes]:
        """See `Cache`."""
        hasher, size = hashlib.new(layer.digest.algorithm), 0
        try:
            with open(self._blob(layer.digest), "rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    hasher.update(piece)
                    size += len(piece)
                    yield piece
        except FileNotFoundError as error:
            raise NotFound(f"blob {layer.digest} has left the cache {self._path}") from error
        except OSError as error:
            raise NetworkError(f"can't read the cache {self._path}: {error.strerror}") from error
        if size != layer.size or hasher.hexdigest() != layer.digest.hex:
            raise IntegrityError(f"blob {layer.digest} in the cache {self._path} isn't what its digest says")

    def put_blob(
        self, layer: Descriptor, open_blob: Callable[[], BinaryIO], mount_from: Sequence[Reference] = ()
    ) -> Literal["exists", "mounted", "uploaded"]:
        """See `Cache`."""
        path = self._blob(layer.digest)
        with contextlib.suppress(OSError):
            if os.stat(path).st_size == layer.size:
                return "exists"
        with open_blob() as blob:
            self._write(path, iter(lambda: blob.read(_PIECE), b""))
        return "uploaded"

    def put_record(self, record: RemoteRecord, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
        """See `Cache`."""
        self._write(os.path.join(self._path, "records", record.record.key.hex), [record.to_json()])

    def touch(self, key: Digest) -> None:
        """See `Cache`: nothing removes single files."""

    def refuse(self, layer: Descriptor) -> None:
        """See `Cache`."""
        with contextlib.suppress(OSError):
            os.unlink(self._blob(layer.digest))

    def _blob(self, digest: Digest) -> str:
        return os.path.join(self._path, "blobs", digest.algorithm, digest.hex)

    def _write(self, path: str, pieces: Iterable[bytes]) -> None:
        try:
            if not self._swept:
                self._sweep()
            if not os.path.exists(os.path.join(self._path, "index.json")):
                self._put(os.path.join(self._path, "oci-layout"), [_LAYOUT])
                self._put(os.path.join(self._path, "index.json"), [_INDEX])
            self._put(path, pieces)
        except OSError as error:
            if error.errno in _REFUSALS:
                raise MayNotWrite(f"{self._path}: {error.strerror}") from error
            raise StorageError(f"can't write to the cache {self._path}: {error.strerror}") from error

    def _sweep(self) -> None:
        """Remove what writers left that were killed, when it is so old that they must have been."""
        self._swept = True
        for folder in ("records", "blobs/sha256"):
            with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(self._path, folder)) as names:
                for name in names:
                    if name.name.endswith(_PARTIAL) and time.time() - name.stat().st_mtime > _LONGEST_WRITE:
                        os.unlink(name.path)

    def _put(self, path: str, pieces: Iterable[bytes]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = f"{path}.{os.urandom(6).hex()}{_PARTIAL}"
        try:
            with open(partial, "xb", buffering=0) as file:
                for piece in pieces:
                    view = memoryview(piece)
                    while view:
                        view = view[file.write(view) :]
            os.rename(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
