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
    end = _end(value, 0, _pieces(pattern), longest=longest)
    return value if end is None else value[end:]


def without_suffix(value: str, pattern: Sequence[Token], *, longest: bool) -> str:
    """`value` less the shortest or longest end of it that matches; all of it if none does."""
    return without_prefix(value[::-1], pattern[::-1], longest=longest)[::-1]


def replace(value: str, pattern: Sequence[Token], replacement: str, *, every: bool, longest: int) -> str | None:
    """`value` with the first match, or every one, turned into `replacement`. Each match is as long as can be.

    An empty match right after another match doesn't count. None if the result has more than `longest` characters.
    """
    pieces = _pieces(pattern)
    done: list[str] = []
    kept = 0  # what is before here is in `done`
    last = -1  # where the last match ended
    at = size = 0
    while found := pieces[0].search(value, at):
        start = found.start()
        end = _end(value, start, pieces, longest=True)
        if end is None:
            # A later start in this line would have to do with less of it.
            at = _line_end(value, found.end()) + 1 if _LINE_BREAK not in pattern else start + 1
        else:
            at = end if end > start else end + 1
            if start < end or end != last:
                done += value[kept:start], replacement
                size += start - kept + len(replacement)
                kept = last = end
                if not every or size > longest:
                    break
        if at > len(value):
            break
    return None if size + len(value) - kept > longest else "".join(done) + value[kept:]


_LINE_BREAK = "\n"


def _pieces(pattern: Sequence[Token]) -> list[re.Pattern[str]]:
    """What stands between the stars, each matching a fixed number of characters."""
    pieces = [""]
    for number, token in enumerate(pattern):
        if token is not Wild.STAR:
            pieces[-1] += "." if token is Wild.ANY else re.escape(str(token))
        elif not number or pattern[number - 1] is not Wild.STAR:
            pieces.append("")
    return [re.compile(piece) for piece in pieces]


def _end(value: str, start: int, pieces: Sequence[re.Pattern[str]], *, longest: bool) -> int | None:
    """Where the shortest or longest match that starts at `start` ends, None if there is none.

    Every star but the last may settle for the nearest match of what follows it: a later one can make up for it.
    """
    found = pieces[0].match(value, start)
    for number, piece in enumerate(pieces[1:], 2):
        if found is None:
            break
        at, line_end = found.end(), _line_end(value, found.end())
        if longest and number == len(pieces):
            found = _last(piece, value, at, line_end)
        else:
            found = piece.search(value, at)
            if found is not None and found.start() > line_end:
                return None
    return found.end() if found else None


def _last(piece: re.Pattern[str], value: str, start: int, stop: int) -> re.Match[str] | None:
    """The last match that starts between `start` and `stop`."""
    return next(filter(None, (piece.match(value, at) for at in range(stop, start - 1, -1))), None)


def _line_end(value: str, at: int) -> int:
    end = value.find(_LINE_BREAK, at)
    return len(value) if end < 0 else end
