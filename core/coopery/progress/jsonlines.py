"""The log as JSON lines, for programs.

Each line is one object with `time` (seconds since the build began) and `event`:

    start     step, name
    log       step, stream (stdout or stderr), text: one line of output, what isn't UTF-8 replaced by U+FFFD
    status    step, text
    done, cached, canceled
              step, seconds
    failed    step, seconds, message
    warning   text: belongs to no step

`step` is the step's number; steps count from 1 in the order in which they begin. Events come as they happen.
Members may be added in later versions; those above stay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from coopery.progress.board import Step, Stream
from coopery.progress.output import Output


class JsonLines:
    """Writes every event as one line of JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def begin(self, step: Step, now: float) -> None:
        """`start`."""
        self._write(now, "start", step=step.number, name=step.name)

    def lines(self, step: Step, lines: Sequence[str], stream: Stream, now: float) -> None:
        """`log`, for each line."""
        # The part all lines share is made once: there may be many.
        head = json.dumps({"time": round(now, 6), "event": "log", "step": step.number, "stream": stream})[:-1]
        encode = json.encoder.encode_basestring_ascii
        self._output.write("".join([f'{head}, "text": {encode(line)}}}\n' for line in lines]))

    def status(self, step: Step, text: str, now: float) -> None:
        """`status`."""
        self._write(now, "status", step=step.number, text=text)

    def finish(self, step: Step, now: float) -> None:
        """The step's outcome."""
        if step.outcome == "failed":
            self._write(now, "failed", step=step.number, seconds=round(step.seconds, 6), message=step.message)
        else:
            self._write(now, step.outcome, step=step.number, seconds=round(step.seconds, 6))

    def warn(self, text: str, now: float) -> None:
        """`warning`."""
        self._write(now, "warning", text=text)

    def tick(self, now: float) -> bool:
        """Nothing waits here."""
        return False

    def close(self, steps: Sequence[Step], now: float) -> None:
        """Nothing is held back."""

    def _write(self, now: float, event: str, **members: object) -> None:
        self._output.write(json.dumps({"time": round(now, 6), "event": event, **members}) + "\n")
