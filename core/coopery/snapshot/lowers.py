"""Lower directories of overlays, one for each layer: its tar mounted as EROFS, or else unpacked."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from coopery.archive.erofs import Unsupported, build_index
from coopery.archive.extract import extract
from coopery.errors import EnvironmentUnsuitable
from coopery.oci.digest import Digest
from coopery.snapshot.levels import Level
from coopery.snapshot.mounting import Marks, mount_erofs, unmount
from coopery.snapshot.scratch import Mode

_PROBE = Digest.of(b"an index of nothing, to see whether the kernel mounts such")
_THREADS = 4


class DerivedStore(Protocol):
    """Keeps what is made from layers, for later builds. Safe to use from several threads.

    Keys are chain IDs, or digests that take their place. Nothing found here disappears while the store is open.
    """

    def erofs_index(self, chain_id: Digest) -> str | None:
        """The path of the EROFS index of the chain's topmost layer, or None. On neither tmpfs nor overlayfs."""

    def put_erofs(self, chain_id: Digest, data: bytes | bytearray) -> str:
        """Keep an EROFS index; returns its path."""

    def tree(self, id_map: str, chain_id: Digest) -> str | None:
        """The directory with the chain's topmost layer unpacked for overlayfs under that id mapping, or None."""

    def make_tree(self, id_map: str, chain_id: Digest) -> AbstractContextManager[str]:
        """A new directory to unpack into. At the end of the block it becomes what `tree` finds, unless there is one
        by then; after an exception it is removed."""


class Lowers:
    """Makes the lower directories of levels, and keeps their mounts until it is closed."""

    def __init__(self, mode: Mode, marks: Marks, derived: DerivedStore, new_directory: Callable[[str], str]) -> None:
        self._derived = derived
        self._marks: Marks = marks
        self._mode = mode
        self._id_map = id_map_name(mode)
        self._new_directory = new_directory
        self._mounts: list[str] = []
        self._erofs: bool | None = None if mode == "mnt" else False  # None: not tried yet

    def directories(self, stack: Sequence[Level]) -> list[str]:
        """A directory for each level of a stack, in its order; missing ones are made, several at a time."""
        missing = [level for level in stack if not level.directory and not self._find(level)]
        if len(missing) > 1:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(_THREADS, len(missing))) as pool:
                list(pool.map(self._make, missing))
        elif missing:
            self._make(missing[0])
        return [level.directory for level in stack]

    def close(self) -> None:
        """Unmount."""
        while self._mounts:
            with contextlib.suppress(OSError):
                unmount(self._mounts.pop())

    def _find(self, level: Level) -> bool:
        """Give the level the directory that an earlier build derived for it; False if there is none."""
        with level.making:
            if level.directory:
                return True
            key = level.key()
            if self._erofs_works():
                index = self._derived.erofs_index(key)
                if index and self._mount(level, index):
                    return True
            level.directory = self._derived.tree(self._id_map, key) or ""
            return bool(level.directory)

    def _make(self, level: Level) -> None:
        with level.making:
            if level.directory:
                return
            assert level.layer
            key = level.key()
            entries = level.normalised()
            if self._erofs_works():
                with contextlib.suppress(Unsupported):
                    index = build_index(entries, os.stat(level.layer.tar).st_size)
                    if self._mount(level, self._derived.put_erofs(key, index)):
                        return
            with self._derived.make_tree(self._id_map, key) as directory:
                extract(
                    level.layer.tar,
                    entries,
                    directory,
                    whiteouts="overlay",
                    chown=self._mode != "single",
                    devices=self._mode == "mnt",
                    user_xattrs=self._marks == "user",
                    lower=level.file_below,
                )
            level.directory = self._derived.tree(self._id_map, key) or ""

    def _mount(self, level: Level, index: str) -> bool:
        assert level.layer
        target = self._new_directory("erofs")
        try:
            mount_erofs(index, level.layer.tar, target)
        except OSError:
            return False
        self._mounts.append(target)
        level.directory = target
        return True

    def _erofs_works(self) -> bool:
        if self._erofs is None:
            target = self._new_directory("erofs")
            index = self._derived.erofs_index(_PROBE) or self._derived.put_erofs(_PROBE, build_index((), 0))
            try:
                mount_erofs(index, index, target)
                unmount(target)
                self._erofs = True
            except OSError:
                self._erofs = False
        return self._erofs


def id_map_name(mode: Mode) -> str:
    """A name for what unpacked files look like on disk under this process's ids: a part of a path."""
    if mode == "mnt":
        return "trusted"
    try:
        maps = b"".join(_contents(f"/proc/self/{name}_map") for name in ("uid", "gid"))
    except OSError as error:
        raise EnvironmentUnsuitable(f"cannot read the user namespace's id mapping: {error.strerror}") from error
    return f"{mode}-{hashlib.sha256(b' '.join(maps.split())).hexdigest()[:16]}"


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
