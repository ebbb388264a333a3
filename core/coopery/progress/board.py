"""Keeps the record of a build's steps and tells a display what happens to them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from coopery.errors import Location
from coopery.ports import Advice, StepOutcome, StepRecord
from coopery.progress.lines import LineSplitter
from coopery.redact import RedactedStream, Redactor

Stream = Literal["stdout", "stderr"]

#: How many of a step's last lines its record keeps.
TAIL = 200


class Display(Protocol):
    """A way of showing steps. The board calls one method at a time; times are seconds since the build began."""

    def begin(self, step: Step, now: float) -> None:
        """The step got its number."""

    def lines(self, step: Step, lines: Sequence[str], stream: Stream, now: float) -> None:
        """Whole lines of the step's output."""

    def status(self, step: Step, text: str, now: float) -> None:
        """A line about what goes on inside the step."""

    def finish(self, step: Step, now: float) -> None:
        """The step has its outcome; no more comes from it, except perhaps late lines."""

    def warn(self, text: str, now: float) -> None:
        """A warning that belongs to no step."""

    def tick(self, now: float) -> bool:
        """Time has passed. False if there is no need to be called again before the next event."""

    def close(self, steps: Sequence[Step], now: float) -> None:
        """The build is over; `steps` are all that were announced."""


class Quiet:
    """The display that shows nothing."""

    def begin(self, step: Step, now: float) -> None:
        """Nothing."""

    def lines(self, step: Step, lines: Sequence[str], stream: Stream, now: float) -> None:
        """Nothing."""

    def status(self, step: Step, text: str, now: float) -> None:
        """Nothing."""

    def finish(self, step: Step, now: float) -> None:
        """Nothing."""

    def warn(self, text: str, now: float) -> None:
        """Nothing."""

    def tick(self, now: float) -> bool:
        """Never needed."""
        return False

    def close(self, steps: Sequence[Step], now: float) -> None:
        """Nothing."""


class Step:
    """A step on the board (`ports.StepProgress`). The display reads its attributes under the board's lock."""

    def __init__(self, board: Board, name: str, location: Location | None) -> None:
        self.name = name
        self.location = location
        self.number = 0
        self.outcome: StepOutcome = "waiting"
        self.started = 0.0
        self.seconds = 0.0
        self.saved: float | None = None
        self.message = ""
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.board = board
        self._streams: dict[Stream, tuple[RedactedStream, LineSplitter]] = {}

    def start(self) -> None:
        """The step begins to run."""
        with self.board.event() as now:
            self._begin(now)

    def log(self, data: bytes, stream: Stream = "stdout") -> None:
        """Raw output of the step's process, in pieces of any length."""
        with self.board.event() as now:
            self._begin(now)
            pair = self._streams.get(stream)
            if pair is None:
                pair = self._streams[stream] = (self.board.redactor.stream(), LineSplitter())
            self._show(pair[1].feed(pair[0].feed(data), now), stream, now)

    def status(self, text: str) -> None:
        """A line about what goes on inside the step."""
        with self.board.event() as now:
            self._begin(now)
            self.board.display.status(self, self.board.redactor.text(text), now)

    def done(self) -> None:
        """The step ended well."""
        self._finish("done")

    def cached(self, saved: float | None = None) -> None:
        """The step needs no running, which would have taken about `saved` seconds."""
        self._finish("cached", saved=saved)

    def failed(self, message: str) -> None:
        """The step ended badly."""
        self._finish("failed", message)

    def canceled(self) -> None:
        """The step was stopped."""
        self._finish("canceled")

    def drain(self, now: float) -> None:
        """Show what is held back of unfinished lines. The board's lock is held."""
        for stream, (redacted, splitter) in self._streams.items():
            self._show([*splitter.feed(redacted.flush(), now), *splitter.flush()], stream, now)

    def record(self, now: float) -> StepRecord:
        """This step as a value. The board's lock is held."""
        seconds = now - self.started if self.outcome == "running" else self.seconds
        return StepRecord(
            self.number,
            self.name,
            self.outcome,
            self.started,
            seconds,
            self.message,
            tuple(self.tail),
            self.location,
            self.saved,
        )

    def _begin(self, now: float) -> None:
        if not self.number:
            self.number = self.board.next_number()
            self.outcome = "running"
            self.started = now
            self.board.display.begin(self, now)

    def _show(self, lines: list[str], stream: Stream, now: float) -> None:
        if lines:
            self.tail.extend(lines[-TAIL:])
            self.board.display.lines(self, lines, stream, now)

    def _finish(self, outcome: StepOutcome, message: str = "", saved: float | None = None) -> None:
        with self.board.event() as now:
            self._begin(now)
            if self.outcome != "running":
                return  # what came first holds: a failing step may be canceled once more by the clean-up
            self.drain(now)
            self.outcome = outcome
            self.seconds = now - self.started
            self.saved = saved
            self.message = self.board.redactor.text(message)
            self.board.display.finish(self, now)


