"""The plain log and the record of steps, with an injected clock."""

from __future__ import annotations

import io
import os
import threading

import pytest

from coopery.errors import UsageError
from coopery.progress import Board, Redactor, failure_log, make_progress
from coopery.progress.lines import MAX_LINE, LineSplitter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class Log(Board):
    """A plain progress together with its clock and what it wrote."""

    clock: Clock
    stream: io.StringIO


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def board(clock: Clock, stream: io.StringIO) -> Board:
    return make_progress("plain", stream, environ={}, clock=clock, ticking=False)


def test_one_step_after_another_reads_like_buildkit(board: Board, clock: Clock, stream: io.StringIO) -> None:
    base = board.step("[1/3] FROM docker.io/library/debian")
    run = board.step("[2/3] RUN make")
    copy = board.step("[3/3] COPY . /app")
    base.cached()
    run.start()
    clock.pass_(0.1234)
    run.log(b"compiling\nlin")
    clock.pass_(12)
    run.log(b"king\n")
    clock.pass_(100)
    run.log(b"no newline at the end")
    run.done()
    copy.start()
    copy.status("12 files, 3.4 MB")
    copy.failed("no space left")
    board.close()
    assert stream.getvalue() == (
        "#1 [1/3] FROM docker.io/library/debian\n"
        "#1 CACHED\n"
        "\n"
        "#2 [2/3] RUN make\n"
        "#2 0.123 compiling\n"
        "#2 12.12 linking\n"
        "#2 112.1 no newline at the end\n"
        "#2 DONE 112.1s\n"
        "\n"
        "#3 [3/3] COPY . /app\n"
        "#3 12 files, 3.4 MB\n"
        "#3 ERROR: no space left\n"
    )


def test_parallel_steps_take_turns(board: Board, clock: Clock, stream: io.StringIO) -> None:
    one, two = board.step("[one 1/1] RUN a"), board.step("[two 1/1] RUN b")
    one.start()
    two.start()
    clock.pass_(1)
    one.log(b"a1\n")
    two.log(b"b1\n")
    one.log(b"a2\n")
    clock.pass_(5)
    two.log(b"b2\n")  # one's turn is over
    one.log(b"a3\n")
    two.log(b"b3\n")
    clock.pass_(1)
    one.log(b"a4\n")
    one.done()  # who finishes gets the log at once
    two.log(b"b4\n")
    two.canceled()
    board.close()
    assert stream.getvalue() == (
        "#1 [one 1/1] RUN a\n"
        "#1 1.000 a1\n"
        "#1 1.000 a2\n"
        "#1 ...\n"
        "\n"
        "#2 [two 1/1] RUN b\n"
        "#2 1.000 b1\n"
        "#2 6.000 b2\n"
        "#2 6.000 b3\n"
        "#2 ...\n"
        "\n"
        "#1 [one 1/1] RUN a\n"
        "#1 6.000 a3\n"
        "#1 7.000 a4\n"
        "#1 DONE 7.0s\n"
        "\n"
        "#2 [two 1/1] RUN b\n"
        "#2 7.000 b4\n"
        "#2 CANCELED\n"
    )


def test_a_waiting_step_gets_the_log_when_the_other_ends(board: Board, clock: Clock, stream: io.StringIO) -> None:
    one, two = board.step("one"), board.step("two")
    one.start()
    two.log(b"hidden so far\n")
    assert "two" not in stream.getvalue()
    one.done()
    assert stream.getvalue().endswith("#1 DONE 0.0s\n\n#2 two\n#2 0.000 hidden so far\n")


def test_what_waits_is_shown_without_further_events(clock: Clock) -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "w") as writer:
        board = make_progress("plain", writer, environ={}, clock=clock)
        one, two = board.step("one"), board.step("two")
        one.start()
        two.log(b"hello\n")
        clock.pass_(6)
        lines = [reader.readline() for _ in range(5)]
        assert lines == ["#1 one\n", "#1 ...\n", "\n", "#2 two\n", "#2 0.000 hello\n"]
        board.close()


def test_much_waiting_output_is_not_hoarded(board: Board, stream: io.StringIO) -> None:
    board.step("one").start()
    two = board.step("two")
    for _ in range(30):
        two.log(b"x" * 49_999 + b"\n")
    assert "#2 two" in stream.getvalue()


def test_warnings_appear_at_once_and_in_the_end(board: Board, stream: io.StringIO) -> None:
    board.warn("the cache is read-only")
    assert stream.getvalue() == "WARNING: the cache is read-only\n"
    board.step("one").cached()
    board.close()
    assert stream.getvalue().endswith("#1 CACHED\n\n 1 warning found:\n - the cache is read-only\n")
    assert board.warnings == ("the cache is read-only",)


def test_the_record_of_each_step(board: Board, clock: Clock) -> None:
    late, run, never = board.step("late"), board.step("run"), board.step("never")
    clock.pass_(2)
    run.log(b"".join(b"%d\n" % number for number in range(300)))
    clock.pass_(3)
    run.failed("exit status 2")
    run.canceled()  # too late to matter
    late.start()
    clock.pass_(1)
    records = board.steps
    assert [(r.number, r.name, r.outcome, r.started, r.seconds) for r in records] == [
        (1, "run", "failed", 2.0, 3.0),
        (2, "late", "running", 5.0, 1.0),
        (0, "never", "waiting", 0.0, 0.0),
    ]
    assert records[0].message == "exit status 2"
    assert records[0].log == tuple(str(number) for number in range(100, 300))
    assert failure_log(records[0], 2) == "------\n > run:\n298\n299\n------"
    assert never.number == 0


