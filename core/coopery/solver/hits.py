"""What is in the cache already, and which stages have to run for what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coopery.cache.records import CacheRecord
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp, Vertex
from coopery.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class StageWork:
    """What one stage has to do: start from `record` (None: from its base) and run `vertices`."""

    index: int
    record: CacheRecord | None
    vertices: tuple[Vertex, ...]
    cached: tuple[Vertex, ...]


def find_work(plan: Plan, lookup: Callable[[Digest], CacheRecord | None]) -> Mapping[int, StageWork]:
    """The stages that the target needs, given what `lookup` finds; the deepest hit in each stage counts.

    A stage that is needed only by steps that were found is left out altogether.
    """
    work: dict[int, StageWork] = {}
    todo = [plan.target]
    while todo:
        index = todo.pop()
        if index in work:
            continue
        stage = plan.stages[index]
        vertices = stage.vertices
        record, found = None, 0
        for depth in range(len(vertices), 0, -1):
            record = lookup(vertices[depth - 1].key)
            if record:
                found = depth
                break
        work[index] = StageWork(index, record, vertices[found:], vertices[:found])
        if record is None and stage.base == "stage":
            todo.append(stage.base_stage)
        copies = (vertex.op for vertex in vertices[found:] if isinstance(vertex.op, CopyOp))
        todo.extend(op.source.stage for op in copies if op.source.kind == "stage")
    return dict(sorted(work.items()))
