"""Rules about the files of the build context."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from coopery.dockerfile.instructions import Add, Copy
from coopery.dockerfile.lint.rule import Found, Rule, Step

_REMOTE = ("http://", "https://", "git://", "git@", "ssh://")
#: Patterns that leave nothing of a context.
_EVERYTHING = ("*", "**", "**/*")


def _ignored(step: Step) -> Iterator[Found]:
    """What a rule with exceptions leaves out can't be told from the names alone (BuildKit: validateCopySourcePath)."""
    one = step.instruction
    assert isinstance(one, Copy | Add)
    bodies = {heredoc.name for heredoc in one.heredocs}
    sources = [source for source in one.sources if source not in bodies]
    if not sources or (isinstance(one, Copy) and one.source_from):
        return
    rules = step.ignored()
    if not rules or any(rule.exception for rule in rules.rules):
        return
    for source in sources:
        text = step.one(source)
        if text.startswith(_REMOTE) and isinstance(one, Add):
            continue
        path = posixpath.normpath(text)
        if path in (".", "/") and not any(rule.pattern in _EVERYTHING for rule in rules.rules):
            continue
        if rules.ignored(path):
            yield step.found(f"{one.keyword} wants {path}, which the ignore file leaves out")


COPY_IGNORED_FILE = Rule(
    "CopyIgnoredFile",
    "what COPY and ADD take from the context isn't ignored",
    "take the pattern out of .dockerignore, or the file out of the instruction",
    _ignored,
    (Add, Copy),
)