def test_standard_output_and_error_keep_their_own_lines(board: Board, stream: io.StringIO) -> None:
    step = board.step("run")
    step.log(b"out ", "stdout")
    step.log(b"err\n", "stderr")
    step.log(b"put\n", "stdout")
    step.done()
    assert "0.000 err\n" in stream.getvalue()
    assert "0.000 out put\n" in stream.getvalue()


def test_secrets_do_not_reach_any_text(clock: Clock, stream: io.StringIO) -> None:
    redactor = Redactor()
    board = make_progress("plain", stream, environ={}, clock=clock, redactor=redactor)
    redactor.add([b"hunter2!"])
    step = board.step("RUN echo hunter2!")
    step.log(b"it is hun")
    step.log(b"ter2! indeed\nhunter")
    step.status("hunter2! fetched")
    step.failed("`echo hunter2!` failed")
    board.warn("hunter2! is weak")
    board.close()
    assert "hunter2" not in stream.getvalue()
    assert "it is *** indeed\n" in stream.getvalue()
    assert "0.000 hunter\n" in stream.getvalue()  # only the beginning of it: not the secret
    assert not any("hunter2" in text for record in board.steps for text in (record.name, record.message, *record.log))


def test_lines_from_many_threads_stay_whole(board: Board, stream: io.StringIO) -> None:
    steps = [board.step(f"step {letter}") for letter in "abcd"]

    def work(step: object, letter: bytes) -> None:
        for _ in range(500):
            step.log(letter * 3)  # type: ignore[attr-defined]
            step.log(letter * 2 + b"\n")  # type: ignore[attr-defined]
        step.done()  # type: ignore[attr-defined]

    threads = [threading.Thread(target=work, args=(s, b"%c" % c)) for s, c in zip(steps, b"abcd", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    board.close()
    texts = [line.split(" ")[2] for line in stream.getvalue().splitlines() if line.count(" ") == 2 and "." in line]
    texts = [text for text in texts if text[0] in "abcd"]
    assert sorted(texts) == sorted(letter * 5 for letter in "abcd" for _ in range(500))


def test_a_reader_that_has_gone_away_does_not_end_the_build() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as writer:
        board = make_progress("plain", writer, environ={})
        step = board.step("run")
        step.log(b"hello\n")
        step.done()
        board.close()
    assert board.steps[0].outcome == "done"


def test_a_non_blocking_stream_gets_everything() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    received = bytearray()

    def collect() -> None:
        with os.fdopen(read, "rb") as reader:
            while data := reader.read(1 << 16):
                received.extend(data)

    thread = threading.Thread(target=collect)
    thread.start()
    with os.fdopen(write, "w") as writer:
        board = make_progress("plain", writer, environ={})
        board.step("run").log(b"0123456789\n" * 50_000)
        board.close()
    thread.join()
    assert received.count(b"0123456789\n") == 50_000


def test_an_unknown_kind_is_refused(stream: io.StringIO) -> None:
    with pytest.raises(UsageError, match="fancy"):
        make_progress("fancy", stream, environ={})


def test_quiet_shows_nothing_but_keeps_the_record(stream: io.StringIO) -> None:
    board = make_progress("quiet", stream, environ={})
    step = board.step("run")
    step.log(b"hello\n")
    step.failed("oh")
    board.warn("careful")
    board.close()
    assert stream.getvalue() == ""
    assert board.steps[0].log == ("hello",)
    assert board.warnings == ("careful",)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"10%\r50%\r100%\nnext\n", ["100%", "next"]),
        (b"windows\r\nlines\r\n", ["windows", "lines"]),
        (b"\rleading\r\n\n", ["leading", ""]),
        (b"\xff\xc3\xa4\n", ["�ä"]),
        (b"\x1b[31mred\x1b[0m\n", ["\x1b[31mred\x1b[0m"]),
        (b"last \r", ["last "]),
    ],
)
def test_a_line_drawn_over_counts_once(data: bytes, expected: list[str]) -> None:
    splitter = LineSplitter()
    assert splitter.feed(data, 0) + splitter.flush() == expected
    slowly = LineSplitter()
    assert [line for byte in data for line in slowly.feed(bytes([byte]), 0)] + slowly.flush() == expected


def test_a_long_progress_bar_shows_its_state_now_and_then() -> None:
    splitter = LineSplitter()
    shown = [line for second in range(13) for line in splitter.feed(b"\r%d s" % second, float(second))]
    assert shown == ["5 s", "10 s"]
    assert splitter.feed(b"\n", 13) == ["12 s"]


def test_an_endless_line_is_shown_in_pieces() -> None:
    splitter = LineSplitter()
    pieces = [line for _ in range(100) for line in splitter.feed(b"x" * 10_000, 0)]
    assert all(len(piece) <= MAX_LINE + 10_000 for piece in pieces)
    assert sum(map(len, pieces + splitter.flush())) == 1_000_000
