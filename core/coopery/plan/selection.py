"""Which files a COPY or ADD takes of its source: its patterns, `--parents` and `--exclude`.

The rules are BuildKit's (frontend/dockerfile/dockerfile2llb/convert_copy.go, copy/copy.go of tonistiigi/fsutil), with
two differences, both towards what Dockerfile's reference says: `--exclude` counts for files that are sources
themselves, by their names; and a slash at the start of its patterns means nothing, as in ignore files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.ignore import IgnoreRules, Rule
from coopery.errors import ContextError
from coopery.plan.ops import CopyOp
from coopery.tree.sources import Source, match_sources, match_tops
from coopery.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class Filter:
    """See `tree.sources.Selection`: what `sought` matches, with all that is below it, less what is excluded."""

    sought: Rule | None  # None: everything
    excluded: IgnoreRules

    def takes(self, path: bytes) -> bool:
        """Whether `path` is copied."""
        text = path.decode("utf-8", "surrogateescape")
        return (self.sought is None or self.sought.matches(text)) and not self.excluded.ignored(text)

    def reaches(self, directory: bytes) -> bool:
        """Whether anything inside `directory`, which isn't copied itself, may be."""
        text = directory.decode("utf-8", "surrogateescape")
        if self.excluded.ignored(text) and not self.excluded.may_contain_exceptions(text):
            return False
        return self.sought is None or self.sought.matches(text) or self.sought.may_match_below(text)


def sources_in(op: CopyOp, tree: Tree, where: str = "the build context") -> list[Source]:
    """What the operation takes of `tree`, which is that of its source. ContextError, speaking of `where`, if what it
    names isn't there."""
    if not op.parents and not op.exclude:
        return match_sources(tree, op.sought, where)
    excluded = IgnoreRules.of(op.exclude)
    if op.parents:
        return [source for text in op.patterns for source in _tops(text, excluded, tree, where)]
    selection = Filter(None, excluded)
    found = match_sources(tree, op.sought, where)
    return [
        source._replace(selection=selection)
        for source in found
        if source.node.children is not None or selection.takes(source.name)
    ]


def _tops(text: str, excluded: IgnoreRules, tree: Tree, where: str) -> Sequence[Source]:
    """The directories that a source of `--parents` is looked for in: what stands before `/./`, or the root."""
    pivot, marked, pattern = text.partition("/./")
    if not marked:
        pivot, pattern = "", text
    pattern = posixpath.normpath(f"/{pattern}").strip("/")
    try:
        sought = Rule.sought(pattern) if pattern else None
    except Fault as fault:
        raise ContextError(fault.message, hint=fault.hint) from None
    before, after = (part.encode("utf-8", "surrogateescape") for part in (pivot, pattern))
    tops = match_tops(tree, before, after, where)
    return [top._replace(selection=Filter(sought, excluded)) for top in tops]
