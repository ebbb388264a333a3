"""What a chrooted RUN needs from outside its root, lent to that for its duration. Runs in the helper process.

Without mounts a device, /etc/resolv.conf, a secret or a cache can only be had by really being there. Files are copied
in, directories moved, sockets linked. What stood in the place is set aside, outside of the root, so that files which
share their data with a store are never written to, and comes back afterwards whatever the RUN did to its substitute.
Places are kept as directory descriptors: no symlink that the RUN makes leads the taking back astray.
"""

from __future__ import annotations

import errno
import os
import stat

from coopery.sandbox.rooted import Root, Stub, remove_stubs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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


class _Loan:
    """Something lent, under a name in a directory."""

    def __init__(self, directory: int, name: bytes, before: int) -> None:
        """`directory` is a descriptor, `before` the directory's mtime in ns."""
        self.directory = directory
        self.name = name
        self.before = self.after = before
        self.aside = b""  # where what stood there is now, if anything did
        self.origin = b""  # where it came from, if it was moved
        self.identity = (0, 0)  # its device and inode, if so
        self.stubs: list[Stub] = []  # directories made for it


class Files:
    """What was lent to one root."""

    def __init__(self, rootfs: bytes) -> None:
        """OSError if `rootfs` isn't a directory."""
        self._rootfs = rootfs
        self._root = Root(rootfs)
        self._lent: list[_Loan] = []
        self._aside = b"%s.aside-%d" % (rootfs.rstrip(b"/"), os.getpid())  # on the same file system
        self._outside = -1  # a descriptor of that
        self._moved: dict[bytes, bytes] = {}  # where directories are now

    def lend(self, spec: Spec) -> None:
        """Put devices, network files and read-only bound files in their places."""
        for name, (major, minor) in _DEVICES.items():
            self._device(b"dev/" + name, os.makedev(major, minor))
        for name, target in _LINKS.items():
            self._link(b"dev/" + name, target)
        self._directory(b"dev/shm")
        self._substitute(b"etc/resolv.conf", lambda place: _new_file(place, spec["resolv_conf"]))
        self._substitute(b"etc/hosts", lambda place: _new_file(place, spec["hosts"]))
        for mount in spec["mounts"]:
            if mount[0] == "tmpfs":
                self._temporary(mount[1], mount[3])
            else:
                self._bind(mount[1], mount[2])

    def take_back(self) -> None:
        """Put everything back as it was; a directory's mtime too if nothing else changed it."""
        while self._lent:
            loan = self._lent.pop()
            changed = os.fstat(loan.directory).st_mtime_ns
            if loan.origin:
                _return(loan)
            _remove(loan.directory, loan.name)
            if loan.aside:
                try:
                    os.rename(loan.aside, loan.name, src_dir_fd=self._outside, dst_dir_fd=loan.directory)
                except FileNotFoundError:  # the RUN has removed the directory: what was in it goes, too
                    _remove(self._outside, loan.aside)
            times = os.fstat(loan.directory)
            place = b"/proc/self/fd/%d" % loan.directory
            os.utime(place, ns=(times.st_atime_ns, loan.before if changed == loan.after else changed))
            os.close(loan.directory)
            remove_stubs(self._rootfs, loan.stubs)
        if self._outside != -1:
            os.close(self._outside)
            os.rmdir(self._aside)
        self._root.close()
        remove_stubs(self._rootfs, self._root.stubs)  # of what failed

    def _temporary(self, target: bytes, mode: int) -> None:
        self._substitute(target, lambda place: _new_directory(place, mode))

    def _bind(self, source: bytes, target: bytes) -> None:
        """A file, copied; a socket, linked; or a directory, moved, or linked to by name if it is here already."""
        if source in self._moved:
            there = self._moved[source]
            self._substitute(target, lambda place: os.symlink(there, place))
            return
        found = os.stat(source)
        if stat.S_ISREG(found.st_mode):
            self._substitute(target, lambda place: _copy(source, place))
        elif stat.S_ISDIR(found.st_mode):
            self._substitute(target, lambda place: _move(source, place), origin=source)
            self._moved[source] = target
        else:
            self._substitute(target, lambda place: _link(source, place))

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
        self._note(directory, name, before)

    def _link(self, path: bytes, target: bytes) -> None:
        directory = self._root.open(b"dev", "directory")
        name = path.rpartition(b"/")[2]
        before = os.fstat(directory).st_mtime_ns
        try:
            os.symlink(target, name, dir_fd=directory)
        except FileExistsError:
            os.close(directory)
            return
        self._note(directory, name, before)

    def _directory(self, path: bytes) -> None:
        directory, name, present = self._place(path)
        if present:
            os.close(directory)
            return
        before = os.fstat(directory).st_mtime_ns
        os.mkdir(name, 0o1777, dir_fd=directory)
        self._note(directory, name, before)

    def _substitute(self, path: bytes, make: Callable[[bytes], None], origin: bytes = b"") -> None:
        """Set aside what is at `path`, and have `make` put something else there; it came from `origin`, if that says
        so."""
        directory, name, present = self._place(path)
        loan = self._note(directory, name, os.fstat(directory).st_mtime_ns)
        if present:
            if self._outside == -1:
                os.mkdir(self._aside, 0o700)
                self._outside = os.open(self._aside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            aside = b"%d" % len(self._lent)
            os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=self._outside)
            loan.aside = aside
        make(b"/proc/self/fd/%d/%s" % (directory, name))
        if origin:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            loan.origin, loan.identity = origin, (found.st_dev, found.st_ino)
        loan.after = os.fstat(directory).st_mtime_ns

    def _note(self, directory: int, name: bytes, before: int) -> _Loan:
        loan = _Loan(directory, name, before)
        loan.after = os.fstat(directory).st_mtime_ns
        loan.stubs, self._root.stubs = self._root.stubs, []
        self._lent.append(loan)
        return loan


def _new_directory(place: bytes, mode: int) -> None:
    os.mkdir(place, 0o700)
    os.chmod(place, mode)


def _new_file(place: bytes, contents: bytes) -> None:
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(contents)


def _copy(source: bytes, place: bytes) -> None:
    with open(source, "rb") as file:
        found = os.fstat(file.fileno())
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as copy:
            while piece := file.read(1 << 20):
                copy.write(piece)
            os.fchown(fd, found.st_uid, found.st_gid)
            os.fchmod(fd, stat.S_IMODE(found.st_mode))
            copy.flush()
            os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))


def _move(source: bytes, place: bytes) -> None:
    try:
        os.rename(source, place)
    except OSError as error:
        raise _elsewhere(error, source) from error


def _link(source: bytes, place: bytes) -> None:
    try:
        os.link(source, place)
    except OSError as error:
        raise _elsewhere(error, source) from error


def _elsewhere(error: OSError, source: bytes) -> OSError:
    if error.errno != errno.EXDEV:
        return error
    return OSError(errno.EXDEV, "in a chroot, --scratch has to lie on the file system of the cache", source)


def _return(loan: _Loan) -> None:
    """Move a directory back to where it came from. If the RUN has put something else in its place, an empty one takes
    its own."""
    try:
        found = os.stat(loan.name, dir_fd=loan.directory, follow_symlinks=False)
        # A link that the RUN made may have the number of the directory that it removed.
        if (found.st_dev, found.st_ino) == loan.identity and stat.S_ISDIR(found.st_mode):
            os.rename(loan.name, loan.origin, src_dir_fd=loan.directory)
            return
    except FileNotFoundError:
        pass
    os.mkdir(loan.origin, 0o755)


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
