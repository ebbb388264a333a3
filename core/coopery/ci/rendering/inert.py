"""Hostile strings made harmless: on one line, printable, and as Markdown that means nothing but itself.

What comes from a repository, a registry or a build stands in code spans and fenced blocks only: no dialect of Markdown
looks for links, images, mentions, references, emphasis or HTML in there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from coopery.progress.terminal import clean

#: Stands where there is nothing to show.
NOTHING = "–"

_LONGEST_LINE = 500  # characters, in blocks
_SPACE = re.compile(r"\s+")
_BACKTICKS = re.compile("`+")


def one_line(text: str, limit: int = 0) -> str:
    """`text` on one line, without control characters and what turns the direction of writing: those are spelled out.
    Cut to `limit` characters with an ellipsis; 0 for no limit.
    """
    shown = _printable(_SPACE.sub(" ", text).strip())
    return shown if not limit or len(shown) <= limit else shown[: limit - 1] + "…"


def lines(text: str) -> list[str]:
    """The lines of some output, printable, without terminals' escape sequences; long ones are cut."""
    shown = [_printable(clean(line)).rstrip() for line in re.split(r"\r\n|\n|\r", text)]
    return [line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…" for line in shown]


def code(text: str, limit: int = 200) -> str:
    """A code span that shows `text` on one line; a dash if there is none. CommonMark 0.31, "Code spans"."""
    shown = one_line(text, limit)
    if not shown:
        return NOTHING
    fence = "`" * (_longest_run([shown]) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str, limit: int = 200) -> str:
    """The same for a cell of a table, where a bar would end the cell even inside a code span."""
    return code(text, limit).replace("|", r"\|")


def block(text_lines: Iterable[str], language: str = "text") -> str:
    """A fenced block of lines that `lines` gave. CommonMark 0.31, "Fenced code blocks"."""
    held = list(text_lines)
    fence = "`" * max(3, _longest_run(held) + 1)
    return "\n".join([fence + language, *held, fence])


def html_code(text: str, limit: int = 200) -> str:
    """A code element that shows `text` on one line, for inside HTML blocks."""
    return f"<code>{html.escape(one_line(text, limit)) or NOTHING}</code>"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _longest_run(texts: Iterable[str]) -> int:
    return max((len(run) for text in texts for run in _BACKTICKS.findall(text)), default=0)
