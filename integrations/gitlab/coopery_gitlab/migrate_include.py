"""The template among what a pipeline includes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coopery.migrate.edit import (
    Document,
    Edit,
    Entry,
    dump,
    entries,
    entry,
    get,
    indented,
    is_block,
    items,
    plain,
    resolved,
    text_of,
)
from coopery.migrate.results import Source


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be included."""

    source: Source
    cloud: bool = False  # whether jobs log in to a cloud's registry

    @property
    def template(self) -> str:
        return (
            f"https://raw.githubusercontent.com/{self.source.repository}/{self.source.ref}"
            "/integrations/gitlab/template.yml"
        )

    @property
    def install(self) -> str:
        extra = "[cloud]" if self.cloud else ""
        return f"coopery{extra} @ https://github.com/{self.source.repository}/archive/{self.source.ref}.tar.gz"


def inputs_for(root: Any, jobs: Sequence[Entry]) -> dict[str, object]:
    """The stage of the template's own job has to be one that there is."""
    stages = [text_of(each) for each in items(get(root, "stages"))]
    if not stages or "build" in stages:
        return {}
    mine = [text_of(resolved(job.value, "stage")) for job in jobs]
    return {"stage": next((stage for stage in mine if stage in stages), stages[0])}


def included(inputs: dict[str, object], wanted: Wanted) -> list[str]:
    return ["include:", *indented(_item(inputs, wanted), 2)]


def _item(inputs: dict[str, object], wanted: Wanted) -> list[str]:
    given = {"install": wanted.install, **inputs, "rules": [{"when": "never"}]}
    first, *rest = dump({"remote": wanted.template, "inputs": given})
    return [
        *(f"# {line}" for line in wanted.source.remark),
        "# The template's own job never runs: the jobs below extend it.",
        f"- {first}",
        *indented(rest, 2),
    ]


def include_edit(document: Document, inputs: dict[str, object], wanted: Wanted) -> Edit:
    """The template among what the pipeline includes."""
    present = entry(document.root, "include")
    if present is None:
        first = next(iter(entries(document.root))).first
        place = _above_comments(document.lines, first)
        return Edit(place, place, [*included(inputs, wanted), ""])
    if is_block(present.value) and isinstance(plain(present.value), list):
        start = present.value.start_mark.line
        return Edit(start, start, indented(_item(inputs, wanted), present.value.start_mark.column))
    others = plain(present.value)
    listed = others if isinstance(others, list) else [others]
    kept = indented(dump(listed), 2)
    return Edit(present.first, present.last, [*included(inputs, wanted), *kept])


def _above_comments(lines: Sequence[str], first: int) -> int:
    """The line before the comments that belong to the entry at `first`."""
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return first
