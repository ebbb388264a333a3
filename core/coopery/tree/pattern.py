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
    chunks = [""]  # what stands between the stars
    while here < len(text):
        char = text[here]
        here += 1
        if char == "*":
            chunks.append("")
        elif char == "?":
            chunks[-1] += "[^/]"
        elif char == "[":
            chars, here = _set(text, here, pattern)
            chunks[-1] += chars
        else:
            if char == "\\":
                if here == len(text):
                    raise _malformed(pattern)
                char, here = text[here], here + 1
            chunks[-1] += re.escape(char)
    first, *others = chunks
    if not others:
        return re.compile(first, re.DOTALL)
    # As Go does, every star but the last is content with the next match of what follows it: with each of them free to
    # go on, failing could take exponential time.
    *inner, last = others
    return re.compile("".join([first, *(f"(?>[^/]*?{chunk})" for chunk in inner if chunk), f"[^/]*{last}"]), re.DOTALL)


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
