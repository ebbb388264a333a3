"""Writes a display's text to where people read it."""

from __future__ import annotations

import os
import select
from typing import Protocol


class TextStream(Protocol):
    """The little that displays ask of a stream; `sys.stderr` and `io.StringIO` have it."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> object:
        """Hand on what is buffered."""

    def isatty(self) -> bool:
        """Whether a terminal is behind it."""

    def fileno(self) -> int:
        """The file descriptor behind it; OSError if there is none."""


class Output:
    """A stream to which whole batches of lines are written at once.

    Where there is a file descriptor it is written to directly, as UTF-8 whatever the locale, and also when somebody
    else has made it non-blocking. When the reader has gone away, the log ends and the build goes on.
    """

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream
        self._gone = False
        try:
            self._fd = stream.fileno()
        except (OSError, ValueError, AttributeError):
            self._fd = -1

    def write(self, text: str) -> None:
        """Write `text` to the end."""
        if self._gone:
            return
        try:
            self._stream.flush()
            if self._fd < 0:
                self._stream.write(text)
                return
            data = memoryview(text.encode("utf-8", "replace"))
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:
                    select.select((), (self._fd,), ())
        except (OSError, ValueError):  # ValueError: a stream that has been closed
            self._gone = True

    def size(self) -> tuple[int, int]:
        """The terminal's columns and lines; 80 by 24 if there is no saying."""
        try:
            columns, lines = os.get_terminal_size(self._fd)
        except (OSError, ValueError):
            return 80, 24
        return columns or 80, lines or 24
