"""The job's log: sections that fold, and lines that stand out (docs.gitlab.com, "Custom collapsible sections").

A marker is text, `\\r`, and the sequence ESC [0K. The progress display lets no carriage return of a build through, so
builds can make no markers; a section's name has a random part, so that nothing else ends it either.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Iterator

from coopery.ci.rendering.inert import one_line

_YELLOW, _PLAIN, _CLEAR = "\033[0;33m", "\033[0m", "\033[0K"


@contextlib.contextmanager
def section(title: str) -> Iterator[None]:
    """A section of the log around what is printed inside. It goes to standard error, where progress goes too."""
    name = f"coopery_{secrets.token_hex(8)}"
    _write(f"{_CLEAR}section_start:{int(time.time())}:{name}\r{_CLEAR}{one_line(title)}\n")
    try:
        yield
    finally:
        _write(f"{_CLEAR}section_end:{int(time.time())}:{name}\r{_CLEAR}\n")


def notice(text: str) -> None:
    """A line that people should see."""
    _write(f"{_YELLOW}NOTICE: {one_line(text)}{_PLAIN}\n")


def _write(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(text)
    sys.stderr.flush()
