"""An object store as a cache: S3 and what speaks like it, Azure Blob Storage, Google Cloud Storage.

    PREFIX/blobs/sha256:H            layers' blobs, where BuildKit keeps its own
    PREFIX/manifests/NAME/H          the record of the step with this key

An object becomes visible when all of it is there. Blobs are named by what they hold, so whoever writes one writes the
same; records are created only where there is none, and replaced only by newer ones, and only the version that was seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Literal

from coopery.cache.object_errors import NoConditions, translated
from coopery.cache.remote.protocol import MayNotWrite
from coopery.cache.remote.record import RemoteRecord
from coopery.errors import AuthError, CooperyError, IntegrityError, NetworkError, NotFound
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.request import ObjectPlace

_ATTEMPTS = 4  # at a download that breaks, and at a record that others write
_LARGEST_RECORD = 4 << 20
_PIECE = 1 << 20
_AT_ONCE = 4 << 20  # bytes that are sent in one request; blobs beyond go in parts
_PART = 5 << 20  # the least that S3 takes
_MOST_PARTS = 9_000  # of 10,000
_PARTS_AT_ONCE = 2  # of one blob


class ObjectCache:
    """`Cache` in an object store that obstore opened. Of several names all are written, and the first that has a
    record is read."""

    def __init__(self, store: Any, name: str, place: ObjectPlace, now: Callable[[], float] = time.time) -> None:
        """`name` says for people, without secrets, what and where the store is."""
        self.name = f"{name} {' '.join(place.names)}"
        self.identity = f"{self.name} {place.prefix} {place.records_prefix} {place.blobs_prefix}"
        self._store = store
        self._place = place
        self._now = now
        self._uploads = threading.Semaphore(place.parallel)
        self._damaged: set[Digest] = set()
        self._refused: set[Digest] = set()
        self._conditions = True  # whether the store takes them

    @property
    def place(self) -> Reference | None:
        """See `Cache`."""
        return None

    def lookup(self, key: Digest) -> RemoteRecord | None:
        """See `Cache`."""
        for path in self._records(key):
            found = self._read(path)
            if found:
                return RemoteRecord.parse(found[0], key)
        return None

    def blob(self, layer: Descriptor) -> Iterator[bytes]:
        """See `Cache`. A lost connection is taken up where it broke."""
        hasher, received = hashlib.new(layer.digest.algorithm), 0
        for attempt in range(_ATTEMPTS):
            try:
                for piece in self._stream(layer, received):
                    hasher.update(piece)
                    received += len(piece)
                    yield piece
                break
            except NetworkError:
                if attempt == _ATTEMPTS - 1:
                    raise
        if received != layer.size or hasher.hexdigest() != layer.digest.hex:
            if received == layer.size:
                self._damaged.add(layer.digest)
            raise IntegrityError(f"blob {layer.digest} in {self.name} isn't what its digest says")

    def put_blob(
        self, layer: Descriptor, open_blob: Callable[[], BinaryIO], mount_from: Sequence[Reference] = ()
    ) -> Literal["exists", "mounted", "uploaded"]:
        """See `Cache`."""
        path = self._blob(layer.digest)
        found = self._head(path)
        if found and found["size"] == layer.size and layer.digest not in self._refused:
            if self._is_old(found):
                self._renew(path)
            return "exists"
        with self._uploads, open_blob() as blob:
            if layer.size > _AT_ONCE:
                part = max(_PART, layer.size // _MOST_PARTS)
                self._put(path, blob, use_multipart=True, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)
            elif found:
                self._put(path, blob.read())
            elif not self._create(path, blob.read()):
                return "exists"
        return "uploaded"

    def put_record(self, record: RemoteRecord, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
        """See `Cache`. A record that is newer stays."""
        data = record.to_json()
        for path in self._records(record.record.key):
            for _ in range(_ATTEMPTS):
                if self._create(path, data):
                    break
                found = self._read(path)
                if found and (self._is_newer(found[0], record) or self._replace(path, data, found[1])):
                    break

    def touch(self, key: Digest) -> None:
        """See `Cache`."""
        with contextlib.suppress(CooperyError, MayNotWrite):
            for path in self._records(key):
                if not self._is_old(self._head(path)) or not (found := self._read(path)):
                    continue
                record = RemoteRecord.parse(found[0], key)
                for layer in record.layers if record else ():
                    blob = self._blob(layer.digest)
                    if self._is_old(self._head(blob)):
                        self._renew(blob)
                # It may just have been replaced by a newer one, which a copy would undo.
                self._replace(path, *found)

    def refuse(self, layer: Descriptor) -> None:
        """See `Cache`. A blob that was read whole and isn't what its name says is removed, if this job may."""
        self._refused.add(layer.digest)
        if layer.digest in self._damaged:
            import obstore

            with contextlib.suppress(Exception):
                obstore.delete(self._store, self._blob(layer.digest))

    # ---------------------------------------------------------------------------------------------- objects

    def _records(self, key: Digest) -> Iterator[str]:
        for name in self._place.names:
            yield self._path(self._place.records_prefix, name, key.hex)

    def _blob(self, digest: Digest) -> str:
        return self._path(self._place.blobs_prefix, str(digest))

    def _path(self, *parts: str) -> str:
        return "/".join(filter(None, (self._place.prefix, *parts)))

    def _read(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        """A small object with what tells its version, or None."""
        import obstore

        with contextlib.suppress(FileNotFoundError), self._translating(FileNotFoundError):
            found = obstore.get(self._store, path)
            if found.meta["size"] > _LARGEST_RECORD:
                raise IntegrityError("the record is too large")
            told: Any = found.meta
            return bytes(found.bytes()), {key: told[key] for key in ("e_tag", "version") if told.get(key)}
        return None

    def _head(self, path: str) -> Any:
        """What the store says of an object, or None; also where only writing is allowed."""
        import obstore

        with contextlib.suppress(FileNotFoundError, AuthError), self._translating(FileNotFoundError):
            return obstore.head(self._store, path)
        return None

    def _stream(self, layer: Descriptor, start: int) -> Iterator[bytes]:
        import obstore

        options: Any = {"range": {"offset": start}} if start else {}
        try:
            with self._translating(FileNotFoundError):
                found = obstore.get(self._store, self._blob(layer.digest), options=options)
                if found.meta["size"] != layer.size:
                    raise IntegrityError(f"blob {layer.digest} in {self.name} isn't as long as its record says")
                pieces = iter(found.stream(min_chunk_size=_PIECE))
                while piece := next(pieces, None):
                    yield bytes(piece)
        except FileNotFoundError as error:
            raise NotFound(f"blob {layer.digest} has left {self.name}") from error

    @contextlib.contextmanager
    def _translating(self, *kept: type[Exception], conditional: bool = False) -> Iterator[None]:
        """Raises what obstore raises as our errors, but for those that are `kept`."""
        passed: tuple[type[Exception], ...] = (CooperyError, *kept)
        try:
            yield
        except passed:
            raise
        except Exception as error:
            raise translated(error, self.name, conditional=conditional) from error

    def _create(self, path: str, data: bytes) -> bool:
        """Make an object; False if there is one by this name."""
        return self._conditionally(path, data, "create")

    def _replace(self, path: str, data: bytes, version: dict[str, str]) -> bool:
        """Replace a version of an object; False if it is that no more."""
        return self._conditionally(path, data, version)

    def _conditionally(self, path: str, data: bytes, mode: Any) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        if self._conditions and mode:
            try:
                self._put(path, data, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return False
            except NoConditions:
                self._conditions = False
            else:
                return True
        self._put(path, data)
        return True

    def _put(self, path: str, data: Any, **how: Any) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._translating(AlreadyExistsError, PreconditionError, conditional="mode" in how):
                obstore.put(self._store, path, data, **how)
        except AuthError as error:
            raise MayNotWrite(error.message) from error

    def _is_newer(self, data: bytes, than: RemoteRecord) -> bool:
        try:
            there = RemoteRecord.parse(data, than.record.key)
        except IntegrityError:
            return False
        return there is not None and there.stored > than.stored

    def _is_old(self, found: Any) -> bool:
        return bool(found) and self._now() - found["last_modified"].timestamp() > self._place.touch

    def _renew(self, path: str) -> None:
        """Give an object a new time, for rules that remove old ones. No store copies an object onto itself alike, so
        it goes by a second name; the bytes stay where they are."""
        import obstore

        aside = f"{path}.{os.urandom(4).hex()}"
        with contextlib.suppress(Exception):
            obstore.copy(self._store, path, aside)
            try:
                obstore.copy(self._store, aside, path)
            finally:
                obstore.delete(self._store, aside)
