"""The directories behind cache mounts: locked, shared or private, among all builds that use the store."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from coopery.cache.store import Store
from coopery.errors import EnvironmentUnsuitable, Interrupted

#: Seconds between two tries at a lock.
_GLANCE = 0.05


@contextlib.contextmanager
def held(
    store: Store,
    name: str,
    sharing: str,
    make: Callable[[str], None] = lambda path: None,
    canceled: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """The directory of a cache mount: shared by all, locked for one step at a time, or private to one.

    A private one is the first of a series that no other step holds. `make` gets a new one ready, which appears whole
    or not at all. Interrupted as soon as `canceled` says so.
    """
    number = 0
    while True:
        path = store.mount_path(name if number == 0 else f"{name}\0{number}")
        handle = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _is_there(path):  # whoever makes it, or has it elsewhere for a while, holds the lock alone
                _lock(handle, fcntl.LOCK_EX, canceled, wait=sharing != "private")
                if not _is_there(path):
                    _make(store.temporary(), path, make)
            how = fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX
            _lock(handle, how, canceled, wait=sharing == "locked")
        except BlockingIOError:
            os.close(handle)
            number += 1
            continue
        except BaseException:
            os.close(handle)
            raise
        os.utime(handle)  # the directory's own time says nothing of its use
        break
    try:
        yield path
    finally:
        os.close(handle)


def _is_there(path: str) -> bool:
    """Whether there is a directory by that very name."""
    return os.path.isdir(path) and not os.path.islink(path)


def _make(new: str, path: str, make: Callable[[str], None]) -> None:
    os.mkdir(new, 0o755)
    try:
        make(new)
    except OSError as error:
        hint = "give the cache mount an owner that there is here: `coopery doctor` shows which ids there are"
        raise EnvironmentUnsuitable(f"a new cache can't be made: {error.strerror}", hint=hint) from error
    os.rename(new, path)


def _lock(handle: int, how: int, canceled: Callable[[], bool], *, wait: bool) -> None:
    """Lock an open file; BlockingIOError if somebody else has it and `wait` is false, Interrupted if canceled."""
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            if canceled():
                raise Interrupted("the build was stopped") from None
            time.sleep(_GLANCE)
        else:
            return
