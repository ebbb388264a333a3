"""A directory for what has to lie on disk for a while: made when it is first wanted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from types import TracebackType

from coopery.errors import StorageError


class Scratch:
    """A temporary directory that ends with its context. It is in $TMPDIR, or in /var/tmp: whole layers are unpacked
    there, and /tmp is memory on many machines.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._places = [environ.get("TMPDIR", ""), "/var/tmp", "/tmp"]  # noqa: S108 - only to make a directory in
        self._made: tempfile.TemporaryDirectory[str] | None = None

    @property
    def path(self) -> str:
        """The directory. StorageError if there is nowhere to make one."""
        if self._made is None:
            place = next((one for one in self._places if one and os.access(one, os.W_OK | os.X_OK)), None)
            if place is None:
                raise StorageError("there is no place for temporary files", hint="name a directory with TMPDIR")
            self._made = tempfile.TemporaryDirectory(prefix="coopery-", dir=place)
        return self._made.name

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            self._made.cleanup()
