"""Expanding variables and removing quotes as BuildKit's `frontend/dockerfile/shell/lex.go` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.words import Words
from coopery.errors import Location

Variables = Mapping[str, str] | Callable[[str], str | None]


class Expansion(NamedTuple):
    """What a word became, and which names in it had no value."""

    text: str
    unmatched: frozenset[str] = frozenset()


def expand(
    word: str,
    variables: Variables,
    escape: str = "\\",
    *,
    quotes: bool = True,
    location: Location | None = None,
    source: Sequence[str] = (),
) -> Expansion:
    """`word` with its variables replaced and its quotes and escapes taken away; white space stays as it is.

    Knows `$v ${v}`, `${v-w} ${v+w} ${v?w}` and these with a colon, `${v#p} ${v##p} ${v%p} ${v%%p}`, `${v/p/r}` and
    `${v//p/r}`.
    A variable without a value is empty. With `quotes=False` quotes are plain characters, as in the body of a heredoc.
    Raises DockerfileError, with the place if it is given, for a malformed word and for `?`'s own message.
    """
    if "$" not in word and escape not in word and not (quotes and ('"' in word or "'" in word)):
        return Expansion(word)
    lexer = Lexer(word, variables, escape, quotes=quotes)
    try:
        text, _ = lexer.run()
    except Fault as fault:
        raise _explained(fault, word).at(location, source) from None
    return Expansion(text, frozenset(lexer.unmatched))


def expand_words(
    word: str,
    variables: Variables,
    escape: str = "\\",
    *,
    location: Location | None = None,
    source: Sequence[str] = (),
) -> list[str]:
    """The words that `word` becomes: as `expand`, then split at white space that isn't quoted or escaped.

    Words that turn out empty are left out. Raises DockerfileError as `expand` does.
    """
    try:
        return Lexer(word, variables, escape).run()[1]
    except Fault as fault:
        raise _explained(fault, word).at(location, source) from None


def expand_shown(text: str, variables: Variables, escape: str = "\\") -> str:
    """`text` with the variables that have a value replaced and all else as written, for a step's name.

    What can't be expanded, a shell's own syntax for one, is returned as it is.
    """
    lexer = Lexer(text, variables, escape, keep_quotes=True, keep_escapes=True, keep_unset=True)
    try:
        return lexer.run()[0]
    except Fault:
        return text


def _explained(fault: Fault, word: str) -> Fault:
    return Fault(f"can't expand {word!r}: {fault.message}", hint=fault.hint, near=word)


class Lexer:
    """One pass over one text. `unmatched` holds, after `run`, the names that had no value."""

    def __init__(
        self,
        text: str,
        variables: Variables,
        escape: str,
        *,
        quotes: bool = True,
        keep_quotes: bool = False,
        keep_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._grown = 0  # characters that variables put in, those inside of others counted again
        self._get = variables.get if isinstance(variables, Mapping) else variables
        self._escape = escape
        self._quotes = quotes
        self._keep_quotes = keep_quotes
        self._keep_escapes = keep_escapes
        self._keep_unset = keep_unset
        self.unmatched: set[str] = set()

    def run(self) -> tuple[str, list[str]]:
        """The text and the words that it becomes. Raises Fault where it is malformed."""
        return self._until("", self._keep_escapes)

    def _peek(self) -> str:
        """The next character, empty at the end."""
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._text[self._at : self._at + 1]
        self._at += 1
        return character

    def _until(self, stop: str, keep_escapes: bool, *, pattern: bool = False) -> tuple[str, list[str]]:
        """Everything up to `stop`, which is consumed; up to the end when that is empty.

        In a `pattern` an escape character that quotes made plain is doubled, so that it is plain in the pattern too.
        """
        outer, self._keep_escapes = self._keep_escapes, keep_escapes
        try:
            return self._scan(stop, pattern)
        finally:
            self._keep_escapes = outer

    def _scan(self, stop: str, pattern: bool) -> tuple[str, list[str]]:
        result: list[str] = []
        words = Words()
        while character := self._peek():
            if character == stop:
                self._at += 1
                break
            if character == "$":
                piece = self._dollar()
                words.add(piece)
            elif self._quotes and character == "'":
                piece = self._single_quoted(pattern)
                words.add_quoted(piece)
            elif self._quotes and character == '"':
                piece = self._double_quoted(pattern)
                words.add_quoted(piece)
            elif character == "<":
                piece = self._less_than()
                words.add_quoted(piece)
            elif character == self._escape:
                self._at += 1
                escaped = self._next()
                piece = character + escaped if self._keep_escapes else escaped
                words.add_quoted(piece)
            else:
                piece = character + self._plain(stop)
                words.add(piece)
            result.append(piece)
        else:
            if stop:
                raise Fault(f"{stop!r} is missing", hint="every ${ needs its }")
        words.flush()
        return "".join(result), words.done

    def _plain(self, stop: str) -> str:
        """What follows the current character up to the next one that might mean something."""
        self._at += 1
        found = _run_of_plain(self._escape, stop).match(self._text, self._at)
        text = found[0] if found else ""
        self._at += len(text)
        return text

    def _less_than(self) -> str:
        """`<`, or `<<` with the white space after it: a heredoc's name may stand apart from it."""
        start = self._at
        self._at += 1
        if self._peek() == "<":
            self._at += 1
            while self._peek() and self._peek() in "\t\r ":
                self._at += 1
        return self._text[start : self._at]

    def _single_quoted(self, pattern: bool) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise Fault("a single quote isn't closed", hint="write \\' or \"'\" for an apostrophe")
        inside = self._text[self._at + 1 : end]
        self._at = end + 1
        if pattern:
            inside = inside.replace(self._escape, self._escape * 2)
        return f"'{inside}'" if self._keep_quotes else inside

    def _double_quoted(self, pattern: bool) -> str:
        result: list[str] = []
        self._at += 1
        while (character := self._peek()) != '"':
            if not character:
                raise Fault("a double quote isn't closed")
            if character == "$":
                result.append(self._dollar())
                continue
            self._at += 1
            if character == self._escape and self._peek():
                if self._peek() in ('"', "$", self._escape):
                    if self._keep_escapes:
                        result.append(character)
                    character = self._next()
                elif self._keep_escapes and (pattern or not self._keep_quotes):
                    result.append(character)
            result.append(character)
        self._at += 1
        text = "".join(result)
        return f'"{text}"' if self._keep_quotes else text

    def _name(self) -> str:
        """A variable's name; a number; or one of the shell's special parameters. Empty if there is none."""
        start = self._at
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first and first in "@*#?-$!":
            self._at += 1
        else:
            while (character := self._peek()) and (character.isalpha() or character.isdecimal() or character == "_"):
                self._at += 1
        return self._text[start : self._at]

    def _value(self, name: str) -> str | None:
        value = self._get(name)
        if value is None:
            self.unmatched.add(name)
        return value

    def _dollar(self) -> str:
        text = self._expanded()
        self._grown += len(text)
        if self._grown > _LONGEST:
            raise _too_long()
        return text

    def _expanded(self) -> str:
        """What `$` and all that belongs to it become."""
        self._at += 1
        if self._peek() == "{":
            self._at += 1
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise Fault(f"${{ is nested more than {_MAX_DEPTH} times")
            text = self._braces()
            self._depth -= 1
            return text
        name = self._name()
        if not name:
            return "$"
        value = self._value(name)
        if value is None:
            return f"${name}" if self._keep_unset else ""
        return value

    def _braces(self) -> str:
        """What stands between `${` and its `}`."""
        following = self._peek()
        if not following:
            raise Fault("'}' is missing", hint="every ${ needs its }")
        if following in "{}:":
            raise Fault(f"${{ needs a name, not {following!r}")
        name = self._name()
        operator = self._next()
        if operator == "}":
            value = self._value(name)
            if value is None:
                return f"${{{name}}}" if self._keep_unset else ""
            return value
        if operator == "/":
            return self._replaced(name)
        colon = operator == ":"
        if colon:
            operator = self._next()
        if not operator:
            raise Fault("'}' is missing", hint="every ${ needs its }")
        if operator not in "+-?" and (colon or operator not in "#%"):
            raise _unsupported(name, ":" * colon + operator)
        return self._operated(name, colon, operator)

    def _operated(self, name: str, colon: bool, operator: str) -> str:
        patterned = operator in "#%"
        word, _ = self._until("}", patterned, pattern=patterned)
        value = self._value(name)
        if value is None and self._keep_unset:
            return f"${{{name}{':' * colon}{operator}{word}}}"
        missing = value is None or (colon and not value)
        if operator == "-":
            return word if missing else value or ""
        if operator == "+":
            return "" if missing else word
        if operator == "?":
            if missing:
                raise Fault(f"{name}: {word or ('is not set' if value is None else 'is empty')}")
            return value or ""
        from coopery.dockerfile import globs  # few Dockerfiles need it

        longest = word.startswith(operator)
        parts = globs.tokens(word[longest:], self._escape)
        trim = globs.without_prefix if operator == "#" else globs.without_suffix
        return trim(value or "", parts, longest=longest)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern, _ = self._until("/", True, pattern=True)
        replacement, _ = self._until("}", True)
        value = self._value(name)
        from coopery.dockerfile import globs  # few Dockerfiles need it

        if value is None and self._keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        tokens = globs.tokens(pattern, self._escape)
        replaced = globs.replace(value or "", tokens, replacement, every=every, longest=_LONGEST)
        if replaced is None:
            raise _too_long()
        return replaced


@lru_cache
def _run_of_plain(escape: str, stop: str) -> re.Pattern[str]:
    return re.compile(f"[^$'\"<{re.escape(escape)}{re.escape(stop)}]*")


#: How deep `${a:-${b:-…}}` may go; more is not a Dockerfile that somebody wrote.
_MAX_DEPTH = 50
#: Characters that variables may become in one word or one heredoc. Without a limit values that repeat one another grow
#: until the machine has no memory left.
_LONGEST = 1 << 26


def _too_long() -> Fault:
    return Fault(f"variables become more than {_LONGEST} characters here")


def _unsupported(name: str, operator: str) -> Fault:
    return Fault(
        f"${{{name}{operator}…}} isn't supported",
        hint="supported are - + ? (each also after a colon), # ## % %% / //",
    )
