"""The log as plain lines: for CI systems and pipes. It reads like BuildKit's plain printer (progressui/printer.go)."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.progress.board import Step, Stream
from coopery.progress.output import Output

#: How long, in seconds, one running step keeps the log to itself while others have something to say.
SLICE = 5.0
#: Of steps that wait for the log this many characters are kept back at most.
MAX_WAITING = 1 << 20


class Plain:
    """Shows one step at a time, so that parallel stages remain readable.

    A step has the log until it finishes or its time is up and another one waits; a step that finishes gets the log at
    once. A block of lines starts with the step's name, and ends in `#N ...` if the step has not finished.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._current: Step | None = None
        self._since = 0.0  # when the current step got the log
        self._waiting: dict[Step, list[str]] = {}  # in the order in which they began to wait
        self._waiting_size = 0
        self._wrote = False
        self._warnings: list[str] = []

    def begin(self, step: Step, now: float) -> None:
        """The header appears with the step's turn."""
        self._say(step, "", now)

    def lines(self, step: Step, lines: Sequence[str], stream: Stream, now: float) -> None:
        """Output, each line with the seconds since the step began."""
        age = now - step.started
        prefix = f"#{step.number} {age:.{3 if age < 10 else 2 if age < 100 else 1}f} "
        self._say(step, prefix + f"\n{prefix}".join(lines) + "\n", now)

    def status(self, step: Step, text: str, now: float) -> None:
        """A line without a time."""
        self._say(step, "".join(f"#{step.number} {line}\n" for line in text.splitlines()), now)

    def finish(self, step: Step, now: float) -> None:
        """The step's last line; then whoever waits longest has the log."""
        if step.outcome == "failed":
            last = f"ERROR: {step.message}"
        else:
            last = {"done": f"DONE {step.seconds:.1f}s", "cached": "CACHED", "canceled": "CANCELED"}[step.outcome]
        self._write(self._turn_to(step, now) + f"#{step.number} {last}\n")
        self._current = None
        self._next(now)

    def warn(self, text: str, now: float) -> None:
        """The warning at once, whoever has the log; all of them once more in the end."""
        self._warnings.append(text)
        self._write(f"WARNING: {text}\n")
        self._wrote = True

    def tick(self, now: float) -> bool:
        """Let the next step have its turn when the current one's is over."""
        if self._waiting and (now - self._since >= SLICE or self._waiting_size > MAX_WAITING):
            self._next(now)
        return bool(self._waiting)

    def close(self, steps: Sequence[Step], now: float) -> None:
        """What still waits, then all warnings."""
        while self._waiting:
            self._next(now)
        if self._warnings:
            count = len(self._warnings)
            heading = f"\n {count} warning{'s' if count > 1 else ''} found:\n"
            self._write(heading + "".join(f" - {text}\n" for text in self._warnings))

    def _write(self, text: str) -> None:
        # Output has no carriage returns any more. In a step's name, which is a Dockerfile's text, one would draw over
        # the line, and CI systems take what follows one for orders.
        self._output.write(text.replace("\r", "\\r"))

    def _say(self, step: Step, text: str, now: float) -> None:
        if self._current is None or step is self._current or step.outcome != "running":
            self._write(self._turn_to(step, now) + text)
            if step.outcome != "running":
                self._current = None
        else:
            self._waiting.setdefault(step, []).append(text)
            self._waiting_size += len(text)
        self.tick(now)

    def _next(self, now: float) -> None:
        step = next(iter(self._waiting), None)
        if step:
            self._write(self._turn_to(step, now))

    def _turn_to(self, step: Step, now: float) -> str:
        """What has to be written before the next line of `step`: the change of blocks, and what it has waited with."""
        text = ""
        if step is not self._current:
            if self._current:
                text = f"#{self._current.number} ...\n"
            text += ("\n" if self._wrote else "") + f"#{step.number} {step.name}\n"
            self._current = step
            self._since = now
            self._wrote = True
        waited = "".join(self._waiting.pop(step, ()))
        self._waiting_size -= len(waited)
        return text + waited
