"""Shell patterns as Go's path/filepath.Match has them, which is what COPY and ADD use."""

from __future__ import annotations

import functools
import re

from coopery.errors import ContextError


def has_wildcards(pattern: bytes) -> bool:
    """Whether the pattern is more than a name: it has a `*`, `?` or `[` that no backslash escapes."""
    return re.search(rb"^(?:[^\\*?\[]|\\.)*[*?\[]", pattern, re.DOTALL) is not None


def match_path(pattern: bytes, path: bytes) -> bool:
    """Whether the whole of `path` matches.

    `*` and `?` stand for any characters but a slash, `[a-z]` and `[^a-z]` for one of, or one not of, a set, where a
    slash is as good as another; a backslash takes the meaning from what follows. So `[[]` is an opening bracket.
    Characters are UTF-8's; a byte that isn't part of one counts for itself. ContextError if the pattern is malformed,
    even where Go wouldn't notice because it has met a mismatch before.
    """
    return _compile(pattern).fullmatch(_text(path)) is not None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


@functools.lru_cache(256)
def _compile(pattern: bytes) -> re.Pattern[str]:
    text, here = _text(pattern), 0
    out: list[str] = []
    while here < len(text):
        char = text[here]
        here += 1
        if char == "*":
            # Runs of stars say no more than one, and would take exponential time to fail.
            if not out or out[-1] != "[^/]*":
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            chars, here = _set(text, here, pattern)
            out.append(chars)
        else:
            if char == "\\":
                if here == len(text):
                    raise _malformed(pattern)
                char, here = text[here], here + 1
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def _set(text: str, here: int, pattern: bytes) -> tuple[str, int]:
    """The regular expression for the set that begins after the bracket at `here - 1`, and where it ends."""
    negated = text[here : here + 1] == "^"
    here += negated
    ranges: list[str] = []
    while not (ranges and text[here : here + 1] == "]"):
        low, here = _char(text, here, pattern)
        high = low
        if text[here : here + 1] == "-":
            high, here = _char(text, here + 1, pattern)
        # An inverted range is well-formed for Go and holds nothing.
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    inside = "".join(ranges)
    if negated:
        return (f"[^{inside}]" if inside else "."), here + 1
    return (f"[{inside}]" if inside else "(?!)"), here + 1


def _char(text: str, here: int, pattern: bytes) -> tuple[str, int]:
    char = text[here : here + 1]
    if char == "\\":
        here += 1
        char = text[here : here + 1]
    elif char in ("-", "]"):
        raise _malformed(pattern)
    if not char or here + 1 == len(text):  # the set still has to be closed
        raise _malformed(pattern)
    return char, here + 1


def _malformed(pattern: bytes) -> ContextError:
    return ContextError(
        f"{pattern.decode(errors='backslashreplace')!r} is a malformed pattern",
        hint="a literal [ is written [[] and a literal backslash \\\\",
    )
