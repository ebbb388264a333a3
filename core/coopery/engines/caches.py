"""The remote caches of a build, as it looks into them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from coopery.cache.records import CacheRecord, LocalRecords
from coopery.cache.remote.protocol import Cache
from coopery.cache.remote.record import RemoteRecord
from coopery.engines.account import CacheUse
from coopery.errors import CooperyError, IntegrityError
from coopery.oci.digest import Digest
from coopery.oci.image import Layer
from coopery.plan.ops import Vertex
from coopery.plan.plan import Plan, PlannedStage
from coopery.ports import Progress, StepProgress
from coopery.solver.hits import StageWork
from coopery.solver.layers import Layers
from coopery.solver.offers import Offer

#: What hits of the local store are counted under.
HERE = "this machine"


@dataclass(slots=True)
class Source:
    """A cache to read: its records count while they are less than `ttl` seconds old (0: for ever)."""

    cache: Cache
    ttl: int = 0
    broken: bool = False  # it didn't answer, or refused: not asked any more


def step_chain(plan: Plan, stage: PlannedStage) -> tuple[Vertex, ...]:
    """The steps that made a stage since its base image, those of the stages it is FROM included: the outcomes of a
    record are in step with them."""
    below = step_chain(plan, plan.stages[stage.base_stage]) if stage.base == "stage" else ()
    return (*below, *stage.vertices)


class Caches:
    """Finds steps' records: in the local store, else in remote caches.

    What remote caches are asked for is little: the last step of the target first, and if that is found nothing else.
    Once a stage's last step is missed, the rest of the stage and the other stages' last steps are asked for at once.
    A cache that fails is named in a warning and left alone from then on.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        records: LocalRecords,
        layers: Layers,
        pool: Executor,
        progress: Progress,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self._records = records
        self._layers = layers
        self._pool = pool
        self._progress = progress
        self._now = now
        self._lock = threading.Lock()
        self._asked: dict[Digest, list[tuple[Source, Future[RemoteRecord | None]]]] = {}
        self._stages: list[tuple[Vertex, ...]] = []
        self._depths: dict[Digest, int] = {}
        self._origins: dict[Digest, Source] = {}
        self._hits: dict[str, int] = {}
        self._step: StepProgress | None = None

    def know(self, plan: Plan) -> None:
        """The plan whose stages' steps will be looked up."""
        self._stages = [stage.vertices for stage in plan.stages.values() if stage.vertices]
        for stage in plan.stages.values():
            chain = step_chain(plan, stage)
            self._depths.update((vertex.key, depth) for depth, vertex in enumerate(chain, 1))
            self._depths.update((vertex.link, 1) for vertex in chain if vertex.link)

    def lookup(self, key: Digest) -> CacheRecord | None:
        """The record under `key`, the layers of which are here or on offer; None if there is none."""
        local = self._records.lookup(key)
        if local:
            return local
        self._ask([key])
        for source, answer in self._asked.get(key, ()):
            found = answer.result()
            if found and self._offer(source, found):
                self._origins[key] = source
                return found.record
        self._look_further(key)
        return None

    def origin(self, key: Digest) -> str:
        """The identity of the cache that the record under `key` was found in; empty for the local store."""
        source = self._origins.get(key)
        return source.cache.identity if source else ""

    def found(self, work: Mapping[int, StageWork]) -> None:
        """What the look-ups came to; the hits are counted."""
        with self._lock:
            step, self._step = self._step, None
            hits = {source.cache.name: 0 for source in self._sources}
        for item in work.values():
            whole = self._origins.get(item.record.key) if item.record else None
            links = [vertex.link for vertex in item.cached] + list(item.links)
            for link in links:
                source = whole or (self._origins.get(link) if link else None)
                name = source.cache.name if source else HERE
                hits[name] = hits.get(name, 0) + 1
        self._hits = hits
        if step:
            for source in self._sources:
                step.status(f"{hits[source.cache.name]} steps found in {source.cache.name}")
            step.done()

    def use(self) -> tuple[CacheUse, ...]:
        """What each cache was good for so far."""
        return tuple(CacheUse(name, hits, self._layers.offers.fetched(name)) for name, hits in self._hits.items())

    # ------------------------------------------------------------------------------------------------ asking

    def _ask(self, keys: Sequence[Digest]) -> None:
        with self._lock:
            if self._sources and self._step is None:
                self._step = self._progress.step("[internal] look for steps in remote caches")
                self._step.start()
            for key in keys:
                if key not in self._asked:
                    self._asked[key] = [
                        (source, self._pool.submit(self._look_up, source, key)) for source in self._sources
                    ]

    def _look_further(self, key: Digest) -> None:
        """After a miss: ask for what will be wanted next, if this is the first miss of its stage."""
        for stage in self._stages:
            if stage[-1].key == key:
                others = [other[-1].key for other in self._stages if not self._records.lookup(other[-1].key)]
                self._ask([*self._until_local(stage), *others])

    def _until_local(self, stage: Sequence[Vertex]) -> Iterator[Digest]:
        """The stage's keys from the last one back to the deepest that the local store has."""
        for vertex in reversed(stage):
            if self._records.lookup(vertex.key):
                return
            yield vertex.key
            if vertex.link and not self._records.lookup(vertex.link):
                yield vertex.link

    def _look_up(self, source: Source, key: Digest) -> RemoteRecord | None:
        if source.broken:
            return None
        try:
            found = source.cache.lookup(key)
        except IntegrityError as error:
            self._refuse(source, error.message)
            return None
        except CooperyError as error:
            with self._lock:
                first, source.broken = not source.broken, True
            if first:
                self._progress.warn(f"going on without the cache {source.cache.name}: {error.message}")
            return None
        if found and len(found.record.outcomes) != self._depths.get(key):
            self._refuse(source, "its record has another number of steps than the build")
            return None
        return found if found and found.is_fresh(self._now(), source.ttl) else None

    def _refuse(self, source: Source, reason: str) -> None:
        self._progress.warn(f"{source.cache.name}: a cached step is refused: {reason}")

    def _offer(self, source: Source, found: RemoteRecord) -> bool:
        """Put the record's layers on offer; False if one of them is neither here nor to be had."""
        usable = True
        for outcome, descriptor in zip(found.record.outcomes, found.layers, strict=True):
            taken = self._layers.offers.add(Offer(Layer(descriptor, outcome.diff_id), found.coding, source.cache))
            usable = usable and (taken or self._layers.is_here(outcome.diff_id))
        return usable
