"""The one exception tree. Every class has its own exit code; every message may carry a hint.

    CooperyError                 1    anything that has no better class
    ├── UsageError               2    the command line or an option's value
    ├── DockerfileError          3    the Dockerfile or .dockerignore, with its place
    ├── ContextError             4    the build context: missing, unreadable, a COPY source that isn't there
    ├── StepFailed               5    a RUN ended with a status other than 0 (the status is shown)
    ├── RegistryError            6    a registry answered, and the answer is no
    │   ├── AuthError            7    ... because of who we are (401, 403, a bad credential)
    │   └── NotFound             8    ... because it isn't there
    ├── NetworkError             9    no answer: refused, timed out, TLS, DNS
    ├── EnvironmentUnsuitable   10    this machine can't do it: no sandbox, no rights
    ├── StorageError            11    disk full, cache unreadable
    ├── IntegrityError          12    bytes that don't match their digest, a malformed archive or manifest
    ├── ExportError             13    the result couldn't be written where it was asked for
    └── Interrupted            130    Ctrl-C or SIGTERM

The exit codes are an interface: they are listed in the README and kept distinct by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Location:
    """A range of lines in a source file; lines count from 1 and `end_line` is inclusive."""

    file: str
    line: int
    end_line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class CooperyError(Exception):
    """Base of all errors that a user can meet.

    `message` says what is wrong in one sentence, `hint` what to do about it, `detail` carries more lines
    (an excerpt of the Dockerfile, a registry's own words).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        self.location: Location | None = None
        self.column = 0  # in the location's first line, from 1; 0 if there is none
        self.errors: tuple[CooperyError, ...] = ()  # where this speaks of several: the single ones

    def __str__(self) -> str:
        return self.message

    def at(self, location: Location, source: Sequence[str], column: int = 0, near: str = "") -> None:
        """Say where in which file this went wrong, with the lines around it; the first place said stays.

        `source` holds all lines of the file; `column` counts from 1, 0 for none. Without one, `near` is the piece of
        text that is at fault.
        """
        if self.location is None:
            caret = (location.line, column) if column else _find(near, location, source)
            self.location, self.column = location, caret[1] if caret[0] == location.line else 0
            self.message = f"{location}: {self.message}"
            shown = excerpt(source, location, caret[1], caret_line=caret[0])
            self.detail = "\n".join(part for part in (shown, self.detail) if part)


class UsageError(CooperyError):
    """The command line, or the value of an option."""

    exit_code = 2


class DockerfileError(CooperyError):
    """The Dockerfile or an ignore file; the message starts with its place."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        location: Location | None = None,
        source: Sequence[str] = (),
        column: int = 0,
        near: str = "",
        hint: str = "",
    ) -> None:
        """`source` holds all lines of the file, for the excerpt; `column` and `near` are as for `at`."""
        super().__init__(message, hint=hint)
        if location is not None:
            self.at(location, source, column, near)


class ContextError(CooperyError):
    """The build context, or something that a step wants from it."""

    exit_code = 4


class StepFailed(CooperyError):
    """A RUN step's process ended with a status other than 0; `status` is that status."""

    exit_code = 5

    def __init__(self, message: str, *, status: int, hint: str = "", detail: str = "") -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.status = status


class RegistryError(CooperyError):
    """A registry answered, and the answer is no."""

    exit_code = 6


class AuthError(RegistryError):
    """A registry refused because of who is asking."""

    exit_code = 7


class NotFound(RegistryError):
    """A registry has no such repository, manifest or blob."""

    exit_code = 8


class NetworkError(CooperyError):
    """No answer: connection refused or lost, time-out, TLS, DNS."""

    exit_code = 9


class EnvironmentUnsuitable(CooperyError):
    """This machine or its settings don't allow what was asked."""

    exit_code = 10


class StorageError(CooperyError):
    """The disk is full, or the local cache can't be used."""

    exit_code = 11


class IntegrityError(CooperyError):
    """Bytes that don't match their digest, or a malformed archive, manifest or config."""

    exit_code = 12


class ExportError(CooperyError):
    """The result can't be written where it was asked for."""

    exit_code = 13


class Interrupted(CooperyError):
    """The user or the CI system asked the build to stop."""

    exit_code = 130


def several(failures: Sequence[tuple[str, CooperyError]], total: int, what: str) -> CooperyError:
    """The first of `failures`, which from then on speaks of all: each with the name of what it befell.

    `what` says what there are `total` of, in the plural. With a total of 1 the failure stays as it is.
    """
    first = failures[0][1]
    if total > 1:
        lines = [f"{name}: {error.message}" for name, error in failures]
        hints = dict.fromkeys(error.hint for _, error in failures if error.hint)
        details = dict.fromkeys(error.detail for _, error in failures if error.detail)
        first.message = f"{len(failures)} of {total} {what} failed:\n  " + "\n  ".join(lines)
        first.hint, first.detail = "; ".join(hints), "\n".join(details)
    return first


#: More mistakes than this are hardly independent of each other, and nobody reads them at once.
MOST_SHOWN = 20


def together(errors: Sequence[CooperyError], what: str) -> CooperyError:
    """One error that speaks of all of `errors`, in the order of their places, each with its own excerpt and hint.

    It has the class, the exit code and the place of the one that comes first. A single error stays as it is. `what` is
    what has the errors: `Dockerfile has 3 errors`. Of those beyond MOST_SHOWN only the number is told.
    """
    told = {error.message: error for error in errors}  # what is met twice is told once
    single = sorted(told.values(), key=lambda error: error.location.line if error.location else 0)
    first = single[0]
    if len(single) == 1:
        return first
    whole = type(first).__new__(type(first))
    whole.__dict__.update(first.__dict__)
    shown = [_block(error) for error in single[:MOST_SHOWN]]
    if len(single) > MOST_SHOWN:
        shown.append(f"and {len(single) - MOST_SHOWN} more")
    CooperyError.__init__(whole, f"{what} has {len(single)} errors", detail="\n" + "\n\n".join(shown))
    whole.location, whole.errors = first.location, tuple(single)
    return whole


def _block(error: CooperyError) -> str:
    hint = f"hint: {error.hint}" if error.hint else ""
    return "\n".join(part for part in (error.message, error.detail, hint) if part)


def _find(near: str, location: Location, source: Sequence[str]) -> tuple[int, int]:
    """The line and column where `near` stands in the lines of `location`; a column of 0 if it doesn't."""
    for number in range(location.line, min(location.end_line, len(source)) + 1) if near else ():
        line = source[number - 1]
        # A word by itself rather than the same letters inside an earlier one.
        at = line.find(f" {near}") + 1 or line.find(near)
        if at >= 0 and not line.lstrip().startswith("#"):
            return number, at + 1
    return location.line, 0


_LONGEST_LINE = 500


def excerpt(source: Sequence[str], location: Location, column: int = 0, around: int = 2, *, caret_line: int = 0) -> str:
    """The lines of `location` with `around` lines of context, each numbered, the guilty ones marked `>>>`.

    With a column, a caret stands under it: in the first guilty line, or in `caret_line`. Empty when the source doesn't
    reach that far.
    """
    if not source or location.line > len(source):
        return ""
    first = max(1, location.line - around)
    last = min(len(source), location.end_line + around)
    lines = []
    for number in range(first, last + 1):
        mark = ">>>" if location.line <= number <= location.end_line else "   "
        prefix = f"{number:4} | {mark} "
        text = source[number - 1].rstrip("\n")
        lines.append(prefix + (text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + "…"))
        if column and number == (caret_line or location.line):
            lines.append(" " * (len(prefix) + column - 1) + "^")
    return "\n".join(lines)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the element of `known` nearest to `word`; empty if none is near."""
    from difflib import get_close_matches  # only when something is wrong

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
