"""What a migration comes to, for people and for programs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from coopery.errors import UsageError
from coopery.migrate.draft import Note


@dataclass(frozen=True, slots=True)
class Source:
    """Where pipelines have Coopery from."""

    repository: str = "OWNER/coopery"
    ref: str = "COMMIT"

    @classmethod
    def parse(cls, text: str) -> Source:
        """OWNER/NAME@REF. UsageError for anything else."""
        match = re.fullmatch(r"([A-Za-z0-9_-]+/[A-Za-z0-9._-]+)@([A-Za-z0-9][A-Za-z0-9._/-]*)", text)
        if not match:
            hint = "write OWNER/NAME@COMMIT"
            raise UsageError(f"--source: {text!r} is not a repository with a commit", hint=hint)
        return cls(match[1], match[2])

    @property
    def remark(self) -> list[str]:
        """A word about placeholders, as a comment's text; nothing if there are none."""
        if self != Source():
            return []
        return [f"{self.repository} is where you have Coopery from, {self.ref} the version that you trust."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """One job or step that was turned into ours."""

    title: str  # the job or step that it was, in the source's words
    line: int = 0  # of the source, from 1; 0 if there is none
    text: str  # what it is now, with its notes as comments
    settings: Mapping[str, object] = field(default_factory=dict)  # by the keys of coopery.yaml
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A file or a command line that was turned into ours."""

    platform: str  # the adapter's name; empty: settings alone
    text: str  # the whole file, or its new parts
    whole: bool  # whether `text` is the whole file
    steps: Sequence[Migrated]

    def data(self) -> dict[str, object]:
        """All of it as JSON can say it."""
        return {
            "platform": self.platform,
            "whole": self.whole,
            "text": self.text,
            "steps": [
                {
                    "title": step.title,
                    "line": step.line,
                    "text": step.text,
                    "settings": dict(step.settings),
                    "notes": [
                        {"kind": note.kind, "what": note.shown, "why": note.why, "way": note.way} for note in step.notes
                    ],
                }
                for step in self.steps
            ],
        }

    def report(self, source: str) -> list[str]:
        """The notes, for people; `source` is what the file is called."""
        lines = []
        for step in self.steps:
            place = f"{source}:{step.line}" if step.line else source
            lines += [f"{place}: {step.title}: {note.text}" for note in step.notes]
        return lines


def comments(notes: Sequence[Note], mark: str = "#", width: int = 110) -> list[str]:
    """Notes that people have to see, as lines of comments: what isn't there any more, and what isn't the same."""
    lines = []
    for note in notes:
        if note.kind != "moot":
            wrapped = textwrap.wrap(note.text, width, break_long_words=False, break_on_hyphens=False)
            lines += [f"{mark} {line}" if number == 0 else f"{mark}   {line}" for number, line in enumerate(wrapped)]
    return lines
