"""Splitting a statement's arguments: flags, words with quotes kept, JSON lists.

The rules are those of BuildKit's `frontend/dockerfile/parser` (split_command.go, line_parsers.go), where two notions
of white space live side by side: Unicode's around words, ASCII's between plain arguments.
"""

from __future__ import annotations

import re

from coopery.dockerfile.faults import Fault

#: Unicode's White_Space. Python's own notion counts the control characters 0x1c to 0x1f too.
SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
#: What separates a keyword from its arguments and plain arguments from each other.
BLANK = "\t\v\f\r "

_SPACES = re.compile(f"[{SPACE}]+")
_BLANKS = re.compile(f"[{BLANK}]+")


class Words:
    """Collects characters into words."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._current: list[str] = []

    def add(self, text: str) -> None:
        """Text whose white space separates words."""
        first, *others = _SPACES.split(text)
        self._current.append(first)
        for part in others:
            self.flush()
            self._current.append(part)

    def add_quoted(self, text: str) -> None:
        """Text that stays together."""
        self._current.append(text)

    def flush(self) -> None:
        if word := "".join(self._current):
            self.done.append(word)
        self._current.clear()


def split_keyword(statement: str) -> tuple[str, str]:
    """The first word of a stripped statement and what follows it, stripped on the left."""
    parts = _BLANKS.split(statement, maxsplit=1)
    return parts[0], parts[1] if len(parts) == 2 else ""


def split_blanks(args: str) -> list[str]:
    """The plain arguments in `args`, quotes and all."""
    return _BLANKS.split(args) if args else []


def split_flags(args: str, escape: str) -> tuple[list[str], str]:
    """The leading `--flag`s of `args`, quotes and escapes removed, and the rest of it, stripped.

    A word `--` ends the flags and is dropped.
    """
    flags: list[str] = []
    end = len(args)
    at = _skip_space(args, 0)
    while args.startswith("--", at):
        word: list[str] = []
        quote = ""
        while at < end:
            character = args[at]
            if character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
            elif not quote and character in SPACE:
                break
            elif character == escape:
                at += 1
                word.append(args[at : at + 1])
            else:
                word.append(character)
            at += 1
        at = _skip_space(args, at)
        flag = "".join(word)
        if flag == "--":
            break
        flags.append(flag)
    return flags, args[at:].rstrip(SPACE)


def split_words(args: str, escape: str) -> list[str]:
    """The words of `args`, where quotes and escapes keep white space inside a word. Both are kept in the result.

    An escape character that nothing follows is dropped; a quote that is never closed reaches to the end.
    """
    if escape not in args and '"' not in args and "'" not in args:
        return [word for word in _SPACES.split(args) if word]
    words: list[str] = []
    end = len(args)
    at = _skip_space(args, 0)
    while at < end:
        start = at
        quote = ""
        trailing = 0  # 1 when the word ends in an escape that escapes nothing
        while at < end:
            character = args[at]
            if character == escape and quote != "'":
                trailing = int(at + 1 == end)
                at += 1
            elif quote:
                if character == quote:
                    quote = ""
            elif character in "'\"":
                quote = character
            elif character in SPACE:
                break
            at += 1
        at = min(at, end)
        if word := args[start : at - trailing]:
            words.append(word)
        at = _skip_space(args, at)
    return words


def json_list(args: str) -> tuple[str, ...] | None:
    """The strings of a JSON list; None when `args` isn't valid JSON, which makes it the shell form.

    Raises Fault for a valid list that holds anything but strings.
    """
    if not args.startswith("["):
        return None
    import json

    try:
        # The size limit that Python puts on integers must not decide whether this is JSON.
        found = json.loads(args, parse_int=float, parse_constant=_not_json)
    except RecursionError:
        raise _not_strings() from None
    except ValueError:
        return None
    if not all(isinstance(element, str) for element in found):
        raise _not_strings()
    return tuple(_paired(element) for element in found)


def _skip_space(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at


def _not_json(constant: str) -> float:
    raise ValueError(constant)


def _not_strings() -> Fault:
    return Fault("a JSON list here may hold only strings", hint='write numbers in quotes: ["sleep", "5"]', near="[")


def _paired(text: str) -> str:
    """`text` without NUL, with U+FFFD for halves of a surrogate pair, which JSON can spell and UTF-8 can't."""
    if "\0" in text:
        raise Fault("a NUL character can't be part of a command or a path", near="\\u0000")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
