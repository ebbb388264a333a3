"""Words of command lines, whose parts are known, or only known when the job runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the shell, `$NAME` or `${NAME}`."""

    name: str

    @property
    def written(self) -> str:
        """As a shell has it."""
        return f"${{{self.name}}}"


@dataclass(frozen=True, slots=True)
class Shell:
    """What only a shell can make: `$(COMMAND)`, `${NAME:-default}`, `$((1 + 1))`, a pattern of file names."""

    written: str


@dataclass(frozen=True, slots=True)
class Native:
    """What the CI system puts in place itself, in its own syntax."""

    written: str


Piece = str | Variable | Shell | Native


@dataclass(frozen=True, slots=True)
class Word:
    """One word, or the value of one setting."""

    pieces: tuple[Piece, ...] = ()
    quoted: bool = field(default=False, compare=False)  # whether any of it stands in quotes

    @property
    def literal(self) -> str | None:
        """The text, if all of it is known."""
        return "".join(map(str, self.pieces)) if all(isinstance(piece, str) for piece in self.pieces) else None

    @property
    def written(self) -> str:
        """As people wrote it, without quotes."""
        return "".join(piece if isinstance(piece, str) else piece.written for piece in self.pieces)

    @property
    def start(self) -> str:
        """The known text that it begins with."""
        return self.pieces[0] if self.pieces and isinstance(self.pieces[0], str) else ""

    def __add__(self, other: Word | str) -> Word:
        return word(*self.pieces, *(other.pieces if isinstance(other, Word) else (other,)))

    def partition(self, separator: str) -> tuple[Word, bool, Word]:
        """What is before and after the first `separator` in known text, and whether there is one."""
        for number, piece in enumerate(self.pieces):
            if isinstance(piece, str) and separator in piece:
                before, _, after = piece.partition(separator)
                return word(*self.pieces[:number], before), True, word(after, *self.pieces[number + 1 :])
        return self, False, Word()

    def split(self, separator: str) -> tuple[Word, ...]:
        """The parts between the `separator`s in known text."""
        parts, rest, more = [], self, True
        while more:
            part, more, rest = rest.partition(separator)
            parts.append(part)
        return tuple(parts)

    def without(self, prefix: str) -> Word | None:
        """What follows `prefix`; None if it doesn't begin so."""
        return word(self.start[len(prefix) :], *self.pieces[1:]) if self.start.startswith(prefix) else None

    def replaced(self, put: Callable[[Piece], Word]) -> Word:
        """With `put` of each piece in its place."""
        return word(*(new for piece in self.pieces for new in put(piece).pieces))


def word(*pieces: Piece) -> Word:
    """The word of these pieces; texts next to each other become one, empty ones none."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return Word(tuple(joined))


def join(words: Iterable[Word], separator: str) -> Word:
    """The words in one, with `separator` between them."""
    result = Word()
    for number, each in enumerate(words):
        result = result + separator + each if number else each
    return result


_SAME = re.compile(r"\$\{?\{?\s*(?:env\.)?([A-Za-z_]\w*)\s*\}{0,2}")


def same(value: Word) -> str:
    """Equal for words that say the same, be a variable the shell's in one and the CI system's in the other."""
    parts = []
    for piece in value.pieces:
        written = piece if isinstance(piece, str) else "".join(c for c in piece.written if c.isprintable())
        match = None if isinstance(piece, str) else _SAME.fullmatch(written)
        parts.append(f"${{{match[1]}}}" if match else written)
    return "".join(parts)


def split_name(name: Word) -> tuple[Word, Word]:
    """The repository and the tag (empty if there is none) of an image's name: they part at the last colon after the
    last slash.
    """
    for number in range(len(name.pieces) - 1, -1, -1):
        piece = name.pieces[number]
        if not isinstance(piece, str):
            continue
        colon = piece.rfind(":")
        if colon > piece.rfind("/"):
            return word(*name.pieces[:number], piece[:colon]), word(piece[colon + 1 :], *name.pieces[number + 1 :])
        if "/" in piece:
            break
    return name, Word()


def inside(path: Word, roots: Sequence[str]) -> Word:
    """A path as seen from the checkout, if it begins with a variable that holds the checkout's directory."""
    first = path.pieces[0] if path.pieces else ""
    if isinstance(first, Variable) and first.name in (*roots, "PWD"):
        rest = word(*path.pieces[1:])
        shorter = rest.without("/") or rest
        return shorter if shorter.pieces else word(".")
    if isinstance(first, Shell) and first.written in ("$(pwd)", "`pwd`"):
        return inside(word(Variable("PWD"), *path.pieces[1:]), roots)
    return path


#: Stand for what isn't a shell's while a shell's grammar is read; nobody writes these characters.
_OPEN, _CLOSE = "\ue0c0", "\ue0c1"
_HIDDEN = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


class Natives:
    """Hides the CI system's own syntax from a shell's grammar, in quotes of any kind."""

    def __init__(self) -> None:
        self._hidden: list[Piece] = []

    def hide(self, piece: Piece) -> str:
        """Text that stands for `piece` until `reveal`."""
        self._hidden.append(piece)
        return f"{_OPEN}{len(self._hidden) - 1}{_CLOSE}"

    def hide_all(self, pattern: re.Pattern[str], text: str) -> str:
        """`text` with all that matches hidden."""
        return pattern.sub(lambda match: self.hide(Native(match[0])), text)

    def reveal(self, value: Word) -> Word:
        """The word with what was hidden as pieces of their own."""
        return Word(value.replaced(self._put).pieces, value.quoted)

    def show(self, text: str) -> str:
        """The text with what was hidden as it was written."""

        def shown(match: re.Match[str]) -> str:
            piece = self._hidden[int(match[1])]
            return piece if isinstance(piece, str) else piece.written

        return _HIDDEN.sub(shown, text)

    def _put(self, piece: Piece) -> Word:
        if isinstance(piece, Shell):
            return word(Shell(self.show(piece.written)))
        if not isinstance(piece, str):
            return word(piece)
        parts = _HIDDEN.split(piece)
        return word(*(self._hidden[int(part)] if number % 2 else part for number, part in enumerate(parts)))
