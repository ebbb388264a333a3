"""The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and escapes, no brackets.

The behaviour is that of BuildKit's `frontend/dockerfile/shell/lex.go`. As there, neither `*` nor `?` matches a
newline.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from coopery.dockerfile.faults import Fault


class Wild(Enum):
    """What in a pattern isn't a plain character."""

    STAR = "*"
    ANY = "?"


Token = Wild | str


def tokens(pattern: str, escape: str) -> list[Token]:
    """The parts of `pattern`. Raises Fault for an escape of anything but `*`, `?`, `/`, `}` and itself."""
    found: list[Token] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            found.append(Wild.STAR)
        elif character == "?":
            found.append(Wild.ANY)
        elif character == escape:
            escaped = pattern[at : at + 1]
            if not escaped or escaped not in f"*?/}}{escape}":
                raise Fault(f"{character}{escaped} isn't an escape in the pattern {pattern!r}")
            found.append(escaped)
            at += 1
        else:
            found.append(character)
    return found


def without_prefix(value: str, pattern: Sequence[Token], *, longest: bool) -> str:
    """`value` less the shortest or longest start of it that matches; all of it if none does."""
    found = _compile(pattern, longest=longest).match(value)
    return value[found.end() :] if found else value


def without_suffix(value: str, pattern: Sequence[Token], *, longest: bool) -> str:
    """`value` less the shortest or longest end of it that matches; all of it if none does."""
    return without_prefix(value[::-1], pattern[::-1], longest=longest)[::-1]


def replace(value: str, pattern: Sequence[Token], replacement: str, *, every: bool) -> str:
    """`value` with the first match, or every one, turned into `replacement`. Each match is as long as can be.

    An empty match right after another match doesn't count.
    """
    expression = _compile(pattern, longest=True)
    pieces: list[str] = []
    kept = 0  # what is before here is in `pieces`
    last = -1  # where the last match ended
    at = 0
    while at <= len(value) and (found := expression.search(value, at)):
        start, end = found.span()
        at = end if end > start else end + 1
        if start == end == last:
            continue
        pieces += value[kept:start], replacement
        kept = last = end
        if not every:
            break
    return "".join(pieces) + value[kept:]


def _compile(pattern: Sequence[Token], *, longest: bool) -> re.Pattern[str]:
    """An expression that can't backtrack badly: every star but the last may settle for the nearest match of what
    follows it, because a later star can make up for it."""
    pieces = [""]
    for token in pattern:
        if token is Wild.STAR:
            pieces.append("")
        else:
            pieces[-1] += "." if token is Wild.ANY else re.escape(str(token))
    expression = pieces[0]
    for number, piece in enumerate(pieces[1:], 2):
        expression += f".*{piece}" if longest and number == len(pieces) else f"(?>.*?{piece})"
    return re.compile(expression)
