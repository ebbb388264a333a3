"""Shows what a build does (`ports.Progress`): live on a terminal, as plain lines, as JSON, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal

from coopery.errors import UsageError
from coopery.ports import StepRecord
from coopery.progress.board import Board, Display, Quiet
from coopery.progress.output import Output, TextStream
from coopery.redact import Redactor, redactor

__all__ = ["Board", "Kind", "Redactor", "StepRecord", "failure_log", "make_progress", "redactor"]

Kind = Literal["auto", "plain", "tty", "json", "quiet"]

#: Seconds between two frames of the live view, and between two looks at whether a step's turn in the log is over.
_FRAME, _TURN = 0.1, 0.5


def make_progress(
    kind: Kind | str,
    stream: TextStream,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.monotonic,
    redactor: Redactor | None = None,
    ticking: bool = True,
) -> Board:
    """The progress of one build, shown on `stream`; to be closed in the end.

    `auto` is the live view if a terminal that can show it is there and no CI system says otherwise (`CI` in the
    environment), plain lines elsewhere. `clock` gives seconds, steadily. Secrets told to `redactor`, now or later, are
    masked in everything that is shown and recorded. Without `ticking` nothing is drawn between events. UsageError if
    there is no such kind.
    """
    output = Output(stream)
    if kind == "auto":
        kind = "tty" if _live(stream, environ) else "plain"
    display: Display
    interval = 0.0
    if kind == "tty":
        from coopery.progress.terminal import Terminal

        display, interval = Terminal(output, environ), _FRAME
    elif kind == "plain":
        from coopery.progress.plain import Plain

        display, interval = Plain(output), _TURN
    elif kind in ("json", "rawjson"):
        from coopery.progress.jsonlines import JsonLines

        display = JsonLines(output)
    elif kind == "quiet":
        display = Quiet()
    else:
        raise UsageError(f"there is no progress output {kind!r}", hint="choose one of auto, plain, tty, json and quiet")
    return Board(display, clock, redactor, interval=interval if ticking else 0.0)


def failure_log(record: StepRecord, lines: int = 20) -> str:
    """The last `lines` lines of a failed step, framed as BuildKit does it, for the end of an error message."""
    return "\n".join(["------", f" > {record.name}:", *record.log[-lines:], "------"])


def _live(stream: TextStream, environ: Mapping[str, str]) -> bool:
    ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return not ci and environ.get("TERM", "dumb") != "dumb" and stream.isatty()
