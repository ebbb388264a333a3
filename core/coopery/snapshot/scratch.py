"""Where the files of running steps lie: on memory where there is ample, on disk otherwise.

Creating small files on a memory-backed file system takes a tenth of the time it takes on ext4.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.kernel import mount, unmount
from coopery.snapshot.directories import make_directory, remove_tree
from coopery.snapshot.memory import available_memory

#: How the process stands to the kernel: real root with its own mount namespace; in a user namespace with all, a range
#: or one of the ids mapped; without a namespace of its own.
Mode = Literal["mnt", "full", "sub", "single", "none"]

MINIMUM = 2 << 30  # bytes of memory that must be available before any is taken
_NEARLY_NOTHING = 64 << 20


@dataclass(frozen=True, slots=True)
class Scratch:
    """A directory for files that end with the build."""

    path: str
    kind: Literal["memory", "disk"]
    capacity: int  # bytes

    def used(self) -> int:
        """Bytes in use: of memory by this scratch space alone, of a disk by everything on it."""
        found = os.statvfs(self.path)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def is_full(self) -> bool:
        """Whether so little is left that a step may have failed for want of room or of inodes."""
        found = os.statvfs(self.path)
        room = found.f_bavail * found.f_frsize
        few_inodes = found.f_files > 0 and found.f_favail < max(64, found.f_files // 100)
        return few_inodes or room < min(_NEARLY_NOTHING, self.capacity // 10)


@contextlib.contextmanager
def scratch_space(wanted: str, *, disk: str, mode: Mode) -> Iterator[Scratch]:
    """The scratch space that `--scratch` asks for: `auto`, `memory`, `disk` or a directory; gone after the block.

    On memory it is a tmpfs of half of what is available, mounted in this process's own namespace; `auto` takes it
    from 2 GiB available on. On disk it is a new directory under `disk`, or under the directory given.
    EnvironmentUnsuitable if memory was asked for and can't be had; UsageError for a directory that isn't one.
    """
    if wanted not in ("auto", "memory", "disk"):
        disk = os.path.abspath(wanted)
        if not os.path.isdir(disk):
            raise UsageError(
                f"the scratch directory {wanted} doesn't exist", hint="give auto, memory, disk or a directory"
            )
    path = make_directory(disk, f"scratch-{os.getpid()}-{os.urandom(4).hex()}")
    os.chmod(path, 0o700)
    mounted = 0
    try:
        if wanted in ("auto", "memory"):
            mounted, refusal = _mount_memory(path, mode, MINIMUM if wanted == "auto" else _NEARLY_NOTHING)
            if refusal and wanted == "memory":
                raise EnvironmentUnsuitable(f"no scratch space on memory: {refusal}", hint="use --scratch=disk")
        if mounted:
            yield Scratch(path, "memory", mounted)
        else:
            found = os.statvfs(path)
            yield Scratch(path, "disk", found.f_bavail * found.f_frsize)
    finally:
        if mounted:
            unmount(path)
        remove_tree(path)


def _mount_memory(path: str, mode: Mode, minimum: int) -> tuple[int, str]:
    """The size in bytes of the tmpfs that is now mounted at `path`, or 0 and the reason why none is."""
    if mode == "none":
        return 0, "it needs a mount namespace"
    available = available_memory()
    if available < minimum:
        return 0, f"{available >> 20} MiB of memory are available, less than {minimum >> 20}"
    size = available // 2
    try:
        mount("tmpfs", path, "tmpfs", 0, f"mode=700,size={size},nr_inodes={size >> 11}")
    except OSError as error:
        return 0, f"mounting a tmpfs failed: {error.strerror}"
    if mode != "mnt":
        try:
            os.setxattr(path, "user.coopery", b"")
            os.removexattr(path, "user.coopery")
        except OSError:
            unmount(path)
            return 0, "its files can't have user extended attributes, which overlays in a user namespace need"
    return size, ""
