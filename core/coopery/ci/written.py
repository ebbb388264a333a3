"""What somebody wrote, and where: values of a settings file or of a job's definition, before they mean anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from coopery.errors import CooperyError, Location, UsageError

#: Deeper than any settings are; a structure that contains itself has no end.
DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Spot:
    """A place: in a file by line and column, or in whatever `source` names. Lines and columns count from 1."""

    source: str  # a path, or "the input `tags` of …"
    line: int = 0  # 0: the source as a whole
    column: int = 0
    lines: Sequence[str] = field(default=(), repr=False, compare=False)  # of the file, for excerpts

    def error(self, message: str, *, hint: str = "") -> UsageError:
        """A UsageError that says where it went wrong, with the lines around it if it is in a file."""
        error = UsageError(message, hint=hint)
        self.blame(error)
        return error

    def blame(self, error: CooperyError) -> None:
        """Say of `error` that it comes from here, unless it knows a place already."""
        if error.location is not None:
            return
        if self.line:
            error.at(Location(self.source, self.line, self.line), self.lines, self.column)
        elif self.source:
            error.message = f"{self.source}: {error.message}"


#: For what nobody wrote.
NOWHERE = Spot("")


@dataclass(frozen=True, slots=True)
class Text:
    """One value as it was written: `1.10` and `yes` stay what they are. Empty stands for not given."""

    value: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Written, ...]
    spot: Spot


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping; its keys are unique."""

    pairs: tuple[tuple[Text, Written], ...]
    spot: Spot


Written = Text | Items | Pairs


class Faults:
    """Collects errors, so that people see all of them at once."""

    def __init__(self) -> None:
        self.errors: list[CooperyError] = []

    def add(self, error: CooperyError) -> None:
        """Keep one more."""
        self.errors.append(error)

    def check(self) -> None:
        """Raise what was collected, if anything: the error itself, or SettingsError for several."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise SettingsError(self.errors)


class SettingsError(UsageError):
    """Several things are wrong with the settings; `errors` are they, each with its place."""

    def __init__(self, errors: Sequence[CooperyError]) -> None:
        lines = [error.message + (f" ({error.hint})" if error.hint else "") for error in errors]
        super().__init__(f"{len(errors)} things are wrong with the settings:\n  " + "\n  ".join(lines))
        self.errors = tuple(errors)
        self.detail = "\n\n".join(error.detail for error in errors if error.detail)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the likeliest of `known`, or all of them if there are few; else empty."""
    names = list(known)
    close = get_close_matches(word.lower(), [name.lower() for name in names], 1, 0.6)
    if close:
        return f"did you mean {next(name for name in names if name.lower() == close[0])}?"
    return f"there is {', '.join(sorted(names))}" if 0 < len(names) <= 12 else ""


def from_object(value: object, spot: Spot, depth: int = 0) -> Written:
    """What a platform hands over as Python objects (text, numbers, truth values, lists, mappings, None).

    UsageError for other objects, and for what is nested without end.
    """
    if depth > DEEPEST:
        raise spot.error("is nested too deeply")
    if value is None:
        return Text("", spot)
    if isinstance(value, bool):
        return Text("true" if value else "false", spot)
    if isinstance(value, (str, int, float)):
        return Text(str(value), spot)
    if isinstance(value, Mapping):
        keys = {str(key): each for key, each in value.items()}
        return Pairs(tuple((Text(key, spot), from_object(each, spot, depth + 1)) for key, each in keys.items()), spot)
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return Items(tuple(from_object(each, spot, depth + 1) for each in value), spot)
    raise spot.error(f"a value of type {type(value).__name__} can't be used", hint="give text, a list or a mapping")
