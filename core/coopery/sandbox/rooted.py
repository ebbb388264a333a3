"""Paths inside a root file system, and mount points made there for a while. Runs in the helper process.

A walk keeps an open descriptor for every directory on its way and takes one name at a time without following
symlinks; their targets are read and walked in turn, and `..` goes back to the descriptor before. So nothing that
changes meanwhile, such as a directory swapped for a symlink by a step that shares a cache, leads out of the root
(CVE-2024-23651). What was made is found again by its physical path, device and inode, never through a symlink
(CVE-2024-23652).
"""

from __future__ import annotations

import errno
import os
import stat

_MAX_SYMLINKS = 40  # as the kernel's own limit
_DIRECTORY = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC

#: (parent's path as names from the root, name, device, inode, whether a directory,
#: the parent's mtime in ns before and after).
Stub = tuple[tuple[bytes, ...], bytes, int, int, bool, int, int]


class Root:
    """A directory that paths are looked up in as if it were `/`."""

    def __init__(self, path: bytes) -> None:
        """OSError if `path` isn't a directory."""
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.stubs: list[Stub] = []

    def close(self) -> None:
        """Let go of the directory's descriptor."""
        os.close(self.fd)

    def open(self, path: bytes, create: str = "", *, follow: bool = True) -> int:
        """An O_PATH descriptor of what `path` names, topmost mount included; never of a symlink.

        With `create` ("file" or "directory") what is missing is made, the directories above it too, and noted in
        `stubs`; "parents" makes only those above. OSError with the path: ENOENT if something is missing, ELOOP for
        too many symlinks or, without `follow`, any.
        """
        walked, name, fd = self.walk(path, create, follow=follow)
        if fd == -1:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        if not name:
            fd = os.dup(fd)
        for _, parent in walked[1:]:
            os.close(parent)
        return fd

    def walk(self, path: bytes, create: str = "", *, follow: bool = True) -> tuple[list[tuple[bytes, int]], bytes, int]:
        """The directories (name, descriptor) down to what `path` names, its last name, an O_PATH descriptor of it.

        The first directory is the root itself, whose descriptor isn't the caller's to close. The last descriptor is
        -1 if nothing is there by that name. If the path ends at a directory walked through, such as the root, the
        name is empty and the descriptor that directory's own.
        """
        todo = _names(path)
        walked: list[tuple[bytes, int]] = [(b"", self.fd)]
        links = 0
        try:
            while todo:
                name = todo.pop(0)
                if name == b"..":
                    if len(walked) > 1:
                        os.close(walked.pop()[1])
                    continue
                parent = walked[-1][1]
                try:
                    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                except FileNotFoundError:
                    if not todo and create in ("", "parents"):
                        return walked, name, -1
                    if not create:
                        raise
                    fd = self._make(walked, name, directory=bool(todo) or create == "directory")
                mode = os.fstat(fd).st_mode
                if stat.S_ISLNK(mode):
                    target = os.readlink(b"", dir_fd=fd)
                    os.close(fd)
                    links += 1
                    if links > (_MAX_SYMLINKS if follow else 0):
                        _fail(errno.ELOOP)
                    if target.startswith(b"/"):
                        while len(walked) > 1:
                            os.close(walked.pop()[1])
                    todo = _names(target) + todo
                elif not todo:
                    return walked, name, fd
                else:
                    walked.append((name, fd))
                    if not stat.S_ISDIR(mode):
                        _fail(errno.ENOTDIR)
        except OSError as error:
            for _, fd in walked[1:]:
                os.close(fd)
            raise OSError(error.errno, os.strerror(error.errno or 0), os.fsdecode(path)) from error
        return walked, b"", walked[-1][1]

    def _make(self, walked: list[tuple[bytes, int]], name: bytes, *, directory: bool) -> int:
        """Make an empty file or directory, note it, and return an O_PATH descriptor of it."""
        parent = walked[-1][1]
        before = os.fstat(parent).st_mtime_ns
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        except FileExistsError:  # another step that shares this directory was first: not ours to remove
            return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        made = os.fstat(fd)
        place = tuple(part for part, _ in walked[1:])
        after = os.fstat(parent).st_mtime_ns
        self.stubs.append((place, name, made.st_dev, made.st_ino, directory, before, after))
        return fd


def remove_stubs(rootfs: bytes, stubs: list[Stub]) -> None:
    """Take away what `Root.open` made, as far as it is still there, empty and the same, last made first.

    A parent directory's mtime goes back to what it was, unless something else changed the directory meanwhile: then
    it keeps that change's time.
    """
    root = os.open(rootfs, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        for stub in reversed(stubs):
            try:
                _remove(root, stub)
            except OSError:  # moved, replaced, filled or below a read-only mount: no longer ours
                continue
    finally:
        os.close(root)


def _remove(root: int, stub: Stub) -> None:
    place, name, device, inode, directory, before, after = stub
    parent = os.dup(root)
    try:
        for part in place:
            child = os.open(part, _DIRECTORY, dir_fd=parent)
            os.close(parent)
            parent = child
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if (found.st_dev, found.st_ino) != (device, inode) or stat.S_ISDIR(found.st_mode) != directory:
            return
        times = os.fstat(parent)
        if directory:
            os.rmdir(name, dir_fd=parent)
        elif found.st_size == 0 and found.st_nlink == 1:
            os.unlink(name, dir_fd=parent)
        else:
            return
        mtime = before if times.st_mtime_ns == after else times.st_mtime_ns
        os.utime(b"/proc/self/fd/%d" % parent, ns=(times.st_atime_ns, mtime))
    finally:
        os.close(parent)


def _fail(code: int) -> None:
    raise OSError(code, os.strerror(code))


def _names(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name not in (b"", b".")]
