"""Files that a chrooted RUN needs, lent to the root for its duration. Runs in the helper process.

Without mounts a device, /etc/resolv.conf or a secret can only be had by really being there. What stood in the place
is set aside in the same directory under another name, so that files which share their data with a store are never
written to, and comes back afterwards whatever the RUN did to its substitute. Places are kept as directory
descriptors: no symlink that the RUN makes leads the taking back astray.
"""

from __future__ import annotations

import errno
import os
import stat

from coopery.sandbox.rooted import Root, remove_stubs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coopery.sandbox.spec import Spec

_DEVICES = {
    b"null": (1, 3),
    b"zero": (1, 5),
    b"full": (1, 7),
    b"random": (1, 8),
    b"urandom": (1, 9),
    b"tty": (5, 0),
}
_LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
}
_ASIDE = b".coopery-aside-"


class Files:
    """What was lent to one root."""

    def __init__(self, rootfs: bytes) -> None:
        """OSError if `rootfs` isn't a directory."""
        self._rootfs = rootfs
        self._root = Root(rootfs)
        # (directory, name, name it was set aside under or b"", the directory's mtime before and after)
        self._lent: list[tuple[int, bytes, bytes, int, int]] = []

    def lend(self, spec: Spec) -> None:
        """Put devices, network files and read-only bound files in their places."""
        for name, (major, minor) in _DEVICES.items():
            self._device(b"dev/" + name, os.makedev(major, minor))
        for name, target in _LINKS.items():
            self._link(b"dev/" + name, target)
        self._directory(b"dev/shm")
        self._file(b"etc/resolv.conf", spec["resolv_conf"], 0o644, 0, 0)
        self._file(b"etc/hosts", spec["hosts"], 0o644, 0, 0)
        for mount in spec["mounts"]:
            if mount[0] == "bind":
                source = mount[1]
                with open(source, "rb") as file:
                    found = os.fstat(file.fileno())
                    self._file(mount[2], file.read(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def take_back(self) -> None:
        """Put everything back as it was; a directory's mtime too if nothing else changed it."""
        while self._lent:
            directory, name, aside, before, after = self._lent.pop()
            changed = os.fstat(directory).st_mtime_ns
            _remove(directory, name)
            if aside and _there(directory, aside):  # else the RUN has removed it
                os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
            times = os.fstat(directory)
            place = b"/proc/self/fd/%d" % directory
            os.utime(place, ns=(times.st_atime_ns, before if changed == after else changed))
            os.close(directory)
        self._root.close()
        remove_stubs(self._rootfs, self._root.stubs)

    def _place(self, path: bytes) -> tuple[int, bytes, bool]:
        """The directory that `path` leads to, made if missing, its name there, and whether something has it."""
        walked, name, fd = self._root.walk(path, "parents")
        if not name:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(path))
        directory = os.dup(walked[-1][1])
        for _, parent in walked[1:]:
            os.close(parent)
        if fd != -1:
            os.close(fd)
        return directory, name, fd != -1

    def _device(self, path: bytes, device: int) -> None:
        directory, name, present = self._place(path)
        if present:
            os.close(directory)
            return
        before = os.fstat(directory).st_mtime_ns
        try:
            os.mknod(name, stat.S_IFCHR | 0o666, device, dir_fd=directory)
        except PermissionError:
            os.write(2, b"coopery: /%s can't be made here and is missing in this step\n" % path)
            os.close(directory)
            return
        self._note(directory, name, b"", before)

    def _link(self, path: bytes, target: bytes) -> None:
        directory = self._root.open(b"dev", "directory")
        name = path.rpartition(b"/")[2]
        before = os.fstat(directory).st_mtime_ns
        try:
            os.symlink(target, name, dir_fd=directory)
        except FileExistsError:
            os.close(directory)
            return
        self._note(directory, name, b"", before)

    def _directory(self, path: bytes) -> None:
        directory, name, present = self._place(path)
        if present:
            os.close(directory)
            return
        before = os.fstat(directory).st_mtime_ns
        os.mkdir(name, 0o1777, dir_fd=directory)
        self._note(directory, name, b"", before)

    def _file(self, path: bytes, contents: bytes, mode: int, uid: int, gid: int) -> None:
        directory, name, present = self._place(path)
        before = os.fstat(directory).st_mtime_ns
        aside = _ASIDE + name if present else b""
        if present:
            os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
        self._note(directory, name, aside, before)
        with open(fd, "wb") as file:
            os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
            file.write(contents)

    def _note(self, directory: int, name: bytes, aside: bytes, before: int) -> None:
        self._lent.append((directory, name, aside, before, os.fstat(directory).st_mtime_ns))


def _there(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove(directory: int, name: bytes) -> None:
    """Remove what has the name, if anything, a directory with all it holds, without following symlinks."""
    if not _there(directory, name):
        return
    if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=directory)
        return
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    for inner in os.listdir(fd):
        _remove(fd, os.fsencode(inner))
    os.close(fd)
    os.rmdir(name, dir_fd=directory)
