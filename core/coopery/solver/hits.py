"""What is in the cache already, and which stages have to run for what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from coopery.cache.records import CacheRecord, Outcome
from coopery.oci.digest import Digest
from coopery.plan.ops import Vertex, sources_of
from coopery.plan.plan import Plan, PlannedStage


@dataclass(frozen=True, slots=True)
class StageWork:
    """What one stage has to do: start from `record` (None: from its base) and run `vertices`. The linked ones of which
    a layer is known are in `links`, by the key of that."""

    index: int
    record: CacheRecord | None
    vertices: tuple[Vertex, ...]
    cached: tuple[Vertex, ...]
    links: Mapping[Digest, CacheRecord] = field(default_factory=dict)


def find_work(plans: Sequence[Plan], lookup: Callable[[Digest], CacheRecord | None]) -> Mapping[int, StageWork]:
    """The stages that the targets need, given what `lookup` finds; the deepest hit in each stage counts. `plans` have
    all their stages in common.

    A stage that is needed only by steps that were found is left out altogether. Linked layers that were found go on
    top of whatever is below them.
    """
    hits = _Hits(plans[0].stages, lookup)
    work: dict[int, StageWork] = {}
    todo = [plan.target for plan in plans]
    while todo:
        index = todo.pop()
        if index in work:
            continue
        stage = plans[0].stages[index]
        record, found = hits.deepest(stage)
        left = stage.vertices[found:]
        links = {vertex.link: known for vertex in left if vertex.link and (known := lookup(vertex.link))}
        work[index] = StageWork(index, record, left, stage.vertices[:found], links)
        if record is None and stage.base == "stage":
            todo.append(stage.base_stage)
        sources = (source for vertex in left if vertex.link not in links for source in sources_of(vertex.op))
        todo.extend(source.stage for source in sources if source.kind == "stage")
    return dict(sorted(work.items()))


class _Hits:
    """Looks for the records of stages."""

    def __init__(self, stages: Mapping[int, PlannedStage], lookup: Callable[[Digest], CacheRecord | None]) -> None:
        self._stages = stages
        self._lookup = lookup

    def deepest(self, stage: PlannedStage) -> tuple[CacheRecord | None, int]:
        """The record of the deepest step that is known, and how many of the stage's steps that spares."""
        vertices = stage.vertices
        record, found = None, 0
        for depth in range(len(vertices), 0, -1):
            record = self._lookup(vertices[depth - 1].key)
            if record:
                found = depth
                break
        below = record.outcomes if record else None
        while found < len(vertices) and (link := vertices[found].link) and (layer := self._lookup(link)):
            if below is None:
                below = self._base(stage)
            if below is None:
                break
            below = (*below, layer.outcomes[-1])
            record = CacheRecord(vertices[found].key, below)
            found += 1
        return record, found

    def _base(self, stage: PlannedStage) -> tuple[Outcome, ...] | None:
        """What a stage begins with since its base image; None if that has to be made first."""
        if stage.base != "stage":
            return ()
        base = self._stages[stage.base_stage]
        record, found = self.deepest(base)
        if found < len(base.vertices):
            return None
        return record.outcomes if record else self._base(base)


def left_out(plan: Plan, work: Mapping[int, StageWork]) -> tuple[PlannedStage, ...]:
    """The stages that nothing has to be done for, not even a look at the cache: all that needs them was found."""
    return tuple(stage for index, stage in sorted(plan.stages.items()) if index not in work)
