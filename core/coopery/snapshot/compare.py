"""Finds what changed in a tree by comparing two recordings of every file's status."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial

from coopery.errors import StorageError
from coopery.ports import Opener
from coopery.snapshot.attributes import Owners, open_contents, read_entry, read_xattrs, whiteout
from coopery.tree.entry import Entry, Kind

#: What is recorded of each path. Of directories what a layer says of them; of all else every sign of a change, the
#: ctime above all, which no program can set back.
Recording = dict[bytes, tuple[object, ...]]


def record(root: str) -> Recording:
    """The status of everything under `root`, and of itself under the empty path. Sockets are left out.

    StorageError if it can't be read.
    """
    found: Recording = {}
    top = os.fsencode(root)
    try:
        with _unlocking() as unlock:
            found[b""] = _directory(top, os.lstat(top))[:-1]  # every step touches the root's time
            pending = [b""]
            while pending:
                path = pending.pop()
                prefix = path + b"/" if path else b""
                with os.scandir(top + b"/" + path) as children:
                    for child in children:
                        status = child.stat(follow_symlinks=False)
                        name = prefix + child.name
                        if stat.S_ISDIR(status.st_mode):
                            unlock(child.path, status)
                            found[name] = _directory(child.path, status)
                            pending.append(name)
                        elif not stat.S_ISSOCK(status.st_mode):
                            found[name] = (
                                status.st_mode,
                                status.st_uid,
                                status.st_gid,
                                status.st_size,
                                status.st_mtime_ns,
                                status.st_ctime_ns,
                                status.st_ino,
                                status.st_nlink,
                                status.st_rdev,
                            )
    except OSError as error:
        raise StorageError(f"cannot read what the step changed: {error}") from error
    return found


def _directory(full: bytes, status: os.stat_result) -> tuple[object, ...]:
    return status.st_mode, status.st_uid, status.st_gid, read_xattrs(full), status.st_mtime_ns


@contextlib.contextmanager
def _unlocking() -> Iterator[Callable[[bytes, os.stat_result], None]]:
    """A function that opens a directory to its owner until the block ends; root gets in anyway."""
    locked: list[tuple[bytes, int]] = []
    privileged = os.geteuid() == 0

    def unlock(full: bytes, status: os.stat_result) -> None:
        if not privileged and status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            mode = stat.S_IMODE(status.st_mode)
            os.chmod(full, mode | stat.S_IRWXU)
            locked.append((full, mode))

    try:
        yield unlock
    finally:
        for full, mode in reversed(locked):
            os.chmod(full, mode)


class Difference:
    """The paths in which two recordings differ."""

    def __init__(self, before: Recording, after: Recording) -> None:
        self.changed = {path for path, now in after.items() if before.get(path) != now}
        #: What is gone while its directory is still one; what lay in it goes with it.
        self.removed = {
            path
            for path in before
            if path not in after and (not (parent := path.rpartition(b"/")[0]) or _is_directory(after.get(parent)))
        }

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


def _is_directory(recorded: tuple[object, ...] | None) -> bool:
    return recorded is not None and isinstance(recorded[0], int) and stat.S_ISDIR(recorded[0])


def read_difference(root: str, difference: Difference, owners: Owners) -> Iterator[tuple[Entry, Opener | None]]:
    """The change as layer entries, with openers of the files' contents, read from `root` as it stands now.

    As `read_upper` does it: parents, changed or not, before their children, whiteouts before their siblings, names in
    order of their bytes. Of an inode with several names all appear, since they share its ctime; the first is the file.
    A file's opener serves until the next entry is asked for. StorageError if something can't be read.
    """
    top = os.fsencode(root)
    wanted = dict.fromkeys(difference.changed, False)
    wanted.update((path, True) for path in difference.removed)
    for path in list(wanted):
        parent = path.rpartition(b"/")[0]
        while parent and parent not in wanted:
            wanted[parent] = False
            parent = parent.rpartition(b"/")[0]
    first_names: dict[tuple[int, int], bytes] = {}
    with _unlocking() as unlock:
        for path in sorted(wanted, key=lambda path: _place(path, wanted[path])):
            if wanted[path]:
                yield whiteout(path), None
                continue
            full = top + b"/" + path
            try:
                status = os.lstat(full)
                entry = read_entry(path, full, status, owners)
                if entry is None:
                    continue
                if entry.kind is Kind.DIRECTORY:
                    unlock(full, status)
            except OSError as error:
                raise StorageError(f"cannot read what the step changed: {error}") from error
            if status.st_nlink > 1 and entry.kind is not Kind.DIRECTORY:
                first = first_names.setdefault((status.st_dev, status.st_ino), path)
                if first is not path:
                    yield entry._replace(kind=Kind.HARDLINK, size=0, link=first, device=(0, 0), xattrs=()), None
                    continue
            yield entry, partial(open_contents, full) if entry.kind is Kind.FILE else None


def _place(path: bytes, gone: bool) -> list[tuple[int, bytes]]:
    """The sort key of a path, whiteouts before the rest of their directory."""
    if not path:
        return []
    parts = path.split(b"/")
    return [(1, part) for part in parts[:-1]] + [(0 if gone else 1, parts[-1])]
