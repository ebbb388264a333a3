"""The local content store: blobs, uncompressed layers and what is derived from them. See layout.py."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from coopery.cache.entries import load_entries, save_entries
from coopery.cache.layout import KINDS, VERSION
from coopery.errors import StorageError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.ports import StoredLayer
from coopery.tree.entry import Entry

_serial = itertools.count()


@contextlib.contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn the file system's refusals inside the block into StorageError, `what` being tried."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "make room, run `coopery cache prune`, or point COOPERY_CACHE at a larger disk"
            raise StorageError(f"no space left while {what}", hint=hint) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "point COOPERY_CACHE at a directory you may write to"
            raise StorageError(f"not allowed: {what}: {error}", hint=hint) from error
        raise


class Staged:
    """A file being written under tmp/; `publish` gives it its name, leaving the block without that removes it."""

    def __init__(self, path: str) -> None:
        """Open `path` for writing."""
        self.path = path
        self.file: BinaryIO = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by the store's context manager

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`."""
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    def publish(self, target: str) -> None:
        """Rename to `target`; what stands there already, having the same content, is replaced."""
        self.file.close()
        os.chmod(self.path, 0o644)
        os.rename(self.path, target)


class Store:
    """One build's hold on the local cache. While it is open nothing is pruned from under it."""

    def __init__(self, root: str) -> None:
        """Open the store at `root`, making it if need be; StorageError if that can't be done."""
        self.root = os.path.join(root, VERSION)
        with storage_errors(f"opening the cache at {root}"):
            try:
                self._lock = os.open(os.path.join(self.root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                for kind in KINDS:
                    os.makedirs(os.path.join(self.root, kind), exist_ok=True)
                self._lock = os.open(os.path.join(self.root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            for kind in KINDS:
                os.makedirs(os.path.join(self.root, kind), exist_ok=True)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            self.tmp = self._make_tmp()

    def close(self) -> None:
        """Remove this build's temporary files and let go of the store."""
        shutil.rmtree(self.tmp, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.tmp + ".lock")
        os.close(self._tmp_lock)
        os.close(self._lock)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_tmp(self) -> str:
        parent = os.path.join(self.root, "tmp")
        self._sweep_tmp(parent)
        while True:
            path = os.path.join(parent, f"{os.getpid()}-{os.urandom(4).hex()}")
            self._tmp_lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._tmp_lock, fcntl.LOCK_EX)
            if os.fstat(self._tmp_lock).st_nlink:
                os.mkdir(path, 0o700)
                return path
            os.close(self._tmp_lock)  # another build swept the file away before it was locked

    @staticmethod
    def _sweep_tmp(parent: str) -> None:
        """Remove what killed builds left: their locks are free, or gone."""
        names = os.listdir(parent)
        for name in {name.removesuffix(".lock") for name in names}:
            path = os.path.join(parent, name)
            try:
                held = os.open(path + ".lock", os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                # The lock is there before its directory and goes after it: whose it was has ended.
                shutil.rmtree(path, ignore_errors=True)
                continue
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path + ".lock")
            except BlockingIOError:
                pass
            finally:
                os.close(held)

    def temporary(self) -> str:
        """A fresh path under this build's own temporary directory."""
        return os.path.join(self.tmp, str(next(_serial)))

    @contextlib.contextmanager
    def stage(self) -> Iterator[Staged]:
        """A file to write; it is gone after the block unless it was published."""
        with storage_errors("writing to the cache"):
            staged = Staged(self.temporary())
            try:
                yield staged
            finally:
                staged.file.close()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged.path)

    # ------------------------------------------------------------------------------------------- small documents

    def _document(self, kind: str, name: str) -> str:
        return os.path.join(self.root, kind, name)

    def read_document(self, kind: str, name: str) -> Any:
        """The JSON document `name` of a kind, or None if there is none or it can't be read. Marks it used."""
        path = self._document(kind, name)
        try:
            with open(path, "rb") as file:
                value = json.loads(file.read())
            os.utime(path)
        except (OSError, ValueError, RecursionError):
            return None
        return value

    def write_document(self, kind: str, name: str, value: Any) -> None:
        """Put a JSON document under `name`, whole or not at all."""
        with self.stage() as staged:
            staged.write(json.dumps(value, separators=(",", ":")).encode())
            staged.publish(self._document(kind, name))

    # -------------------------------------------------------------------------------------------------- blobs

    def blob_path(self, digest: Digest) -> str:
        """Where a blob lies if it is here."""
        return os.path.join(self.root, "blobs", "sha256", digest.hex)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the blob is here, whole. Marks it used."""
        path = self.blob_path(descriptor.digest)
        try:
            if os.stat(path).st_size != descriptor.size:
                return False
            os.utime(path)
        except OSError:
            return False
        return True

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The blob's bytes, unbuffered; StorageError if it isn't here."""
        try:
            return open(self.blob_path(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise StorageError(f"blob {digest} has left the cache during the build") from error

    def read_blob(self, digest: Digest) -> bytes | None:
        """A small blob's bytes, verified; None if it isn't here."""
        try:
            with open(self.blob_path(digest), "rb") as file:
                data = file.read()
        except OSError:
            return None
        return data if Digest.of(data) == digest else None

    def put_blob(self, data: bytes) -> Digest:
        """Keep a small blob and return its digest."""
        with self.stage() as staged:
            staged.write(data)
            digest = Digest.of(data)
            staged.publish(self.blob_path(digest))
            return digest

    # ------------------------------------------------------------------------------------------------- layers

    def _tar(self, diff_id: Digest) -> str:
        return os.path.join(self.root, "tars", diff_id.hex + ".tar")

    def has_layer(self, diff_id: Digest) -> bool:
        """Whether the layer's uncompressed tar is here. Marks it used."""
        try:
            os.utime(self._tar(diff_id))
        except OSError:
            return False
        return True

    def layer(self, diff_id: Digest, rescan: Callable[[str], tuple[Entry, ...]]) -> StoredLayer | None:
        """The stored layer, or None. `rescan` reads a tar's entries when the list beside it is damaged."""
        path = self._tar(diff_id)
        if not self.has_layer(diff_id):
            return None
        try:
            entries = load_entries(path.removesuffix(".tar") + ".entries")
        except (OSError, ValueError):
            entries = rescan(path)
        return StoredLayer(diff_id, path, entries)

    def put_layer(self, staged: Staged, diff_id: Digest, entries: Sequence[Entry]) -> StoredLayer:
        """Publish a tar that was staged and has this digest, with its entries."""
        path = self._tar(diff_id)
        with self.stage() as listing:
            save_entries(entries, listing.write)
            listing.publish(path.removesuffix(".tar") + ".entries")
        staged.publish(path)
        return StoredLayer(diff_id, path, tuple(entries))

    # ------------------------------------------------------------------------------------------------- derived

    def erofs_index(self, chain_id: Digest) -> str | None:
        """The EROFS index of a chain's topmost layer, or None. Marks it used."""
        path = os.path.join(self.root, "erofs", chain_id.hex)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def put_erofs(self, chain_id: Digest, data: bytes | bytearray) -> str:
        """Keep an EROFS index; returns its path."""
        path = os.path.join(self.root, "erofs", chain_id.hex)
        with self.stage() as staged:
            staged.write(data)
            staged.publish(path)
        return path

    def tree(self, id_map: str, chain_id: Digest) -> str | None:
        """The unpacked topmost layer of a chain under an id mapping of that name, or None. Marks it used."""
        path = os.path.join(self.root, "trees", id_map, chain_id.hex)
        try:
            os.utime(path + ".done")
        except OSError:
            return None
        return path

    @contextlib.contextmanager
    def make_tree(self, id_map: str, chain_id: Digest) -> Iterator[str]:
        """A new directory to unpack into; at the end of the block `tree` finds it, unless it found one by then."""
        target = os.path.join(self.root, "trees", id_map, chain_id.hex)
        path = self.temporary()
        with storage_errors("unpacking a layer"):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.mkdir(path, 0o755)
        try:
            yield path
            # The root directory's times are the layer's own: the mark of use lies beside it.
            try:
                os.rename(path, target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            os.close(os.open(target + ".done", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def mount_path(self, name: str) -> str:
        """Where the directory behind a cache mount is, if there is one by now; `name` may be anything."""
        return os.path.join(self.root, "mounts", hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest())

    @contextlib.contextmanager
    def step_lock(self, key: Digest) -> Iterator[None]:
        """Held by one build at a time, so that equal steps of concurrent builds run once."""
        with storage_errors("locking a step"):
            handle = os.open(os.path.join(self.root, "steps", key.hex), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
