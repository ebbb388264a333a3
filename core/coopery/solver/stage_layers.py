"""The layers that one stage has grown so far, some of them still being archived in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager

from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.oci.digest import Digest
from coopery.ports import StoredLayer
from coopery.solver.layers import Layers

#: Told of each layer as soon as it is in the store, to compress and upload it.
OnLayer = Callable[[Digest], None]


class StageLayers:
    """Outcomes of the steps since the base image, in order. Used by one thread; archiving runs in others."""

    def __init__(self, layers: Layers, records: LocalRecords, pool: Executor, on_layer: OnLayer) -> None:
        """`pool` must run what is submitted in order of submission: each job waits for the stage's previous one."""
        self._layers = layers
        self._records = records
        self._pool = pool
        self._on_layer = on_layer
        self._outcomes: list[Future[Outcome]] = []

    def reset(self, outcomes: Sequence[Outcome]) -> None:
        """Begin from outcomes that were found in the cache."""
        self._outcomes = []
        for outcome in outcomes:
            future: Future[Outcome] = Future()
            future.set_result(outcome)
            self._outcomes.append(future)
            self._on_layer(outcome.diff_id)

    def add(
        self,
        key: Digest,
        created: str,
        archive: Callable[[], StoredLayer],
        lock: AbstractContextManager[object],
        *,
        now: bool,
    ) -> None:
        """A step is done: archive its change, now or while the next step runs, and record it under `key`.

        `lock`, which is held, is let go only then: whoever waits for it finds the record.
        """
        before = tuple(self._outcomes)

        def work() -> Outcome:
            with lock:
                outcome = Outcome(archive().diff_id, created)
                self._records.store(CacheRecord(key, (*(future.result() for future in before), outcome)))
            self._on_layer(outcome.diff_id)
            return outcome

        if now:
            future: Future[Outcome] = Future()
            future.set_result(work())
        else:
            future = self._pool.submit(work)
        self._outcomes.append(future)

    def outcomes(self) -> tuple[Outcome, ...]:
        """All outcomes, once everything is archived."""
        return tuple(future.result() for future in self._outcomes)

    def stored(self) -> list[StoredLayer]:
        """The layers above the base image, lowest first, once everything is archived."""
        return [self._layers.stored(outcome.diff_id) for outcome in self.outcomes()]

    def settle(self) -> None:
        """Wait for the background, whatever came of it: what was finished is kept."""
        for future in self._outcomes:
            future.exception()
