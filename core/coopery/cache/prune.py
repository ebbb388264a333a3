"""What the local cache holds, and making room in it: by age and by size, least recently used first.

Every entry says by its file's time when it was last used, and none is needed for another to be valid: whoever finds
a part of something missing makes or fetches it again. So entries are dropped one by one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from coopery.cache.layout import VERSION
from coopery.cache.store import storage_errors
from coopery.errors import StorageError

#: What people are shown, and in which directories it lies.
KINDS = {
    "blobs": "blobs/sha256",
    "layers": "tars",
    "layer indexes": "erofs",
    "unpacked layers": "trees",
    "cache mounts": "mounts",
    "step records": "records",
    "images": "images",
    "codings": "coded",
    "context files": "files",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One entry: its files, when it was last used (seconds since 1970), and the bytes it takes on disk."""

    kind: str
    paths: tuple[str, ...]
    used: float
    size: int


@dataclass(frozen=True, slots=True)
class Usage:
    """How many entries there are of a kind, and how many bytes they take on disk."""

    kind: str
    entries: int
    size: int


def disk_usage(root: str) -> tuple[Usage, ...]:
    """What the cache at `root` holds, by kind."""
    items = list(_items(os.path.join(root, VERSION)))
    return tuple(
        Usage(kind, len(own), sum(item.size for item in own))
        for kind in KINDS
        for own in [[item for item in items if item.kind == kind]]
    )


def prune(
    root: str,
    *,
    older_than: float | None = None,
    keep_bytes: int | None = None,
    now: Callable[[], float] = time.time,
) -> tuple[Usage, ...]:
    """Drop what was not used for `older_than` seconds, then the least recently used until `keep_bytes` or less are
    left. With neither, everything goes. Returns what was dropped, by kind.

    StorageError while a build is running, since that may need any of it.
    """
    top = os.path.join(root, VERSION)
    if not os.path.isdir(top):
        return ()
    with storage_errors("pruning the cache"):
        lock = os.open(os.path.join(top, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            items = sorted(_items(top), key=lambda item: item.used)
            dropped = _choose(items, older_than, keep_bytes, now())
            for item in dropped:
                for path in item.paths:
                    _remove(path, top)
            dropped += _drop_dead_records(top)
            _drop_leftovers(top)
        except BlockingIOError:
            hint = "prune when no build is running on this machine"
            raise StorageError("a build is using the cache", hint=hint) from None
        finally:
            os.close(lock)
    return tuple(
        Usage(kind, len(own), sum(item.size for item in own))
        for kind in KINDS
        for own in [[item for item in dropped if item.kind == kind]]
        if own
    )


def _choose(items: list[Item], older_than: float | None, keep_bytes: int | None, now: float) -> list[Item]:
    if older_than is None and keep_bytes is None:
        return list(items)
    dropped = [item for item in items if older_than is not None and item.used < now - older_than]
    left = items[len(dropped) :]
    total = sum(item.size for item in left)
    for item in left:
        if keep_bytes is None or total <= keep_bytes:
            break
        dropped.append(item)
        total -= item.size
    return dropped


def _drop_dead_records(top: str) -> list[Item]:
    """Records and codings whose layers or blobs are gone: they could never be hits again."""
    dead = []
    for item in _items(top):
        if item.kind not in ("step records", "codings"):
            continue
        with open(item.paths[0], "rb") as file:
            needed = _needed(top, item.kind, file.read())
        if needed is None or not all(os.path.exists(path) for path in needed):
            _remove(item.paths[0], top)
            dead.append(item)
    return dead


def _drop_leftovers(top: str) -> None:
    """What is of no use and of no size: locks of steps, which nobody holds now, and lists and marks whose layer is
    gone."""
    for name in os.listdir(os.path.join(top, "steps")):
        os.unlink(os.path.join(top, "steps", name))
    places = [os.path.join(top, "tars"), os.path.join(top, "mounts")]
    places += [entry.path for entry in os.scandir(os.path.join(top, "trees")) if entry.is_dir()]
    for place in places:
        names = set(os.listdir(place))
        for name in names:
            stem, _, suffix = name.rpartition(".")
            belongs = {"entries": f"{stem}.tar", "done": stem, "lock": stem}.get(suffix)
            if belongs and belongs not in names:
                os.unlink(os.path.join(place, name))


def _needed(top: str, kind: str, data: bytes) -> list[str] | None:
    """The files that a record or coding speaks of; None if it can't be read."""
    try:
        value = json.loads(data)
        if kind == "codings":
            return [os.path.join(top, "blobs/sha256", value["digest"].partition(":")[2])]
        return [os.path.join(top, "tars", diff_id.partition(":")[2] + ".tar") for diff_id, *_ in value]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _items(top: str) -> Iterator[Item]:
    for kind, place in KINDS.items():
        for path in _entries(os.path.join(top, place), nested=kind == "unpacked layers"):
            beside = [path + suffix for suffix in (".done", ".lock") if os.path.exists(path + suffix)]
            if kind == "layers":
                beside.append(path.removesuffix(".tar") + ".entries")
            # Directories' own times are those of what is in them: a file beside tells when they were used.
            mark = beside[0] if kind in ("unpacked layers", "cache mounts") and beside else path
            # What says that a thing is whole goes before the thing.
            paths = (*beside, path)
            try:
                yield Item(kind, paths, os.stat(mark).st_mtime, sum(map(_size, paths)))
            except FileNotFoundError:
                continue


def _entries(place: str, nested: bool) -> Iterator[str]:
    try:
        names = sorted(os.listdir(place))
    except OSError:
        return
    for name in names:
        path = os.path.join(place, name)
        if nested:
            yield from _entries(path, nested=False)
        elif not name.endswith((".entries", ".done", ".lock")):
            yield path


def _size(path: str) -> int:
    """Bytes on disk of a file or of all below a directory, links not followed."""
    try:
        info = os.lstat(path)
        total = info.st_blocks * 512
        if os.path.isdir(path) and not os.path.islink(path):
            with os.scandir(path) as found:
                total += sum(_size(entry.path) for entry in found)
    except OSError:
        return 0
    return total


def _remove(path: str, top: str) -> None:
    """Remove a file or directory; a directory at one stroke, so that half of one is never taken for the whole."""
    if os.path.isdir(path) and not os.path.islink(path):
        doomed = os.path.join(top, "tmp", "pruned-" + os.urandom(8).hex())
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)
