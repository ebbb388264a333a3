"""Ignore files (`.dockerignore`): which paths of a context don't take part in a build.

The behaviour is that of `moby/patternmatcher` (ignorefile.go, patternmatcher.go): a pattern that matches a directory
matches all below it, patterns count in order and the last match wins, `!` makes an exception.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.wildcards import Automaton, is_costly, pieces
from coopery.dockerfile.words import SPACE
from coopery.errors import Location

Matcher = Callable[[str], bool]


@dataclass(frozen=True)
class Rule:
    """One line of an ignore file: the pattern, cleaned, and whether it makes an exception."""

    pattern: str
    exception: bool
    pieces: tuple[str, ...] = field(repr=False)  # match the paths that the pattern names, not yet those below

    @classmethod
    def sought(cls, pattern: str) -> Rule:
        """The rule for paths that are looked for, as for `COPY --parents`. Raises Fault if the pattern is malformed."""
        return cls(pattern, False, pieces(pattern))

    @cached_property
    def matches(self) -> Matcher:
        """Whether the pattern matches a path or a directory above it."""
        return _matcher([self.pieces])

    def may_match_below(self, directory: str) -> bool:
        """Whether the pattern might match something inside `directory` without matching `directory` itself.

        True when in doubt: then a walk goes deeper than it had to.
        """
        names = directory.split("/")
        for matches, name in zip(self._segments, names, strict=False):
            if matches is None:
                return True
            if not matches(name):
                return False
        return len(self._segments) > len(names)

    @cached_property
    def _segments(self) -> Sequence[Matcher | None]:
        """For each segment what matches a name; None for `**`, which reaches over slashes, and a class, which may."""
        return [
            None if "**" in segment or "[" in segment or "\\" in segment else _matcher([pieces(segment)])
            for segment in self.pattern.split("/")
        ]


@dataclass(frozen=True)
class IgnoreRules:
    """The rules of an ignore file, in order. Paths given to it are relative to the context, like `src/main.c`."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: bytes | str, path: str = ".dockerignore") -> IgnoreRules:
        """The rules in the text of an ignore file; `path` is only named in messages.

        Raises DockerfileError, with the line, for a lone `!` and for a malformed pattern.
        """
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")  # as file names are
        lines = text.removeprefix("\ufeff").split("\n")
        rules = []
        for number, line in enumerate(lines, 1):
            try:
                rule = _rule(line)
            except Fault as fault:
                shown = [line.encode("utf-8", "replace").decode() for line in lines]
                raise fault.at(Location(path, number, number), shown) from None
            if rule:
                rules.append(rule)
        return cls(tuple(rules))

    @classmethod
    def of(cls, patterns: Sequence[str]) -> IgnoreRules:
        """Rules that are given one by one, as by the `--exclude` flags of a COPY. Raises Fault for a lone `!` and for
        a malformed pattern."""
        return cls(tuple(rule for pattern in patterns if (rule := _pattern(pattern))))

    def __bool__(self) -> bool:
        return bool(self.rules)

    @cached_property
    def _runs(self) -> Sequence[tuple[bool, Matcher]]:
        """Neighbouring rules of one kind as one, the last first: order matters only between kinds."""
        runs = []
        for exception, rules in groupby(self.rules, key=lambda rule: rule.exception):
            runs.append((exception, _matcher([rule.pieces for rule in rules])))
        return runs[::-1]

    def ignored(self, path: str) -> bool:
        """Whether `path` is left out. What its parents say counts: the caller need not have asked about them."""
        for exception, matches in self._runs:
            if matches(path):
                return not exception
        return False

    def may_contain_exceptions(self, directory: str) -> bool:
        """Whether anything inside `directory`, which is ignored, might not be.

        When this is False a walk can leave the directory out without a look inside. It may be True for nothing.
        """
        if not any(rule.exception for rule in self.rules):
            return False
        for rule in reversed(self.rules):
            if rule.matches(directory):
                # It matches all below too: no rule before it matters there.
                return rule.exception
            if rule.exception and rule.may_match_below(directory):
                return True
        return True


def _matcher(patterns: Sequence[tuple[str, ...]]) -> Matcher:
    """Whether any of these patterns, each in its pieces, matches a path or a directory above it."""
    costly = [Automaton(found).matches for found in patterns if is_costly(found)]
    expressions = "|".join(dict.fromkeys("".join(found) for found in patterns if not is_costly(found)))
    matches = re.compile(f"(?:{expressions})(?:/.*)?" if len(costly) < len(patterns) else "(?!)", re.DOTALL).fullmatch
    return lambda path: matches(path) is not None or any(automaton(path) for automaton in costly)


def _rule(line: str) -> Rule | None:
    return None if line.startswith("#") else _pattern(line)


def _pattern(text: str) -> Rule | None:
    pattern = text.strip(SPACE)
    if not pattern:
        return None
    exception = pattern.startswith("!")
    if exception:
        pattern = pattern[1:].strip(SPACE)
    pattern = _clean(pattern) if pattern else ""
    if len(pattern) > 1:
        pattern = pattern.removeprefix("/").strip(SPACE)
    if not pattern and not exception:
        return None
    # patternmatcher reads each line once more when it is clean: `/!name` is an exception too.
    if not exception and pattern.startswith("!"):
        exception = True
        pattern = pattern[1:]
    pattern = _clean(pattern) if pattern else ""
    if not pattern or (exception and pattern == "/"):
        raise Fault("`!` without a pattern", hint="name what it is that isn't ignored", near="!")
    return Rule(pattern, exception, pieces(pattern))


def _clean(path: str) -> str:
    """`path` without `.`, `..` and doubled slashes where they mean nothing (Go's path.Clean)."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned
