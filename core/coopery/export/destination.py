"""Where results are written: files that appear whole or not at all, or standard output."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from coopery.errors import CooperyError, ExportError, StorageError
from coopery.oci.digest import Digest

#: Opens a blob, or a layer's uncompressed tar by its diff ID; the caller closes what it gets.
BlobOpener = Callable[[Digest], BinaryIO]
#: Gets bytes in a buffer that may be used again afterwards.
Write = Callable[[memoryview], object]


@contextmanager
def replacing(dest: str) -> Iterator[Write]:
    """Yields a function that writes to the file `dest`, which gets its new contents only if the block ends well.

    `-` is standard output; devices, pipes and sockets are written to as they are. Missing directories are made, and
    a symbolic link is followed. StorageError if there is no room, ExportError for whatever else goes wrong.
    """
    if dest == "-":
        if sys.stdout.isatty():
            raise ExportError(
                "an archive can't be written to a terminal", hint="redirect standard output, or name a file with dest="
            )
        with reporting("standard output"):
            sys.stdout.flush()
            yield _writer(sys.stdout.fileno())
        return
    with reporting(dest):
        try:
            mode = os.stat(dest).st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise ExportError(f"{dest} is a directory", hint="name a file in it")
        if not stat.S_ISREG(mode):
            fd = os.open(dest, os.O_WRONLY | os.O_CLOEXEC)
            try:
                yield _writer(fd)
            finally:
                os.close(fd)
            return
        target = os.path.realpath(dest)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = temporary_name(target)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            try:
                yield _writer(fd)
            finally:
                os.close(fd)
            os.rename(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise


@contextmanager
def reporting(dest: str) -> Iterator[None]:
    """Turns an OSError of writing to `dest` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise export_error(dest, error) from error


def export_error(dest: str, error: OSError) -> CooperyError:
    """What to tell the user about an OSError of writing to `dest`: StorageError or ExportError."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"no room to write {dest}: {reason}", hint="free some space, or write somewhere else")
    hint = {
        errno.EACCES: f"let the user with id {os.geteuid()} write there, or choose another place",
        errno.EPERM: f"let the user with id {os.geteuid()} write there, or choose another place",
        errno.EROFS: "the file system is read-only; choose another place",
        errno.ENOTDIR: "a part of the path is a file",
        errno.EPIPE: "whatever reads the output ended early",
    }.get(error.errno or 0, "")
    return ExportError(f"cannot write {dest}: {reason}", hint=hint)


def temporary_name(target: str) -> str:
    """A name beside `target` that nothing else uses."""
    directory, name = os.path.split(target)
    return os.path.join(directory, f".{name[:100]}.{os.getpid()}-{os.urandom(4).hex()}")


def _writer(fd: int) -> Write:
    def write(data: memoryview) -> None:
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                import select

                select.select((), (fd,), ())

    return write
