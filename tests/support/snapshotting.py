"""What tests of snapshotters share: namespaces to run in, a store, random changes and a description of trees."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - before privileges are gone that this Python may need to be read
import contextlib
import hashlib
import os
import random
import shutil
import socket
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from coopery import kernel
from coopery.archive.tar_writer import write_layer
from coopery.oci.digest import Digest
from coopery.ports import Capture, Change, StoredLayer
from coopery.snapshot.attributes import belongs

USER = 1000  # of modes without privileges
RANGE = 200_000  # where the ids of mode `sub` begin outside

Description = dict[bytes, tuple[object, ...]]


def run_in(mode: str, body: Callable[[Path], None]) -> None:
    """Run `body` with a new directory in a child process that has entered the namespaces of `mode`.

    Besides the modes of coopery.snapshot.scratch there is "user": no namespace and no privileges. What the child
    raises fails the test with its traceback.
    """
    top = Path(tempfile.mkdtemp(prefix="coopery-snapshot-"))
    owner = {"single": USER, "user": USER, "sub": RANGE}.get(mode, 0)
    os.chown(top, owner, owner)
    out, back = os.pipe()
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(out)
            os.close(go)
            _enter(mode, back, ready)
            body(top)
            status = 0
        except BaseException:
            os.write(back, b"!" + traceback.format_exc().encode(errors="replace")[-60_000:])
        finally:
            os._exit(status)
    os.close(back)
    os.close(ready)
    said = b""
    while piece := os.read(out, 65536):
        said += piece
        if said == b"?":
            start = RANGE if mode == "sub" else 0
            count = 65536 if mode == "sub" else 4294967295
            for name in ("uid", "gid"):
                _write(f"/proc/{child}/{name}_map", f"0 {start} {count}")
            os.write(go, b"!")
            said = b""
    os.close(out)
    os.close(go)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(top, ignore_errors=True)
    assert status == 0, said.decode(errors="replace").lstrip("!")


def _enter(mode: str, back: int, ready: int) -> None:
    os.umask(0o022)
    if mode in ("single", "user"):
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    if mode == "mnt":
        kernel.unshare(kernel.CLONE_NEWNS)
    elif mode in ("full", "sub", "single"):
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        if mode == "single":
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"0 {USER} 1")
            _write("/proc/self/gid_map", f"0 {USER} 1")
        else:
            os.write(back, b"?")
            os.read(ready, 1)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
    if mode not in ("none", "user"):
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


class Shelf:
    """Stored layers, and what is derived from them, in a directory."""

    def __init__(self, top: Path, *, erofs: bool = True) -> None:
        self.top = top
        self.erofs = erofs
        self.made = 0
        top.mkdir(exist_ok=True)

    def put(self, change: Change) -> StoredLayer | None:
        """Archive a change; None if it is empty."""
        path = self.top / f"layer-{len(os.listdir(self.top))}.tar"
        seen = hashlib.sha256()
        with open(path, "wb") as file:

            def write(data: memoryview) -> None:
                seen.update(data)
                file.write(data)

            entries = write_layer(change, write)
        return StoredLayer(Digest("sha256", seen.hexdigest()), str(path), entries) if entries else None

    def keep(self, capture: Capture) -> StoredLayer | None:
        """Archive what a capture holds and tell it; None if that is nothing."""
        layer = self.put(capture.entries())
        if layer:
            capture.stored(layer)
        return layer

    def erofs_index(self, chain_id: Digest) -> str | None:
        path = self.top / f"index-{chain_id.hex}"
        return str(path) if path.exists() else None

    def put_erofs(self, chain_id: Digest, data: bytes | bytearray) -> str:
        path = self.top / f"index-{chain_id.hex}"
        path.write_bytes(data if self.erofs else b"no file system")
        return str(path)

    def tree(self, id_map: str, chain_id: Digest) -> str | None:
        path = self.top / f"tree-{id_map}-{chain_id.hex}"
        return str(path) if path.exists() else None

    @contextlib.contextmanager
    def make_tree(self, id_map: str, chain_id: Digest) -> Iterator[str]:
        path = Path(tempfile.mkdtemp(dir=self.top))
        yield str(path)
        self.made += 1
        path.rename(self.top / f"tree-{id_map}-{chain_id.hex}")


def describe(root: str, *, owners: bool = True, links: bool = False) -> Description:
    """Everything that a layer can say of what lies in `root`; with `links`, also which names are one file."""
    found: Description = {}
    inodes: dict[int, list[bytes]] = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in names + files:
            full = os.path.join(directory, name)
            path = full[len(root) + 1 :]
            status = os.lstat(full)
            if stat.S_ISSOCK(status.st_mode):
                continue
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(Path(os.fsdecode(full)).read_bytes()).hexdigest()
                inodes.setdefault(status.st_ino, []).append(path)
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(full)
            elif stat.S_ISCHR(status.st_mode):
                content = status.st_rdev
            found[path] = (
                status.st_mode,
                (status.st_uid, status.st_gid) if owners else (),
                status.st_mtime_ns // 10**9,
                content,
                tuple(
                    (key, os.getxattr(full, key, follow_symlinks=False))
                    for key in sorted(os.listxattr(full, follow_symlinks=False))
                    if belongs(key)
                ),
            )
    if links:
        for group in inodes.values():
            for path in group:
                found[path] += (tuple(sorted(group)),)
    status = os.lstat(root)
    found[b""] = (status.st_mode, (status.st_uid, status.st_gid) if owners else ())
    return found


class Mutator:
    """Makes random changes in a tree, without ever following a link."""

    def __init__(self, seed: int, *, owners: bool = True, devices: bool = False) -> None:
        self._random = random.Random(seed)
        self._owners = owners
        self._devices = devices

    def run(self, root: str, count: int) -> None:
        """Make `count` changes in `root`; those that the system refuses count."""
        actions = [
            *[self._create] * 4,
            *[self._mkdir] * 3,
            self._symlink,
            self._hard_link,
            self._fifo,
            self._socket,
            self._device,
            *[self._unlink] * 2,
            self._remove_tree,
            *[self._rename] * 3,
            self._chmod,
            self._chown,
            self._xattr,
            self._rewrite,
            self._append,
            self._become_file,
            self._become_directory,
            self._recreate,
            self._times,
        ]
        for _ in range(count):
            # EXDEV for a directory of a lower layer, ENOTEMPTY, EPERM, …: as tools would meet it
            with contextlib.suppress(OSError):
                self._random.choice(actions)(os.fsencode(root))

    def _paths(self, root: bytes, wanted: Callable[[int], bool]) -> list[bytes]:
        found = [
            os.path.join(directory, name)
            for directory, names, files in os.walk(root)
            for name in sorted(names + files)
            if wanted(os.lstat(os.path.join(directory, name)).st_mode)
        ]
        return sorted(found)

    def _one(self, root: bytes, wanted: Callable[[int], bool]) -> bytes:
        return self._random.choice(self._paths(root, wanted) or [root + b"/missing"])

    def _any(self, root: bytes) -> bytes:
        return self._one(root, lambda mode: True)

    def _file(self, root: bytes) -> bytes:
        return self._one(root, stat.S_ISREG)

    def _directory(self, root: bytes) -> bytes:
        return self._random.choice([root, *self._paths(root, stat.S_ISDIR)])

    def _new(self, root: bytes) -> bytes:
        names = [b"a", b"b", b"a-b", b"b.c", b"\xff\n x", b"\xc3\xa9", b"-", b"#", b"lib", b"x" * 120]
        return os.path.join(self._directory(root), self._random.choice(names))

    def _write(self, path: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        os.write(handle, self._random.randbytes(self._random.choice([0, 5, 600, 9000])))
        os.close(handle)

    def _create(self, root: bytes) -> None:
        self._write(self._new(root))

    def _mkdir(self, root: bytes) -> None:
        os.mkdir(self._new(root))

    def _symlink(self, root: bytes) -> None:
        os.symlink(self._random.choice([b"a", b"/etc", b"../lib", b"nowhere" * 20]), self._new(root))

    def _hard_link(self, root: bytes) -> None:
        os.link(self._file(root), self._new(root))

    def _fifo(self, root: bytes) -> None:
        os.mkfifo(self._new(root))

    def _socket(self, root: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(self._new(root))

    def _device(self, root: bytes) -> None:
        if self._devices:
            os.mknod(self._new(root), stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def _unlink(self, root: bytes) -> None:
        os.unlink(self._any(root))

    def _remove_tree(self, root: bytes) -> None:
        shutil.rmtree(self._one(root, stat.S_ISDIR))

    def _rename(self, root: bytes) -> None:
        os.rename(self._any(root), self._random.choice([self._new, self._any])(root))

    def _chmod(self, root: bytes) -> None:
        path = self._one(root, lambda mode: not stat.S_ISLNK(mode))
        os.chmod(path, self._random.choice([0o755, 0o4755, 0o700, 0o1777, 0o2750]))

    def _chown(self, root: bytes) -> None:
        if self._owners:
            os.chown(self._any(root), self._random.choice([0, 7, 65534]), 8, follow_symlinks=False)

    def _xattr(self, root: bytes) -> None:
        path = self._random.choice([self._file, self._directory])(root)
        if path != root:
            os.setxattr(path, "user.test", self._random.choice([b"one", b"\0\n=two"]))

    def _rewrite(self, root: bytes) -> None:
        path = self._file(root)
        before = os.stat(path)
        with open(path, "r+b") as file:
            file.write(self._random.randbytes(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _append(self, root: bytes) -> None:
        with open(self._file(root), "ab") as file:
            file.write(b"more")

    def _become_file(self, root: bytes) -> None:
        path = self._one(root, stat.S_ISDIR)
        shutil.rmtree(path)
        self._write(path)

    def _become_directory(self, root: bytes) -> None:
        path = self._file(root)
        os.unlink(path)
        os.mkdir(path)
        self._write(path + b"/inner")

    def _recreate(self, root: bytes) -> None:
        path = self._one(root, stat.S_ISDIR)
        names = os.listdir(path)
        shutil.rmtree(path)
        os.mkdir(path)
        for name in names[::2]:
            self._write(os.path.join(path, name))

    def _times(self, root: bytes) -> None:
        seconds = self._random.choice([1, 1_000_000_000, 2_000_000_000])
        os.utime(self._any(root), (seconds, seconds), follow_symlinks=False)
