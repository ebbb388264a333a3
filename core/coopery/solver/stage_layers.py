"""The layers that one stage has grown so far, some of them still being archived in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager

from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.oci.digest import Digest
from coopery.ports import StoredLayer
from coopery.solver.layers import Layers

#: Told of each layer as soon as it is in the store, to compress and upload it.
OnLayer = Callable[[Digest], None]
#: Told of each step's record, to store it in remote caches.
OnRecord = Callable[[CacheRecord], None]


class StageLayers:
    """Outcomes of the steps since the base image, in order. Used by one thread; archiving runs in others."""

    def __init__(
        self,
        layers: Layers,
        records: LocalRecords,
        pool: Executor,
        on_layer: OnLayer,
        on_record: OnRecord = lambda record: None,
    ) -> None:
        """`pool` must run what is submitted in order of submission: each job waits for the stage's previous one."""
        self._layers = layers
        self._records = records
        self._pool = pool
        self._on_layer = on_layer
        self._on_record = on_record
        self._outcomes: list[Future[Outcome]] = []

    def reset(self, outcomes: Sequence[Outcome]) -> None:
        """Begin from outcomes that were found in the cache."""
        self._outcomes = []
        for outcome in outcomes:
            future: Future[Outcome] = Future()
            future.set_result(outcome)
            self._outcomes.append(future)
            self._on_layer(outcome.diff_id)

    def adopt(self, record: CacheRecord) -> None:
        """Go on from what another build has recorded meanwhile."""
        self.reset(record.outcomes)
        self._on_record(record)

    def link(self, key: Digest, record: CacheRecord) -> None:
        """Go on with a linked layer that is known by its own `record`; `key` is that of the step."""
        before, outcome = tuple(self._outcomes), record.outcomes[-1]

        def work() -> Outcome:
            record = CacheRecord(key, (*(future.result() for future in before), outcome))
            self._records.store(record)
            self._told(record)
            return outcome

        self._outcomes.append(self._pool.submit(work))

    def add(
        self,
        key: Digest,
        created: str,
        archive: Callable[[], StoredLayer],
        lock: AbstractContextManager[object],
        *,
        now: bool,
        seconds: float,
        link: Digest | None = None,
    ) -> None:
        """A step is done, after `seconds`: archive its change, now or while the next step runs, and record it under
        `key`; and its layer alone under `link`, if it owes nothing to those below.

        `lock`, which is held, is let go only then: whoever waits for it finds the record.
        """
        before = tuple(self._outcomes)

        def work() -> Outcome:
            with lock:
                began = time.monotonic()
                diff_id = archive().diff_id
                outcome = Outcome(diff_id, created, round(seconds + time.monotonic() - began, 3))
                if link:
                    alone = CacheRecord(link, (outcome,))
                    self._records.store(alone)
                    self._on_record(alone)
                record = CacheRecord(key, (*(future.result() for future in before), outcome))
                self._records.store(record)
            self._told(record)
            return outcome

        if now:
            future: Future[Outcome] = Future()
            future.set_result(work())
        else:
            future = self._pool.submit(work)
        self._outcomes.append(future)

    def _told(self, record: CacheRecord) -> None:
        self._on_layer(record.diff_ids[-1])
        self._on_record(record)

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
