"""Deletes trees by directory descriptors, without following links and to any depth."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEPTH = 64


def remove(fd: int, name: bytes) -> None:
    """Delete `name`, whatever it is, from the directory open at `fd`; nothing happens if it isn't there. OSError."""
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=fd)
            return
    except FileNotFoundError:
        return
    inner = _open(fd, name)
    try:
        remove_contents(inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=fd)


def remove_contents(fd: int) -> None:
    """Delete all that is in the directory open at `fd`, which stays. OSError if something can't be deleted."""
    names = (b".removed-%d" % number for number in itertools.count())
    while _empty(fd, fd, 0, names):
        pass


def _empty(fd: int, top: int, depth: int, names: Iterator[bytes]) -> bool:
    """Delete what is in `fd`, a directory `depth` levels below `top`; whether something was left in `top` for later.

    What lies too deep to keep a descriptor for each level is moved up to `top`, under one of `names`.
    """
    hoisted = False
    for item in os.listdir(fd):
        name = os.fsencode(item)
        if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=fd)
        elif depth >= _MAX_DEPTH:
            os.rename(name, next(free for free in names if not _exists(top, free)), src_dir_fd=fd, dst_dir_fd=top)
            hoisted = True
        else:
            inner = _open(fd, name)
            try:
                hoisted |= _empty(inner, top, depth + 1, names)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=fd)
    return hoisted


def _exists(fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _open(fd: int, name: bytes) -> int:
    """The directory, opened; its owner gets the right to empty it."""
    if os.geteuid() != 0:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