class Board:
    """The steps of one build (`ports.Progress`)."""

    def __init__(
        self,
        display: Display,
        clock: Callable[[], float],
        redactor: Redactor | None = None,
        *,
        interval: float = 0.0,
    ) -> None:
        """`interval` is how often, in seconds, the display hears that time passes; 0 for never."""
        self.display = display
        self.redactor = redactor or Redactor()
        self._clock = clock
        self._origin = clock()
        self._lock = threading.RLock()  # reentrant: a signal's handler may report while its thread is in here
        self._interval = interval
        self._ticker: threading.Thread | None = None
        self._ending = threading.Event()
        self._steps: list[Step] = []
        self._spared: list[tuple[int, StepRecord]] = []  # each with the number of the step that began last before it
        self._numbers = 0
        self._warnings: list[str] = []
        self._advice: dict[Advice, None] = {}
        self._closed = False

    def step(self, name: str, location: Location | None = None) -> Step:
        """A new step; it gets its number, and appears, when something happens to it."""
        step = Step(self, self.redactor.text(name), location)
        with self._lock:
            self._steps.append(step)
        return step

    def spared(self, name: str, location: Location, saved: float | None) -> None:
        """Keep the record of a step that needs no running, without showing it."""
        with self._lock:
            record = StepRecord(0, self.redactor.text(name), "cached", self._now(), 0.0, "", (), location, saved)
            self._spared.append((self._numbers, record))

    def warn(self, text: str) -> None:
        """Show a warning, and keep it in `warnings`."""
        with self.event() as now:
            text = self.redactor.text(text)
            self._warnings.append(text)
            self.display.warn(text, now)

    def advise(self, advice: Advice) -> None:
        """Warn of what a check found, and keep it in `advice`; not again if it is known."""
        clean = self.redactor.text
        advice = replace(advice, message=clean(advice.message), hint=clean(advice.hint), remark=clean(advice.remark))
        with self._lock:
            if advice not in self._advice:
                self._advice[advice] = None
                self.warn(advice.text)

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """All steps announced so far: those that began first, in the order of their numbers, with spared ones in
        between."""
        with self._lock:
            now = self._now()
            ranked = [*((_rank(step), step.record(now)) for step in self._steps), *self._spared]
            return tuple(record for _, record in sorted(ranked, key=lambda pair: pair[0]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """All warnings so far, with the texts of the advice."""
        with self._lock:
            return tuple(self._warnings)

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What checks have found so far."""
        with self._lock:
            return tuple(self._advice)

    def close(self) -> None:
        """Show what is held back and leave the final state on the screen. Further calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._ending.set()
            now = self._now()
            for step in self._steps:
                step.drain(now)
            self.display.close(sorted(self._steps, key=_rank), now)
            self.display = Quiet()
            ticker = self._ticker
        if ticker:
            ticker.join()

    @property
    def announced(self) -> int:
        """How many steps there are, begun or not."""
        return len(self._steps)

    def next_number(self) -> int:
        """The number of a step that begins. The board's lock is held."""
        self._numbers += 1
        return self._numbers

    def event(self) -> _Event:
        """A context that holds the board's lock and gives the time of the event."""
        return _Event(self)

    def _now(self) -> float:
        return self._clock() - self._origin

    def _after_event(self, now: float) -> None:
        # A thread is only worth its price once something waits to be shown later.
        if self._interval and not self._ticker and not self._closed and self.display.tick(now):
            self._ticker = threading.Thread(target=self._tick, name="coopery-progress", daemon=True)
            self._ticker.start()

    def _tick(self) -> None:
        while not self._ending.wait(self._interval):
            with self._lock:
                if self._closed:
                    return
                if not self.display.tick(self._now()):
                    self._ticker = None
                    return


class _Event:
    """`with` on the board's lock; a class because a generator-based one would cost more than the event."""

    __slots__ = ("_board", "_now")

    def __init__(self, board: Board) -> None:
        self._board = board

    def __enter__(self) -> float:
        self._board._lock.acquire()
        self._now = self._board._now()
        return self._now

    def __exit__(self, *_: object) -> None:
        try:
            self._board._after_event(self._now)
        finally:
            self._board._lock.release()


def _rank(step: Step) -> int:
    return step.number or 1 << 30
