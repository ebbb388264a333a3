"""Reads an overlay's upper directory as a change: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
directories", to OCI image specification, layer.md#whiteouts."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from coopery.errors import StorageError
from coopery.ports import Opener
from coopery.snapshot.attributes import (
    Owners,
    Xattrs,
    open_contents,
    read_entry,
    read_xattrs,
    same_directory,
    whiteout,
)
from coopery.snapshot.mounting import Marks
from coopery.tree.entry import OPAQUE_WHITEOUT, Entry, Kind

#: What the layers below hold at a path.
Below = Callable[[bytes], Entry | None]


class RootAttributes(NamedTuple):
    """What of the root directory itself counts as a change. Its time doesn't: every step touches it."""

    mode: int
    uid: int
    gid: int
    xattrs: Xattrs

    @classmethod
    def of(cls, path: str) -> RootAttributes:
        """Those of the directory at `path`."""
        status = os.lstat(path)
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, read_xattrs(path))


class _Directory:
    """A directory whose children are being read."""

    __slots__ = ("children", "entry", "full", "hiding", "path")

    def __init__(self, path: bytes, full: bytes, entry: Entry | None, hiding: bool) -> None:
        self.path = path
        self.full = full
        self.entry = entry  # None once it was given out
        self.hiding = hiding  # nothing of the layers below is seen inside
        self.children: Iterator[tuple[bytes, os.stat_result, bool]] = iter(())


def read_upper(
    upper: str,
    marks: Marks,
    root: RootAttributes,
    below: Below,
    owners: Owners,
) -> Iterator[tuple[Entry, Opener | None]]:
    """The change that the directory `upper` holds over what is `below`, with openers of the files' contents.

    Parents come before their children, whiteouts before their siblings, names in order of their bytes: equal
    directories give equal sequences. Deletions of what no layer holds, such as the scaffold, are left out, as are
    directories that were copied up without anything in them or of them changing. `root` is what the root directory
    was before; it is told of only if that is different now.

    StorageError if the directory can't be read.
    """
    try:
        yield from _read(os.fsencode(upper), f"{marks}.overlay.".encode(), root, below, owners)
    except OSError as error:
        raise StorageError(f"cannot read what the step changed: {error}") from error


def _read(
    upper: bytes, marks: bytes, root: RootAttributes, below: Below, owners: Owners
) -> Iterator[tuple[Entry, Opener | None]]:
    first_names: dict[int, bytes] = {}  # by inode
    top = _Directory(b"", upper, None, False)
    top.children = _children(upper, marks)
    if RootAttributes.of(os.fsdecode(upper)) != root:
        entry = read_entry(b"", upper, os.lstat(upper), owners)
        assert entry
        yield entry, None
    open_directories = [top]
    while open_directories:
        directory = open_directories[-1]
        for name, status, gone in directory.children:
            path = directory.path + b"/" + name if directory.path else name
            if gone:
                if not directory.hiding and below(path) is not None:
                    yield from _pending(open_directories)
                    yield whiteout(path), None
                continue
            full = directory.full + b"/" + name
            entry = read_entry(path, full, status, owners)
            if entry is None:
                continue
            if entry.kind is Kind.DIRECTORY:
                opaque = _mark(full, marks + b"opaque") == b"y"
                child = _Directory(path, full, entry, directory.hiding or opaque)
                child.children = _children(full, marks)
                open_directories.append(child)
                # The kernel marks every new directory; it hides something only where there was a directory.
                if opaque and not directory.hiding:
                    old = below(path)
                    if old is not None and old.kind is Kind.DIRECTORY:
                        yield from _pending(open_directories)
                        yield Entry(path + b"/" + OPAQUE_WHITEOUT, Kind.FILE, 0, 0, 0), None
                break
            yield from _pending(open_directories)
            if status.st_nlink > 1:
                first = first_names.setdefault(status.st_ino, path)
                if first is not path:
                    yield entry._replace(kind=Kind.HARDLINK, size=0, link=first, device=(0, 0), xattrs=()), None
                    continue
            yield entry, partial(open_contents, full) if entry.kind is Kind.FILE else None
        else:
            open_directories.pop()
            entry = directory.entry
            if entry and (directory.hiding or not same_directory(below(directory.path), entry)):
                yield from _pending(open_directories)
                yield entry, None


def _pending(open_directories: list[_Directory]) -> Iterator[tuple[Entry, None]]:
    """The entries, not given out yet, of the directories on the way to something that changed."""
    for directory in open_directories:
        if directory.entry:
            yield directory.entry, None
            directory.entry = None


def _children(full: bytes, marks: bytes) -> Iterator[tuple[bytes, os.stat_result, bool]]:
    """Name, status and whether it only hides something, of what lies in a directory; those that do come first."""
    gone, there = [], []
    mark_files = _mark(full, marks + b"opaque") == b"x"  # the directory has whiteouts that are marked empty files
    with os.scandir(full) as found:
        for item in found:
            status = item.stat(follow_symlinks=False)
            # No layer can hold a socket, but it hides what the layers below have.
            if (
                stat.S_ISSOCK(status.st_mode)
                or (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0)
                or (
                    mark_files
                    and stat.S_ISREG(status.st_mode)
                    and status.st_size == 0
                    and _mark(item.path, marks + b"whiteout") is not None
                )
            ):
                gone.append((item.name, status, True))
            else:
                there.append((item.name, status, False))
    gone.sort(key=_name)
    there.sort(key=_name)
    return iter(gone + there)


def _name(child: tuple[bytes, os.stat_result, bool]) -> bytes:
    return child[0]


def _mark(full: bytes, name: bytes) -> bytes | None:
    try:
        return os.getxattr(full, name, follow_symlinks=False)
    except OSError:
        return None
