"""Here-documents: their markers in a statement's text, and what a RUN made of nothing else holds.

A marker is a word such as `<<EOF`, `<<-EOF`, `<<"EOF"` or `3<<EOF` (BuildKit: `frontend/dockerfile/parser/parser.go`).
Markers are found as BuildKit finds them: with the backslash as escape whatever the file's own, in no text whose
quotes don't close.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from coopery.dockerfile.expand import Lexer
from coopery.dockerfile.faults import Fault
from coopery.dockerfile.instructions import Heredoc, Run

_MARKER = re.compile(r"([0-9]{0,9})<<(-?)[\t\n\f\r ]*([^<]+)", re.DOTALL)
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


class Marker(NamedTuple):
    """A heredoc's announcement: `name` is the line that ends the body."""

    name: str
    expand: bool
    chomp: bool
    fd: int


class Body(NamedTuple):
    """A marker with the lines that belong to it, as they are in the file."""

    marker: Marker
    content: str

    def heredoc(self) -> Heredoc:
        """As an instruction holds it: with leading tabs taken off after `<<-`."""
        content = _LEADING_TABS.sub("", self.content) if self.marker.chomp else self.content
        name, expand, chomp, fd = self.marker
        return Heredoc(name=name, content=content, expand=expand, chomp=chomp, fd=fd, written=self.content)


def parse_marker(word: str) -> Marker | None:
    """The marker that `word` is, or None if it isn't one. Raises Fault if its quotes don't close."""
    found = _MARKER.fullmatch(word)
    if not found:
        return None
    fd, dash, rest = found.groups()
    names = _words(rest)
    if len(names) != 1:
        return None
    # A name that is quoted in any part switches expansion off, as in the shell.
    quoted = sum(map(_quote_marks, names)) != sum(map(_quote_marks, _words(rest, keep_quotes=True)))
    return Marker(names[0], expand=not quoted, chomp=bool(dash), fd=int(fd or 0))


def find_markers(statement: str) -> list[Marker]:
    """All markers in a statement, in order. Raises Fault for one that is malformed."""
    if "<<" not in statement:
        return []
    try:
        words = _words(statement, keep_quotes=True, keep_escapes=True)
    except Fault:
        return []  # quotes that only the shell understands
    return [marker for word in words if (marker := parse_marker(word))]


def sole_heredoc(run: Run) -> Heredoc | None:
    """The heredoc of a RUN whose command is nothing but its marker, None for any other RUN.

    Such a body is a script: run as one if it starts with `#!`, else the text for the shell. In any other RUN the
    shell reads the heredoc itself (BuildKit: dispatchRun in `dockerfile2llb/convert.go`).
    """
    if len(run.heredocs) == 1 and run.shell_form and parse_marker(run.argv[0]):
        return run.heredocs[0]
    return None


def _words(text: str, *, keep_quotes: bool = False, keep_escapes: bool = False) -> list[str]:
    lexer = Lexer(text, {}, "\\", keep_quotes=keep_quotes, keep_escapes=keep_escapes, keep_unset=True)
    return lexer.run()[1]


def _quote_marks(text: str) -> int:
    return text.count("'") + text.count('"')
