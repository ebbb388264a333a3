"""The job's log: groups that fold, and nothing in them that Buildkite takes for an order."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coopery_buildkite import guard


class Log:
    """Standard error, and standard output where that is the same, from the first group on behind a guard."""

    def __init__(self) -> None:
        self._token = ""
        self._depth = 0

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """A group called `title`, opened when it ends by an exception. Inside of one it is a line: they don't nest."""
        self._depth += 1
        try:
            if self._depth == 1:
                self._guarded()
                self._write(f"{self._token}--- {line(title)}\n")
            else:
                self.say(title)
            yield
        except BaseException:
            if self._depth == 1:
                self._write(f"{self._token}^^^ +++\n")
            raise
        finally:
            self._depth -= 1

    def say(self, text: str) -> None:
        """One line that isn't a group, whatever is in it."""
        self._write(guard.harmless(line(text).encode("utf-8", "replace")).decode("utf-8", "replace") + "\n")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads the log any more: the build goes on
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stderr.write(text)
            sys.stderr.flush()

    def _guarded(self) -> None:
        """Start the guard. It ends with this process, or the last child that has our standard error."""
        if self._token:
            return
        self._token = secrets.token_hex(16) + " "
        output, error = os.fstat(1), os.fstat(2)
        reader, writer = os.pipe()
        try:
            subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(guard.__file__))],
                stdin=reader,
                stdout=2,
                start_new_session=True,  # signals are for the build: its last words are still to be shown
            )
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(writer, 2)
            if (output.st_dev, output.st_ino) == (error.st_dev, error.st_ino):
                os.dup2(writer, 1)
        finally:
            os.close(reader)
            os.close(writer)
        self._write(self._token + "\n")


def line(text: str) -> str:
    """`text` as one line without control characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
