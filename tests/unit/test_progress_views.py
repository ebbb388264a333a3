"""The live view and the JSON lines."""

from __future__ import annotations

import io
import json
import os
import pty
import re

import pytest

from coopery.progress import make_progress
from coopery.progress.terminal import clean, fit, width


class Screen:
    """As much of a terminal as the live view uses."""

    def __init__(self) -> None:
        self.rows: list[str] = [""]
        self.row = 0
        self.column = 0

    def feed(self, text: str) -> Screen:
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if token == "\r":
                self.column = 0
            elif token == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.rows):
                    self.rows.append("")
            elif token.endswith("A"):
                self.row -= int(token[2:-1])
                assert self.row >= 0
            elif token == "\x1b[K":
                self.rows[self.row] = self.rows[self.row][: self.column]
            elif token == "\x1b[J":
                self.rows[self.row] = self.rows[self.row][: self.column]
                del self.rows[self.row + 1 :]
            elif not token.startswith("\x1b"):
                line = self.rows[self.row]
                self.rows[self.row] = line[: self.column] + token + line[self.column + len(token) :]
                self.column += len(token)
        return self


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_view_ends_with_every_step_and_the_failed_ones_output() -> None:
    stream, clock = Terminal(), Clock()
    board = make_progress("auto", stream, environ={"TERM": "xterm", "NO_COLOR": "1"}, clock=clock, ticking=False)
    base, run, other = board.step("[1/3] FROM debian"), board.step("[2/3] RUN make"), board.step("[3/3] COPY . .")
    base.cached()
    run.start()
    run.log(b"".join(b"line %d\n" % number for number in range(10)))
    clock.now = 1.5
    board.display.tick(clock.now)
    board.warn("careful")
    board.display.tick(clock.now)
    screen = Screen().feed(stream.getvalue())
    assert screen.rows[0] == "WARNING: careful"
    assert screen.rows[1] == "[+] Building 1.5s (1/3)"
    assert screen.rows[2].split() == ["=>", "CACHED", "[1/3]", "FROM", "debian", "0.0s"]
    assert screen.rows[3].split() == ["=>", "[2/3]", "RUN", "make", "1.5s"]
    assert screen.rows[4:] == [f" => => # line {number}" for number in range(4, 10)] + [""]
    run.failed("exit status 1")
    other.canceled()
    board.close()
    board.close()
    rows = Screen().feed(stream.getvalue()).rows
    assert rows[1] == "[+] Building 1.5s (3/3) FINISHED"
    assert "ERROR [2/3] RUN make" in rows[3]
    assert "CANCELED [3/3] COPY . ." in rows[4]
    assert rows[5:] == [
        "------",
        " > [2/3] RUN make:",
        *(f"line {number}" for number in range(10)),
        "ERROR: exit status 1",
        "------",
        "",
    ]


def test_the_view_fits_the_screen() -> None:
    stream, clock = Terminal(), Clock()
    board = make_progress("tty", stream, environ={}, clock=clock, ticking=False)
    for number in range(40):
        step = board.step(f"[{number}] RUN " + "very long " * 30)
        step.log(b"output " * 40 + b"\n")
        if number < 35:
            step.done()
    board.display.tick(0)
    rows = Screen().feed(stream.getvalue()).rows
    assert len(rows) <= 24
    assert max(map(len, rows)) <= 80
    assert any("[39]" in row for row in rows)


def test_a_real_terminal_is_drawn_on_by_the_timer() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, os.fdopen(master, "rb", buffering=0) as screen:
        board = make_progress("auto", stream, environ={"TERM": "xterm"})
        board.step("[1/1] RUN sleep").start()
        seen = b""
        while seen.count(b"Building") < 3:
            seen += screen.read(4096)
        board.close()
        while b"FINISHED" not in seen or b"\x1b[?25h" not in seen:
            seen += screen.read(4096)


@pytest.mark.parametrize(
    ("environ", "isatty", "live"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "CI": "false"}, True, True),
        ({"TERM": "xterm", "CI": "true"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"TERM": "xterm"}, False, False),
    ],
)
def test_auto_is_live_only_where_somebody_watches(environ: dict[str, str], isatty: bool, live: bool) -> None:
    stream = Terminal() if isatty else io.StringIO()
    board = make_progress("auto", stream, environ=environ, ticking=False)
    board.step("one").cached()
    board.close()
    assert ("\x1b[" in stream.getvalue()) is live


def test_output_cannot_move_the_cursor_of_the_live_view() -> None:
    assert clean("a\x1b[2Jb\x1b]0;title\x07c\x1b[31md\x00\x08\te\nf") == "abcd    e f"
    assert width("日本") == 4
    assert fit("日本語日本語", 7) == "日本語…"
    assert fit("abcdef", 6) == "abcdef"


def test_json_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    board = make_progress("json", stream, environ={}, clock=clock)
    step = board.step('RUN echo "x"')
    step.start()
    clock.now = 0.25
    step.log(b'say "hi"\n\xff\n', "stderr")
    step.status("working")
    clock.now = 1.0
    step.done()
    board.step("cached one").cached()
    board.step("bad one").failed("no")
    board.warn("careful")
    board.close()
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"time": 0.0, "event": "start", "step": 1, "name": 'RUN echo "x"'},
        {"time": 0.25, "event": "log", "step": 1, "stream": "stderr", "text": 'say "hi"'},
        {"time": 0.25, "event": "log", "step": 1, "stream": "stderr", "text": "�"},
        {"time": 0.25, "event": "status", "step": 1, "text": "working"},
        {"time": 1.0, "event": "done", "step": 1, "seconds": 1.0},
        {"time": 1.0, "event": "start", "step": 2, "name": "cached one"},
        {"time": 1.0, "event": "cached", "step": 2, "seconds": 0.0},
        {"time": 1.0, "event": "start", "step": 3, "name": "bad one"},
        {"time": 1.0, "event": "failed", "step": 3, "seconds": 0.0, "message": "no"},
        {"time": 1.0, "event": "warning", "text": "careful"},
    ]
