"""The log: groups that fold, and what a build prints, which can make none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopery_buildkite import guard

# What the agent (agent/header_times_streamer.go) and the terminal that shows the log take for the start of a group.
_COLOUR = re.compile(rb"\x1b\[([;\d]+)?[mK]")
_GROUP = re.compile(rb"(---|\+\+\+|~~~)\s|\^\^\^\s\+\+\+")

_TEXTS = ("---", "+++", "~~~", "^^^ +++", " ", "\t", "\r", "\b", "\x00", "\x7f", "\u2028", "[", "K", "é", "forged")
_ORDERS = ("\x1b", "\x1b[2K", "\x1b[1G", "\x1b[31m", "\x1b]1338;url='x'\x07", "\x1b_bk;t=1\x07", "\u009b2K", "\x9d")
_PIECES = st.sampled_from((*_TEXTS, *_ORDERS))


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_no_line_of_a_build_starts_a_group_or_moves_the_cursor(text: str) -> None:
    shown = guard.harmless(text.encode().replace(b"\n", b""))
    assert not _GROUP.match(_COLOUR.sub(b"", shown) + b" ")
    assert re.sub(rb"\x1b\[[0-9;:]*m", b"", shown).find(b"\x1b") < 0
    assert not set(shown) & (set(range(32)) - {9, 27}) and b"\x7f" not in shown


@pytest.mark.parametrize("text", ["#7 0.123 + make --jobs", "\x1b[31mred\x1b[0m", "é ✓ 漢字", "----- table", "a --- b"])
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert guard.harmless(text.encode()) == text.encode()


_JOB = """
import os, subprocess, sys
from coopery_buildkite import Buildkite
job = Buildkite(dict(os.environ))
print("+++ before", flush=True)
with job.group("First\\n+++ forged \\x1b[2K title"):
    print("--- forged on standard output")
    print("\\x1b[2K\\x1b[1G--- forged with a cursor", file=sys.stderr)
    os.write(2, b"ordinary\\n+++ forged past Python\\n")
    subprocess.run(["sh", "-c", "echo '~~~ forged by a child'"])
    with job.group("Inner"):
        job.notice("come\\n--- what may")
try:
    with job.group("Second"):
        raise ValueError
except ValueError:
    print("+++ the end of a step's output", file=sys.stderr)
    sys.stderr.flush(); sys.stdout.flush()
os._exit(3)
"""


def test_groups_of_a_process_that_prints_what_it_likes(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    done = subprocess.Popen([sys.executable, "-c", _JOB], stdout=writer, stderr=writer)
    os.close(writer)
    with os.fdopen(reader) as log:
        lines = log.read().splitlines()
    assert done.wait() == 3
    assert [line for line in lines if re.match(r"(---|\+\+\+|~~~|\^\^\^)", line)] == [
        "+++ before",
        "--- First +++ forged [2K title",
        "--- Second",
        "^^^ +++",
    ]
    assert "Inner" in lines and "NOTICE: come --- what may" in lines and " --- forged with a cursor" in lines
    assert lines[-1] == " +++ the end of a step's output"


def test_standard_output_that_goes_elsewhere_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run([sys.executable, "-c", _JOB], stdout=out, stderr=subprocess.PIPE)
    assert b"--- forged on standard output\n" in (tmp_path / "out").read_bytes()
    assert b"--- First" in done.stderr and b"forged on standard output" not in done.stderr
