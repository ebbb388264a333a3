"""Directories that live as long as a step or a build."""

from __future__ import annotations

import contextlib
import itertools
import os

from coopery.archive.removal import remove
from coopery.errors import StorageError

_serial = itertools.count()


def make_directory(parent: str, purpose: str) -> str:
    """A new directory in `parent` with a name of this process's own, mode 0755. StorageError if it can't be made."""
    path = os.path.join(parent, f"{purpose}-{next(_serial)}")
    try:
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103 - some become root directories, which are so whatever the umask
    except OSError as error:
        raise StorageError(f"cannot make a directory in {parent}: {error.strerror}") from error
    return path


def remove_tree(path: str) -> None:
    """Remove `path` with everything in it, as far as that is possible. Mounts in it aren't entered."""
    parent, name = os.path.split(path)
    with contextlib.suppress(OSError):
        handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove(handle, os.fsencode(name))
        finally:
            os.close(handle)
