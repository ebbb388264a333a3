"""The wildcards of ignore files: `*`, `?`, `[…]` and `**`, as `moby/patternmatcher` reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coopery.dockerfile.faults import Fault

_STAR, _ALL, _DIRECTORIES = "[^/]*", ".*", "(?:.*/)?"
_REPEATING = (_STAR, _ALL, _DIRECTORIES)
_CHOICE, _UP_TO = "", ".*/"
#: Repeating pieces that a backtracking search may have. Each makes the time to fail grow by a power.
_MANY = 3


def pieces(pattern: str) -> tuple[str, ...]:
    """Regular expressions, for DOTALL, that one after the other match the paths that `pattern` names.

    All but those that repeat match one character. Raises Fault if the pattern is malformed.
    """
    if pattern.startswith("**") and not any(special in pattern[2:] for special in "*?[]\\"):
        # Not only whole names: `**.o` is every path that ends so.
        rest = pattern[2:]
        first, rest = (_DIRECTORIES, rest[1:]) if rest.startswith("/") else (_ALL, rest)
        return (first, *map(re.escape, rest))
    found: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            at += pattern.startswith("/", at)
            piece = _DIRECTORIES if at < len(pattern) else _ALL
            if found[-1:] != [piece]:  # `**/**` says no more than `**`, but would cost more
                found.append(piece)
            continue
        if character == "*":
            found.append(_STAR)
        elif character == "?":
            found.append("[^/]")
        elif character == "[":
            piece, at = _class(pattern, at)
            found.append(piece)
            continue
        elif character == "\\":
            at += 1
            if at == len(pattern):
                raise _malformed(pattern)
            found.append(re.escape(pattern[at]))
        else:
            found.append(re.escape(character))
        at += 1
    return tuple(found)


def is_costly(found: Sequence[str]) -> bool:
    """Whether a regular expression of these pieces might backtrack for too long: then it takes an `Automaton`."""
    return sum(piece in _REPEATING for piece in found) > _MANY


class Automaton:
    """Matches in time that grows with pattern and path alone, whatever they are; `re` is faster for usual patterns.

    Bit n of a state says that the path, as far as it was read, may end before piece n of the pattern.
    """

    def __init__(self, found: Sequence[str]) -> None:
        # `(?:.*/)?` becomes two pieces: a choice to leave the next one out, and that, which takes all up to a slash.
        self._pieces = [part for piece in found for part in ((_CHOICE, _UP_TO) if piece == _DIRECTORIES else (piece,))]
        self._skipped = self._mask(_STAR, _ALL, _CHOICE)
        self._choices = self._mask(_CHOICE)
        self._kept = self._mask(_ALL, _UP_TO)
        self._kept_in_a_name = self._kept | self._mask(_STAR)
        self._taking: dict[str, int] = {}
        self._end = 1 << len(self._pieces)

    def _mask(self, *kinds: str) -> int:
        return sum(1 << place for place, piece in enumerate(self._pieces) if piece in kinds)

    def matches(self, path: str) -> bool:
        """Whether the pattern matches `path` or a directory above it."""
        state = self._closed(1)
        for character in path:
            if character == "/" and state & self._end:
                return True
            kept = self._kept if character == "/" else self._kept_in_a_name
            state = self._closed(state & kept | (state & self._takers(character)) << 1)
            if not state:
                return False
        return bool(state & self._end)

    def _closed(self, state: int) -> int:
        """`state` with all that is reached by reading nothing."""
        while True:
            reached = state | (state & self._skipped) << 1 | (state & self._choices) << 2
            if reached == state:
                return state
            state = reached

    def _takers(self, character: str) -> int:
        """The pieces that end with this character."""
        if character not in self._taking:
            mask = self._mask(_UP_TO) if character == "/" else 0
            for place, piece in enumerate(self._pieces):
                if piece not in (_STAR, _ALL, _CHOICE, _UP_TO) and re.fullmatch(piece, character, re.DOTALL):
                    mask |= 1 << place
            self._taking[character] = mask
        return self._taking[character]


def _class(pattern: str, at: int) -> tuple[str, int]:
    """The expression for the `[…]` that starts at `at`, and where it ends."""
    at += 1
    negated = pattern.startswith("^", at)
    at += negated
    ranges = ""
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_character(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_character(pattern, at + 1)
        if high < low:
            raise _malformed(pattern)
        ranges += f"{re.escape(low)}-{re.escape(high)}"
    return f"[{'^' * negated}{ranges}]", at + 1


def _class_character(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at : at + 1] in ("", "-", "]"):
        raise _malformed(pattern)
    at += pattern[at] == "\\"
    if at + 1 >= len(pattern):
        raise _malformed(pattern)
    return pattern[at], at + 1


def _malformed(pattern: str) -> Fault:
    return Fault(
        f"the pattern {pattern!r} is malformed", hint="a `[` needs its `]`; `\\` makes a character plain", near=pattern
    )
