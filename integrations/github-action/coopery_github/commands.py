"""Workflow commands: what a step tells the runner by lines of its output.

Whoever can print a line could give the runner orders, and builds print whatever a Dockerfile wants. From the first
command on the runner is therefore told to listen to nothing (`stop-commands`), and listens again only for the length
of one of ours. The runner forgets the state at the end of the step (actions/runner, Handler.cs and
ActionCommandManager.cs), so what is printed after a build, an error with its excerpt, say, can't give orders either.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Mapping

from coopery.redact import MIN_SECRET

#: A write of so many bytes to a pipe is never torn apart by what others write (PIPE_BUF).
_WHOLE = 4096


def escape_data(text: str) -> str:
    """`text` as the message of a command: one line (actions/toolkit, command.ts, escapeData)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """`text` as the value of a command's property (actions/toolkit, command.ts, escapeProperty)."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


class Commands:
    """Gives the runner commands, on standard error as the progress of builds: in one stream, order holds."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # The action stops commands before it starts anything, and says by what token they are resumed.
        self._token = environ.get("COOPERY_STOP_COMMANDS", "")
        self._lock = threading.Lock()
        self._masked: set[str] = set()

    def give(self, command: str, text: str = "", **properties: str | int) -> None:
        """One command. Properties that are empty or 0 are left out; anything in them or in `text` may be hostile."""
        shown = ",".join(f"{name}={escape_property(str(value))}" for name, value in properties.items() if value)
        self._frame(f"::{command}{' ' if shown else ''}{shown}::{escape_data(text)}\n")

    def stop(self) -> None:
        """See to it that nothing printed from now on is a command, but for what this object prints."""
        with self._lock:
            if not self._token:
                self._token = secrets.token_hex(16)
                _write(f"::stop-commands::{self._token}\n")

    def mask(self, value: str) -> None:
        """Have the runner mask `value` and each of its lines, in what is printed from now on."""
        lines = value.splitlines()
        for each in dict.fromkeys([value.strip(), *map(str.strip, lines)] if len(lines) > 1 else [value.strip()]):
            if len(each.encode(errors="replace")) >= MIN_SECRET and each not in self._masked:
                self._masked.add(each)
                self.give("add-mask", each)

    def _frame(self, line: str) -> None:
        with self._lock:
            resume = f"::{self._token}::\n" if self._token else ""
            # A token that was used stands in the log: the next one is new.
            self._token = secrets.token_hex(16)
            stop = f"::stop-commands::{self._token}\n"
            if len((resume + line + stop).encode(errors="replace")) <= _WHOLE:
                _write(resume + line + stop)
            else:
                # What others print between these lines was redacted and indented by the progress display; an order
                # would have to hit the instant between two writes, without being able to see either.
                _write(resume + line)
                _write(stop)


def _write(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    data = text.encode(errors="replace")
    stream = getattr(sys.stderr, "buffer", None)
    if stream is None:  # a stand-in for the stream that takes text alone
        sys.stderr.write(text)
    else:
        stream.write(data)
        stream.flush()
