"""A program of its own that stands between a build's output and the job's log.

Buildkite folds its log at lines that begin with `---`, `+++`, `~~~` or `^^^ +++`, and reads terminal sequences that
move the cursor, show images and make links. What a build prints can do none of that: of its sequences only colours are
let through, and a line that looks like a group gets a space in front. Lines that begin with the token, which the first
line of the input says, are the adapter's and go through as they are.

A process rather than a thread, because one that wants a namespace must not have threads. It ends with its input.
"""

from __future__ import annotations

import os
import re

#: More of one line than this many bytes is passed on in pieces.
MAX_LINE = 64 << 10

_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(
    rb"(\x1b\[[0-9;:]*m)"  # a colour: kept
    rb"|\x1b\[[0-?]*[ -/]*[@-~]?"  # other control sequences
    rb"|\x1b[\]_P^X][^\x07\x1b]*(?:\x07|\x1b\\)?"  # links, images, time stamps
    rb"|\x1b[ -/]*[0-~]?"
    rb"|\xc2[\x80-\x9f]"  # the same in one character
    rb"|[\x00-\x08\x0b-\x1f\x7f]"
)
_GROUP = re.compile(rb"(?:---|\+\+\+|~~~|\^\^\^)(?:[\s\xc2\xe2\xe3]|$)")


def harmless(line: bytes) -> bytes:
    """`line`, which has no line end, without what the log would take for an order."""
    if not line.isascii() or not line.isalnum():
        line = _SEQUENCE.sub(lambda match: match[1] or b"", line)
        if _GROUP.match(_COLOUR.sub(b"", line)):
            return b" " + line
    return line


def main() -> None:
    """Filter standard input to standard output."""
    token, rest = b"", b""
    begun = False  # whether a piece of the line in `rest` has been passed on
    while data := os.read(0, 1 << 16):
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        if not token and lines:
            token = lines.pop(0)
        shown = []
        for line in lines:
            own = not begun and line.startswith(token)
            shown.append((line[len(token) :] if own else harmless(line)) + b"\n")
            begun = False
        if len(rest) > MAX_LINE:
            shown.append(harmless(rest))
            rest, begun = b"", True
        _write(b"".join(shown))
    _write(harmless(rest))


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
