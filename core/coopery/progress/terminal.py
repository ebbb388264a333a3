"""The live view on a terminal: one line for each step, the last lines of output under those that run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from coopery.progress.board import Step, Stream
from coopery.progress.output import Output

#: How many of a running step's last lines are shown.
TAIL_SHOWN = 6
#: How many of a failed step's last lines are left on the screen.
TAIL_LEFT = 80

# Escape sequences (ECMA-48: CSI, and strings such as OSC) and what else would move the cursor.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_COLOURS = {"done": "34", "cached": "34", "failed": "31", "canceled": "33"}


class Terminal:
    """Redraws its part of the screen; line wrapping is off meanwhile, so that a frame has as many rows as lines."""

    def __init__(self, output: Output, environ: Mapping[str, str]) -> None:
        self._output = output
        self._colours = not environ.get("NO_COLOR")
        self._steps: list[Step] = []
        self._status: dict[Step, str] = {}
        self._warnings: list[str] = []
        self._rows = 0  # of the frame on the screen

    def begin(self, step: Step, now: float) -> None:
        """The step joins the view."""
        self._steps.append(step)

    def lines(self, step: Step, lines: Sequence[str], stream: Stream, now: float) -> None:
        """The step's tail has them already."""
        self._status.pop(step, None)

    def status(self, step: Step, text: str, now: float) -> None:
        """Shown under the step until something newer comes."""
        self._status[step] = text

    def finish(self, step: Step, now: float) -> None:
        """The outcome shows in the next frame."""
        self._status.pop(step, None)

    def warn(self, text: str, now: float) -> None:
        """Shown above the frame, where it stays."""
        self._warnings.append(text)

    def tick(self, now: float) -> bool:
        """Draw a frame."""
        columns, height = self._output.size()
        self._draw(self._frame(now, columns, max(4, height - 1)))
        return True

    def close(self, steps: Sequence[Step], now: float) -> None:
        """Leave all steps on the screen, then the output of those that failed."""
        columns, _ = self._output.size()
        lines = self._frame(now, columns)
        for step in steps:
            if step.outcome == "failed":
                lines += ["------", f" > {clean(step.name)}:"]
                lines += [clean(line) for line in list(step.tail)[-TAIL_LEFT:]]
                lines += [self._paint(f"ERROR: {clean(step.message)}", "failed"), "------"]
        if self._steps or self._warnings:
            self._draw(lines, last=True)

    def _draw(self, lines: list[str], last: bool = False) -> None:
        up = f"\x1b[{self._rows}A" if self._rows else ""
        above = "".join(f"{self._paint('WARNING:', 'canceled')} {clean(text)}\x1b[K\n" for text in self._warnings)
        self._warnings.clear()
        body = "".join(f"{line}\x1b[K\n" for line in lines)
        # ?7 is wrapping, ?25 the cursor; what is left on the screen in the end may wrap.
        before, after = ("\x1b[?7h", "\x1b[?25h") if last else ("\x1b[?25l\x1b[?7l", "\x1b[?7h")
        self._output.write(f"\r{up}\x1b[?7h{above}{before}{body}\x1b[J{after}")
        self._rows = len(lines)

    def _frame(self, now: float, columns: int, height: int = 0) -> list[str]:
        """The view as lines, at most `height` of them; the final one without a height."""
        ended = sum(step.outcome != "running" for step in self._steps)
        announced = self._steps[0].board.announced if self._steps else 0
        header = f"[+] Building {now:.1f}s ({ended}/{announced})" + ("" if height else " FINISHED")
        blocks = [(step, self._block(step, now, columns)) for step in self._steps]
        excess = 1 + sum(len(block) for _, block in blocks) - height if height else 0
        if excess > 0:
            # Finished steps leave first, the oldest before the others; then the output under those that run.
            for step, block in blocks:
                if excess > 0 and step.outcome in ("done", "cached"):
                    excess -= len(block)
                    block.clear()
            for _, block in blocks:
                cut = min(max(0, excess), max(0, len(block) - 1))
                del block[len(block) - cut :]
                excess -= cut
        return [header, *(line for _, block in blocks for line in block)][: height or None]

    def _block(self, step: Step, now: float, columns: int) -> list[str]:
        seconds = now - step.started if step.outcome == "running" else step.seconds
        label = {"cached": "CACHED ", "failed": "ERROR ", "canceled": "CANCELED "}.get(step.outcome, "")
        time = f"{seconds:.1f}s"
        room = max(10, columns - len(time) - 6)
        name = fit(label + clean(step.name), room)
        lines = [self._paint(f" => {name}{' ' * (room - width(name))} {time}", step.outcome)]
        if step.outcome == "running":
            under = [f"# {line}" for line in list(step.tail)[-TAIL_SHOWN:]]
            if step in self._status:
                under = [self._status[step]]
            lines += [fit(f" => => {clean(line)}", columns - 1) for line in under]
        return lines

    def _paint(self, text: str, outcome: str) -> str:
        colour = _COLOURS.get(outcome)
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._colours else text


def clean(text: str) -> str:
    """`text` on one line, without anything that would move the cursor or change colours."""
    return _ESCAPES.sub("", text).replace("\n", " ").expandtabs()


def width(text: str) -> int:
    """How many columns `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def fit(text: str, columns: int) -> str:
    """`text`, cut to `columns` with an ellipsis if it is wider."""
    if width(text) <= columns:
        return text
    text = text[: columns - 1]
    while width(text) > columns - 1:
        text = text[:-1]
    return text + "…"
