"""Reads one word of a shell as it is written: quotes, escapes and expansions (POSIX.1-2024, Shell Command Language, 2.2
and 2.6).
"""

from __future__ import annotations

import re

from coopery.migrate.words import Piece, Shell, Variable, Word, word

_NAME = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
_SPECIAL = re.compile(r"""["'\\$`]""")
_ESCAPED_IN_QUOTES = '$`"\\\n'
_PAIRS = {"(": ")", "{": "}"}


def shell_word(text: str) -> Word:
    """The word that `text` is, without its quotes."""
    pieces: list[Piece] = []
    at, quoted, inside = 0, False, False  # inside: of double quotes
    while at < len(text):
        character = text[at]
        if character == '"':
            inside, quoted, at = not inside, True, at + 1
        elif character == "'" and not inside:
            end = text.find("'", at + 1)
            end = len(text) if end < 0 else end
            pieces.append(text[at + 1 : end])
            quoted, at = True, end + 1
        elif character == "\\" and at + 1 < len(text):
            following = text[at + 1]
            kept = inside and following not in _ESCAPED_IN_QUOTES
            pieces.append("\\" + following if kept else "" if following == "\n" else following)
            at += 2
        elif text.startswith("$'", at) and not inside:
            end = _quote_end(text, at + 1)
            pieces.append(Shell(text[at:end]))
            quoted, at = True, end
        elif character in "$`" and (found := _expansion(text, at)):
            pieces.append(found[0])
            at = found[1]
        else:
            end = _plain_end(text, at + 1)
            pieces.append(text[at:end])
            at = end
    return Word(word(*pieces).pieces, quoted)


def shell_text(text: str) -> Word:
    """The text of a here-document, in which only expansions and escapes mean something."""
    pieces: list[Piece] = []
    at = 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("$", "`", "\\", "\n"):
            pieces.append("" if text[at + 1] == "\n" else text[at + 1])
            at += 2
        elif text[at] in "$`" and (found := _expansion(text, at)):
            pieces.append(found[0])
            at = found[1]
        else:
            end = _plain_end(text, at + 1)
            pieces.append(text[at:end])
            at = end
    return word(*pieces)


def _plain_end(text: str, at: int) -> int:
    """Where the characters end that stand for themselves."""
    match = _SPECIAL.search(text, at)
    return match.start() if match else len(text)


def _expansion(text: str, at: int) -> tuple[Piece, int] | None:
    """What begins with `$` or a backquote at `at`, and where it ends; None if it is just that character."""
    if match := _NAME.match(text, at):
        return Variable(match[1] or match[2]), match.end()
    if text[at] == "`":
        end = text.find("`", at + 1) + 1 or len(text)
    elif text[at + 1 : at + 2] in ("(", "{"):
        end = _end(text, at + 1)
    elif re.match(r"[0-9@*#?$!-]", text[at + 1 : at + 2]):
        end = at + 2
    else:
        return None
    return Shell(text[at:end]), end


def _end(text: str, at: int) -> int:
    """Where what is opened at `at` is closed; quotes and what is nested in it are passed over."""
    closing = [_PAIRS[text[at]]]
    at += 1
    while at < len(text) and closing:
        character = text[at]
        if character == "\\":
            at += 1
        elif character in "'\"" and (character == '"' or closing[-1] == ")"):
            at = _quote_end(text, at) - 1
        elif character == closing[-1]:
            closing.pop()
        elif character == "(" and closing[-1] == ")":
            closing.append(")")
        elif text.startswith("${", at):
            closing.append("}")
            at += 1
        at += 1
    return min(at, len(text))


def _quote_end(text: str, at: int) -> int:
    """Where the quotes that open at `at` end; in double quotes, commands have quotes of their own."""
    quote = text[at]
    at += 1
    while at < len(text):
        if text[at] == quote:
            return at + 1
        if text[at] == "\\" and quote == '"':
            at += 1
        elif quote == '"' and text.startswith("$(", at):
            at = _end(text, at + 1) - 1
        at += 1
    return len(text)
