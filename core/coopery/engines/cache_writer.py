"""The remote caches of a build, as it writes them: while it runs, a step at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial

from coopery.archive.compress import Codec
from coopery.cache.records import CacheRecord, LocalRecords
from coopery.cache.remote.protocol import Cache, MayNotWrite
from coopery.cache.remote.record import RemoteRecord
from coopery.engines.caches import step_chain
from coopery.engines.uploader import Uploader
from coopery.errors import CooperyError
from coopery.oci.digest import Digest
from coopery.oci.image import Layer
from coopery.plan.plan import Plan, PlannedStage
from coopery.ports import Progress
from coopery.request import CacheSpec
from coopery.solver.hits import StageWork
from coopery.solver.layers import Layers, Once
from coopery.solver.offers import LayerLost


@dataclass(slots=True)
class Target:
    """A cache to write, as `spec` says."""

    cache: Cache
    spec: CacheSpec
    codec: Codec
    records: int = 0
    sent: int = 0  # bytes of layers
    closed: bool = False  # it may not be written, or failed
    failure: CooperyError | None = None
    blobs: Once[Digest, None] = field(default_factory=Once)


class CacheWriter:
    """Stores each step's record as soon as the step has ended, in the background. Safe to use from any thread.

    A cache that may only be read is named in a warning. One that fails fails the build, but only when all else is
    done, and not if its specification says `ignore-error`.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        plans: Sequence[Plan],
        layers: Layers,
        records: LocalRecords,
        uploader: Uploader,
        pool: Executor,
        progress: Progress,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`plans` have all their stages in common, and each its own target."""
        self._targets = targets
        self._plan = plans[0]
        self._layers = layers
        self._records = records
        self._uploader = uploader
        self._pool = pool
        self._progress = progress
        self._now = now
        self._lineage = {stage.index for plan in plans for stage in plan.lineage}
        self._lock = threading.Lock()
        self._jobs: list[Future[None]] = []
        self._touches: list[Future[None]] = []

    def step(self, stage: int, record: CacheRecord) -> None:
        """A step of the stage has ended, with this record: store it in all caches that are to have it."""
        for target in self._targets:
            if self._wanted(target, stage):
                self._begin(self._store, target, stage, record)

    def found(self, work: Mapping[int, StageWork], origin: Callable[[Digest], str]) -> None:
        """Bring what was found in one cache to the others. `origin` tells the identity of the cache that has a
        record, empty for the local store."""
        for stage in self._plan.stages.values():
            record = work[stage.index].record if stage.index in work else self._deepest(stage)
            for target in self._targets:
                if not record or not self._wanted(target, stage.index):
                    continue
                if origin(record.key) != target.cache.identity:
                    self._begin(self._bring, target, stage, record)
                else:
                    self._touches.append(self._pool.submit(target.cache.touch, record.key))

    def settle(self) -> None:
        """Wait until everything that was begun has come to an end."""
        touches, self._touches = self._touches, []
        for touch in touches:
            touch.result()
        while True:
            with self._lock:
                jobs, self._jobs = self._jobs, []
            if not jobs:
                return
            for job in jobs:
                job.result()

    def finish(self) -> None:
        """Wait for everything; raise why a cache couldn't be written, if that isn't to be ignored."""
        with self._lock:
            idle = not self._jobs and not any(target.records or target.closed for target in self._targets)
        if idle:
            self.settle()
            return
        step = self._progress.step("storing steps in " + ", ".join(target.cache.name for target in self._targets))
        step.start()
        self.settle()
        failure: CooperyError | None = None
        for target in self._targets:
            step.status(f"{target.records} steps, {target.sent} bytes of layers sent to {target.cache.name}")
            if target.failure and target.spec.ignore_error:
                self._progress.warn(f"{target.cache.name} could not be written: {target.failure.message}")
            elif target.failure:
                failure = target.failure
                failure.message = f"{target.cache.name} could not be written: {failure.message}"
                failure.hint = "; ".join(filter(None, [failure.hint, "ignore-error=true in --cache-to goes on"]))
        if failure:
            step.failed(failure.message)
            raise failure
        step.done()

    # --------------------------------------------------------------------------------------------- in the pool

    def _wanted(self, target: Target, stage: int) -> bool:
        return not target.closed and (target.spec.mode == "max" or stage in self._lineage)

    def _begin(self, work: Callable[..., None], target: Target, *arguments: object) -> None:
        with self._lock:
            self._jobs.append(self._pool.submit(self._guarded, partial(work, target, *arguments), target))

    def _guarded(self, work: Callable[[], None], target: Target) -> None:
        if target.closed:
            return
        try:
            work()
        except LayerLost:
            # The build learns of it by itself, if it needs the layer; then this is asked for again.
            target.blobs.forget(lambda _: True)
        except MayNotWrite as error:
            self._close(target, None, str(error))
        except CooperyError as error:
            self._close(target, error, "")

    def _close(self, target: Target, failure: CooperyError | None, refusal: str) -> None:
        with self._lock:
            first, target.closed = not target.closed, True
            if first:
                target.failure = failure
        if first and refusal:
            self._progress.warn(f"{target.cache.name} may only be read here, and keeps what it has: {refusal}")

    def _store(self, target: Target, stage: int, record: CacheRecord) -> None:
        layers = []
        for outcome in record.outcomes:
            layer = self._layers.encode(outcome.diff_id, target.codec)
            put = partial(self._put, target, layer, stage in self._lineage)
            target.blobs.get(layer.descriptor.digest, put)
            layers.append(layer.descriptor)
        remote = RemoteRecord(record, tuple(layers), str(target.codec), int(self._now()), target.spec.ttl)
        target.cache.put_record(remote, lambda layer: self._layers.open_blob(layer.digest))
        with self._lock:
            target.records += 1

    def _put(self, target: Target, layer: Layer, in_image: bool) -> None:
        descriptor = layer.descriptor
        mount_from = list(self._layers.offers.places(descriptor.digest))
        if in_image and target.cache.place and target.codec == self._layers.codec:
            # What goes to the same registry twice is sent once.
            mount_from += self._uploader.sent(layer.diff_id, target.cache.place.registry)
        outcome = target.cache.put_blob(descriptor, lambda: self._layers.open_blob(descriptor.digest), mount_from)
        if outcome == "uploaded":
            with self._lock:
                target.sent += descriptor.size

    def _bring(self, target: Target, stage: PlannedStage, record: CacheRecord) -> None:
        """Store a found record, and those of the steps before it, unless the target has it."""
        with contextlib.suppress(CooperyError):  # then it can't be there, or the next request says what is wrong
            there = target.cache.lookup(record.key)
            if there and there.is_fresh(self._now()):
                return
        for count, vertex in enumerate(step_chain(self._plan, stage)[: len(record.outcomes)], 1):
            if vertex.link:
                self._store(target, stage.index, CacheRecord(vertex.link, record.outcomes[count - 1 : count]))
            self._store(target, stage.index, CacheRecord(vertex.key, record.outcomes[:count]))

    def _deepest(self, stage: PlannedStage) -> CacheRecord | None:
        """The deepest record of a stage that nothing had to be looked up for, if the local store has one."""
        found = (self._records.lookup(vertex.key) for vertex in reversed(stage.vertices))
        return next((record for record in found if record), None)
