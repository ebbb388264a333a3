"""From files on disk to tree entries: what of a file's attributes belongs into a layer."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import BinaryIO

from coopery.errors import IntegrityError, StorageError
from coopery.tree.entry import WHITEOUT_PREFIX, Entry, Kind

Xattrs = tuple[tuple[bytes, bytes], ...]

#: The ids (uid, gid) that a layer says for a path, given what the file shows.
Owners = Callable[[bytes, int, int], tuple[int, int]]

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}
_WITH_XATTRS = (Kind.FILE, Kind.DIRECTORY)  # other kinds can't carry those that are kept
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.ENODATA, errno.ENOENT})


def belongs(name: str) -> bool:
    """Whether an extended attribute goes into a layer: file capabilities and the user's own.

    containerd's differ keeps file capabilities alone (pkg/archive/tar.go), Buildah `user.*` too. The labels of the
    machine's security modules, POSIX ACLs (which speak of the builder's ids) and overlayfs' own marks stay out.
    """
    return name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))


def read_xattrs(path: bytes | str) -> Xattrs:
    """The extended attributes of `path` itself that belong into a layer, sorted by name."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple(
            (os.fsencode(name), os.getxattr(path, name, follow_symlinks=False))
            for name in sorted(filter(belongs, names))
        )
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise


def copy_attributes(source: str, target: str) -> None:
    """Give the directory `target` the owner, mode, times and kept extended attributes of `source`."""
    status = os.stat(source)
    if os.stat(target)[stat.ST_UID : stat.ST_GID + 1] != status[stat.ST_UID : stat.ST_GID + 1]:
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name, value in read_xattrs(source):
        os.setxattr(target, name, value)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def shown_owner(path: bytes, uid: int, gid: int) -> tuple[int, int]:
    """The Owners for where ids on disk are the image's ids."""
    return uid, gid


def read_entry(path: bytes, full: bytes, status: os.stat_result, owners: Owners) -> Entry | None:
    """The entry for the file at `full`, which is `path` inside the root; None for a socket, which no layer can hold.

    IntegrityError if its name would be read as a whiteout.
    """
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    if path.startswith(WHITEOUT_PREFIX, path.rfind(b"/") + 1):
        raise IntegrityError(
            f"/{os.fsdecode(path)} can't be put into a layer: names beginning with .wh. stand for deletions there",
            hint="remove the file in the step that makes it",
        )
    uid, gid = owners(path, status.st_uid, status.st_gid)
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        uid,
        gid,
        status.st_size if kind is Kind.FILE else 0,
        status.st_mtime_ns,
        os.readlink(full) if kind is Kind.SYMLINK else b"",
        (os.major(status.st_rdev), os.minor(status.st_rdev))
        if kind is Kind.CHARACTER or kind is Kind.BLOCK
        else (0, 0),
        read_xattrs(full) if kind in _WITH_XATTRS else (),
    )


def same_directory(old: Entry | None, new: Entry) -> bool:
    """Whether the directory `new` says nothing that `old`, the entry below it, doesn't. Times count in seconds."""
    if old is None or old.kind is not Kind.DIRECTORY:
        return False
    kept = tuple((name, value) for name, value in old.xattrs if belongs(os.fsdecode(name)))
    seconds = 10**9
    return (old.mode, old.uid, old.gid, old.mtime_ns // seconds, kept) == (
        new.mode,
        new.uid,
        new.gid,
        new.mtime_ns // seconds,
        new.xattrs,
    )


def whiteout(path: bytes) -> Entry:
    """The entry that says that `path` is gone; without owner and time, as containerd writes it."""
    parent, slash, name = path.rpartition(b"/")
    return Entry(parent + slash + WHITEOUT_PREFIX + name, Kind.FILE, 0, 0, 0)


def open_contents(full: bytes) -> BinaryIO:
    """The contents of the regular file at `full`, unbuffered. StorageError if it can't be opened.

    A file whose mode keeps its own owner out is opened all the same.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            handle = os.open(full, flags)
        except PermissionError:
            mode = stat.S_IMODE(os.lstat(full).st_mode)
            os.chmod(full, mode | stat.S_IRUSR)
            try:
                handle = os.open(full, flags)
            finally:
                os.chmod(full, mode)
    except OSError as error:
        raise StorageError(f"cannot read {os.fsdecode(full)}: {error.strerror}") from error
    return open(handle, "rb", buffering=0)
