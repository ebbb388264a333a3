"""The first pass over a Dockerfile: from bytes to statements, each on one line.

Takes out comments, parser directives and the bodies of heredocs, and joins continued lines, as BuildKit's
`frontend/dockerfile/parser/parser.go` and `directives.go` do. What is left is simple enough for any parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.heredocs import Body, find_markers
from coopery.dockerfile.words import SPACE, json_list, split_flags, split_keyword
from coopery.errors import DockerfileError, Location

_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\f\r ]*=[\t\f\r ]*(.+)", re.DOTALL)  # for a stripped line
_DIRECTIVES = ("syntax", "escape", "check")
_TAKES_HEREDOCS = ("RUN", "COPY", "ADD")
#: Characters of the longest line; BuildKit's limit in bytes, which is that of Go's bufio.Scanner.
_LONGEST_LINE = 65535


class Statement(NamedTuple):
    """One instruction's text, stripped, without line breaks."""

    text: str
    location: Location
    comments: tuple[str, ...]  # above it, without `#`
    bodies: tuple[Body, ...]


class Source(NamedTuple):
    """A Dockerfile taken apart."""

    path: str
    lines: tuple[str, ...]
    escape: str
    directives: tuple[tuple[str, str], ...]
    statements: tuple[Statement, ...]
    broken: tuple[int, ...]  # the last lines of statements that were continued by an empty line
    errors: tuple[DockerfileError, ...]  # of statements that had to be left out


def normalise(text: bytes | str, path: str) -> Source:
    """`text` as statements. Those that hold a NUL or what isn't UTF-8, or a heredoc without an end, are left out and
    leave an error. Raises DockerfileError for UTF-16, endless lines, and a directive that is wrong or given twice."""
    return _Normaliser(_decoded(text, path), path).run()


def _decoded(text: bytes | str, path: str) -> str:
    """`text` without its byte-order mark; bytes that aren't UTF-8 as lone surrogates, which only comments may hold."""
    if isinstance(text, bytes):
        if text.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DockerfileError(
                "the file is UTF-16, not UTF-8", location=Location(path, 1, 1), hint="save it as UTF-8"
            )
        text = text.decode("utf-8", "surrogateescape")
    return text.removeprefix("\ufeff")


class _Normaliser:
    def __init__(self, text: str, path: str) -> None:
        self._path = path
        self._raw = text.split("\n")  # carriage returns stay: a heredoc's body keeps them
        if not self._raw[-1]:
            self._raw.pop()
        # For excerpts: whatever the file holds, these can be printed.
        shown = text.encode("utf-8", "replace").decode()
        self._lines = tuple(line.removesuffix("\r") for line in shown.split("\n")[: len(self._raw)])
        self._at = 0
        self._escape = "\\"
        self._directives: dict[str, str] = {}
        self._broken: list[int] = []
        self._errors: list[DockerfileError] = []

    def run(self) -> Source:
        for number, line in enumerate(self._raw):
            if len(line) > _LONGEST_LINE:
                fault = Fault(
                    f"the line has {len(line)} characters, more than {_LONGEST_LINE}",
                    hint="break it up with continuations, or COPY a file in",
                )
                raise self._error(fault, number, number)
        statements = tuple(self._statements())
        return Source(
            self._path,
            self._lines,
            self._escape,
            tuple(self._directives.items()),
            statements,
            tuple(self._broken),
            tuple(self._errors),
        )

    def _statements(self) -> Iterator[Statement]:
        comments: list[str] = []
        directives_over = False
        while self._at < len(self._raw):
            line = self._raw[self._at].strip(SPACE)
            directives_over = directives_over or not self._directive(line)
            if line.startswith("#"):
                if directives_over:
                    if comment := line[1:].strip(SPACE):
                        comments.append(comment)
                    else:
                        comments.clear()
                self._at += 1
            elif not line:
                self._at += 1
            else:
                try:
                    yield self._statement(tuple(comments))
                except DockerfileError as error:
                    self._errors.append(error)
                comments = []

    def _directive(self, line: str) -> bool:
        """Whether `line`, in the comments that start the file, is a parser directive; if so it is recorded."""
        found = _DIRECTIVE.fullmatch(line[1:].lstrip(SPACE)) if line.startswith("#") else None
        if not found:
            return False
        name, value = found[1].lower(), found[2]
        if name not in _DIRECTIVES:
            return False
        self._check(self._at)
        if name in self._directives:
            raise self._error(Fault(f"the directive {name} is given twice"), self._at, self._at)
        if name == "escape":
            if value not in ("\\", "`"):
                fault = Fault(f"the escape character can't be {value!r}", hint="it is either \\ or `")
                raise self._error(fault, self._at, self._at)
            self._escape = value
        self._directives[name] = value
        return True

    def _statement(self, comments: tuple[str, ...]) -> Statement:
        start = self._at
        text = self._joined()
        for number in range(start, self._at):
            if not self._raw[number].lstrip(SPACE).startswith("#"):
                self._check(number)
        body = self._at
        try:
            markers = find_markers(text) if self._may_hold_heredocs(text) else []
            bodies = [Body(marker, self._body(marker.name, chomp=marker.chomp)) for marker in markers]
        except Fault as fault:
            raise self._error(fault, start, self._at - 1) from None
        for number in range(body, self._at):
            self._check(number)
        return Statement(text, Location(self._path, start + 1, self._at), comments, tuple(bodies))

    def _joined(self) -> str:
        """The statement that starts at the current line, which is left behind. Comments and blank lines among
        continued lines are dropped; the white space that continued lines start with stays."""
        pieces = []
        first = True
        continued = True
        broken = False
        while continued and self._at < len(self._raw):
            line = self._raw[self._at].rstrip("\r")
            self._at += 1
            bare = line.lstrip(SPACE)
            if first:
                line = bare
            elif not bare or bare.startswith("#"):
                broken = broken or not bare
                continue
            first = False
            end = line.rstrip("\t ")
            # An escape that is itself escaped ends nothing.
            continued = end.endswith(self._escape) and end[-2:-1] != self._escape
            pieces.append(end[:-1] if continued else line)
        if broken:
            self._broken.append(self._at)
        return "".join(pieces).strip(SPACE)

    def _may_hold_heredocs(self, text: str) -> bool:
        if "<<" not in text:
            return False
        keyword, args = split_keyword(text)
        if keyword.upper() == "ONBUILD":
            keyword, args = split_keyword(args)
        return keyword.upper() in _TAKES_HEREDOCS and json_list(split_flags(args, self._escape)[1]) is None

    def _body(self, name: str, *, chomp: bool) -> str:
        """The lines up to the one that says `name`, which is consumed."""
        start = self._at
        while self._at < len(self._raw):
            line = self._raw[self._at].rstrip("\r")
            self._at += 1
            if (line.lstrip("\t") if chomp else line) == name:
                return "".join(f"{line}\n" for line in self._raw[start : self._at - 1])
        raise Fault(f"the heredoc {name!r} has no end", hint=f"a line with nothing but {name} ends it", near=name)

    def _check(self, number: int) -> None:
        """No NUL and nothing that isn't UTF-8 may reach a command, a path or the image's configuration."""
        line = self._raw[number]
        if "\0" in line:
            raise self._error(Fault("the line holds a NUL character"), number, number)
        try:
            line.encode()
        except UnicodeEncodeError:
            raise self._error(Fault("the line isn't UTF-8", hint="save the file as UTF-8"), number, number) from None

    def _error(self, fault: Fault, first: int, last: int) -> DockerfileError:
        """`fault` at the lines with these indices."""
        return fault.at(Location(self._path, first + 1, last + 1), self._lines)
