"""Unpacks layers onto a disk. Every step goes by directory descriptors and single names; no link is ever followed.

What keeps an unpacker inside its root is decided before, by `coopery.tree.tree.normalise`: it resolves links in paths
as values. Here a link in the wrong place is an error or is replaced, but nothing goes through it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Literal

from coopery.archive.removal import remove, remove_contents
from coopery.errors import CooperyError, EnvironmentUnsuitable, IntegrityError, StorageError
from coopery.tree.entry import OPAQUE_WHITEOUT, WHITEOUT_PREFIX, Entry, Kind

#: Says where a file of the layers below is: the path of its layer's tar, and its entry with the offset there.
LowerFile = Callable[[bytes], tuple[str, Entry] | None]

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN = 128  # directories held open at once, whatever their depth
_AT_ONCE = 1 << 17  # contents up to this size are read and written in one go
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL)
_SPECIAL = {Kind.CHARACTER: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK, Kind.FIFO: stat.S_IFIFO}


def extract(
    tar_path: str,
    entries: Sequence[Entry],
    root: str,
    *,
    whiteouts: Literal["delete", "overlay"] = "delete",
    chown: bool = True,
    devices: bool = True,
    user_xattrs: bool = False,
    lower: LowerFile | None = None,
) -> list[tuple[bytes, bytes]]:
    """Unpack a layer into the directory `root`.

    `entries` are the layer's as `normalise` gives them; contents come from the tar at `tar_path`. With "delete" the
    layer is applied to what is in `root`: whiteouts delete, entries replace. With "overlay" `root` is empty and
    becomes a lower directory of an overlayfs: whiteouts turn into its own marks (the kernel's
    Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"), with `user_xattrs` into those that
    the mount option `userxattr` reads. `lower` finds the files of the layers below that hard links lead to; only the
    overlay form asks, to put a copy here.

    Without `chown`, all belongs to the caller. Without `devices`, device nodes are left out, as a user namespace
    can't make them. Returns the extended attributes that the kernel refused, as pairs of path and name.

    IntegrityError if the tar is too short or the entries aren't in order; EnvironmentUnsuitable where rights are
    missing; StorageError for what else can go wrong with a disk.
    """
    extraction = _Extraction(tar_path, root, whiteouts == "overlay", chown, devices, user_xattrs, lower)
    path = b""
    try:
        extraction.start()
        try:
            targets = {entry.link for entry in entries if entry.kind is Kind.HARDLINK}
            for entry in entries:
                path = entry.path
                extraction.add(entry, path in targets)
            extraction.leave(0)
        finally:
            extraction.close()
    except OSError as error:
        raise _explain(error, path) from error
    return extraction.refused


class _Open:
    """A directory that is being filled."""

    __slots__ = ("entry", "fd", "path")

    def __init__(self, path: bytes, fd: int, entry: Entry | None) -> None:
        self.path = path
        self.fd = fd  # -1 while closed to save descriptors
        self.entry = entry  # its attributes, set when it is full


class _Extraction:
    def __init__(
        self,
        tar_path: str,
        root: str,
        overlay: bool,
        chown: bool,
        devices: bool,
        user_xattrs: bool,
        lower: LowerFile | None,
    ) -> None:
        self.refused: list[tuple[bytes, bytes]] = []
        self._tar_path = tar_path
        self._root = root
        self._overlay = overlay
        self._chown = chown
        self._devices = devices
        self._marks = b"user.overlay." if user_xattrs else b"trusted.overlay."
        self._lower = lower
        self._privileged = os.geteuid() == 0
        self._tar = -1
        self._stack: list[_Open] = []
        self._links: dict[bytes, bytes] = {}  # targets of hard links: where they are in `root`
        self._left_out: set[bytes] = set()  # device nodes
        self._marked = b""  # the directory last marked as holding whiteout files, with a slash behind

    def start(self) -> None:
        self._tar = os.open(self._tar_path, os.O_RDONLY | os.O_CLOEXEC)
        self._stack.append(_Open(b"", os.open(self._root, _OPEN_DIRECTORY & ~os.O_NOFOLLOW), None))

    def close(self) -> None:
        for directory in self._stack:
            if directory.fd >= 0:
                os.close(directory.fd)
        if self._tar >= 0:
            os.close(self._tar)

    def add(self, entry: Entry, is_target: bool) -> None:
        path, kind = entry.path, entry.kind
        if not path:
            if kind is not Kind.DIRECTORY or len(self._stack) > 1:
                raise _disorder(path)
            self._stack[0].entry = entry
            return
        parent, _, name = path.rpartition(b"/")
        stack = self._stack
        while stack[-1].path != parent:
            if len(stack) == 1:
                raise _disorder(path)
            self.leave(len(stack) - 1)
        if name in (b"", b".", b"..") or b"\0" in name:
            raise _disorder(path)
        fd = stack[-1].fd
        if kind is Kind.FILE:
            if name.startswith(WHITEOUT_PREFIX):
                self._whiteout(fd, name)
                return
            self._file(fd, name, entry, self._tar)
        elif kind is Kind.DIRECTORY:
            self._directory(fd, name, entry)
            return
        elif kind is Kind.HARDLINK:
            self._hard_link(fd, name, entry)
            return
        else:
            if kind is Kind.SYMLINK:
                self._make(fd, name, lambda: os.symlink(entry.link, name, dir_fd=fd))
            elif kind is Kind.FIFO or self._devices:
                mode, device = _SPECIAL[kind] | 0o600, os.makedev(*entry.device)
                self._make(fd, name, lambda: os.mknod(name, mode, device, dir_fd=fd))
            else:
                self._make(fd, name, lambda: None)
                self._left_out.add(path)
                return
            self._dress(fd, name, entry)
        if is_target:
            self._links[path] = path

    def leave(self, depth: int) -> None:
        """Finish the open directories from `depth` on: their times last, when nothing is added any more."""
        stack = self._stack
        while len(stack) > depth:
            directory = stack[-1]
            fd, entry = directory.fd, directory.entry
            if entry is not None:
                self._attributes(fd, entry)
            stack.pop()
            os.close(fd)
            if stack and stack[-1].fd < 0:
                stack[-1].fd = self._reopen(stack[-1].path)

    # ------------------------------------------------------------------------------------------ what an entry makes

    def _make(self, fd: int, name: bytes, make: Callable[[], None]) -> None:
        """Call `make`, with whatever has the name out of the way."""
        if not self._overlay:
            remove(fd, name)
        make()

    def _file(self, fd: int, name: bytes, entry: Entry, tar: int) -> None:
        try:
            file = os.open(name, _CREATE, 0o600, dir_fd=fd)
        except FileExistsError:
            remove(fd, name)
            file = os.open(name, _CREATE, 0o600, dir_fd=fd)
        try:
            if entry.size:
                _copy(tar, entry.offset, file, entry.size, entry.path)
            self._attributes(file, entry)
        finally:
            os.close(file)

    def _directory(self, fd: int, name: bytes, entry: Entry) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
            opened = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
        except FileExistsError:
            opened = self._existing(fd, name, entry)
        stack = self._stack
        stack.append(_Open(entry.path, opened, entry))
        if len(stack) > _MAX_OPEN and (far := stack[-_MAX_OPEN]).fd >= 0 and far.path:
            os.close(far.fd)
            far.fd = -1

    def _existing(self, fd: int, name: bytes, entry: Entry) -> int:
        """The directory that is there already, opened; made if there is something else."""
        if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            remove(fd, name)
            os.mkdir(name, 0o700, dir_fd=fd)
        elif not self._privileged:
            self._permit(fd, name)
        opened = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
        wanted = {os.fsdecode(key) for key, _ in entry.xattrs}
        for key in os.listxattr(opened):
            # A default ACL would be inherited by what is made here; it comes back with the other attributes.
            if (key not in wanted and key != "security.selinux") or key == "system.posix_acl_default":
                os.removexattr(opened, key)
        return opened

    def _permit(self, fd: int, name: bytes) -> None:
        """Make a directory of an earlier layer writable for its owner until it gets its own mode."""
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)

    def _hard_link(self, fd: int, name: bytes, entry: Entry) -> None:
        if entry.link in self._left_out:
            self._make(fd, name, lambda: None)
            return
        target = self._links.get(entry.link)
        if target is None and self._overlay:
            found = self._lower(entry.link) if self._lower else None
            if found is None:
                raise IntegrityError(f"the layer has a hard link to {entry.link!r}, which no layer below has")
            self._copy_lower(fd, name, entry, *found)
            self._links[entry.link] = entry.path
            return
        parent, _, base = (entry.link if target is None else target).rpartition(b"/")
        source = fd if parent == self._stack[-1].path else self._reopen(parent)
        try:
            self._make(fd, name, lambda: os.link(base, name, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False))
        finally:
            if source != fd:
                os.close(source)

    def _copy_lower(self, fd: int, name: bytes, entry: Entry, tar_path: str, found: Entry) -> None:
        if found.kind is Kind.FILE:
            tar = os.open(tar_path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._file(fd, name, found._replace(path=entry.path), tar)
            finally:
                os.close(tar)
        else:
            self.add(found._replace(path=entry.path), False)

    def _whiteout(self, fd: int, name: bytes) -> None:
        if not self._overlay:
            if name == OPAQUE_WHITEOUT:
                remove_contents(fd)
            else:
                remove(fd, name[len(WHITEOUT_PREFIX) :])
            return
        if name == OPAQUE_WHITEOUT:
            os.setxattr(fd, self._marks + b"opaque", b"y")
            return
        hidden = name[len(WHITEOUT_PREFIX) :]
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=fd)
        except PermissionError:
            # On overlayfs itself, and in user namespaces before Linux 5.8: the form that Linux 6.7 brought.
            file = os.open(hidden, _CREATE, 0o600, dir_fd=fd)
            try:
                os.setxattr(file, self._marks + b"whiteout", b"y")
            finally:
                os.close(file)
            where = self._stack[-1].path + b"/"
            if where != self._marked:
                os.setxattr(fd, self._marks + b"opaque", b"x")
                self._marked = where

    # ------------------------------------------------------------------------------------------------- attributes

    def _attributes(self, fd: int, entry: Entry) -> None:
        """Set what an open file or directory has besides its contents."""
        if self._chown:
            os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)  # after chown(2), which clears setuid and setgid
        for name, value in entry.xattrs:
            self._xattr(fd, entry.path, name, value)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def _dress(self, fd: int, name: bytes, entry: Entry) -> None:
        """The same for what can't be opened."""
        if self._chown:
            os.chown(name, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        if entry.kind is not Kind.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=fd)
        for key, value in entry.xattrs:
            self._xattr(b"/proc/self/fd/%d/%s" % (fd, name), entry.path, key, value)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _xattr(self, place: int | bytes, path: bytes, name: bytes, value: bytes) -> None:
        try:
            os.setxattr(place, name, value, follow_symlinks=isinstance(place, int))
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self.refused.append((path, name))

    def _reopen(self, path: bytes) -> int:
        """The directory at `path`, opened name by name from the root."""
        fd = os.open(".", _OPEN_DIRECTORY, dir_fd=self._stack[0].fd)
        for name in path.split(b"/") if path else ():
            try:
                inner = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd


def _copy(tar: int, offset: int, file: int, size: int, path: bytes) -> None:
    """Write `size` bytes of the tar from `offset` on into the new, empty file."""
    if size <= _AT_ONCE and offset >= 0:
        data = os.pread(tar, size, offset)
        if len(data) == size and os.write(file, data) == size:
            return
        os.lseek(file, 0, os.SEEK_SET)
    if offset < 0:
        raise IntegrityError(f"the contents of {path!r} are in no layer")
    copied = 0
    while copied < size:
        count = os.sendfile(file, tar, offset + copied, min(size - copied, 1 << 30))
        if count == 0:
            raise IntegrityError(f"the layer's tar ends inside {path!r}")
        copied += count


def _disorder(path: bytes) -> IntegrityError:
    return IntegrityError(f"the layer's entry {path!r} doesn't follow the directory it lies in")


def _explain(error: OSError, path: bytes) -> CooperyError:
    what = f"cannot unpack {path.decode(errors='backslashreplace')[:200]!r}: {error.strerror}"
    if error.errno == errno.EPERM:
        return EnvironmentUnsuitable(what, hint="unpacking owners and devices needs root or a user namespace")
    if error.errno == errno.EINVAL:
        return EnvironmentUnsuitable(what, hint="a user namespace has to map all ids of the image: see /etc/subuid")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(what, hint="make room, or choose another place with --scratch")
    return StorageError(what)
