"""Runs a plan: the stages that are needed, in parallel, each from the deepest step that the cache has."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.cache.store import Store
from coopery.errors import Interrupted
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp, SourceRef
from coopery.plan.plan import BaseImage, Plan, PlannedStage
from coopery.ports import Progress, Sandbox, Snapshotter, StepProgress, StoredLayer
from coopery.solver.hits import StageWork, find_work, left_out
from coopery.solver.layers import Layers, Once
from coopery.solver.offers import LayerLost
from coopery.solver.settings import RunSettings
from coopery.solver.waiting import finished

# What carries steps out is imported when there is one to carry out: a cached build has none.
if TYPE_CHECKING:
    from coopery.context.files import FileSource
    from coopery.solver.mounted import MountFiles
    from coopery.solver.runtime import StepEnvironment


@dataclass(frozen=True, slots=True)
class Means:
    """What a solver works with. `snapshotters` and `sandbox` are called for only if a command has to run."""

    store: Store
    records: LocalRecords
    layers: Layers
    sandbox: Callable[[], Sandbox]
    snapshotters: Callable[[], Sequence[Snapshotter]]
    environment: Callable[[], StepEnvironment]
    scratch_is_full: Callable[[], bool]
    sources: Callable[[CopyOp], FileSource]  # contexts and URLs
    contexts: Callable[[str], FileSource]  # by name; the main one has the empty name
    fetch_pool: Executor  # downloads and unpacks layers
    archive_pool: Executor  # archives steps' changes; runs its jobs in order of submission
    now_ns: Callable[[], int]


@dataclass(slots=True)
class _StageState:
    stage: PlannedStage
    work: StageWork
    done: Future[tuple[Outcome, ...]] = field(default_factory=Future)


class Solver:
    """One run of a plan. It is the Host of its StageRuns."""

    def __init__(
        self,
        plans: Sequence[Plan],
        means: Means,
        progress: Progress,
        *,
        source: Sequence[str],
        settings: RunSettings,
        use_cache: bool,
        parallel: int,
        on_start: Callable[[], None],
        may_run: Callable[[Callable[[], bool]], bool],
        on_layer: Callable[[int, Digest], None],
        lookup: Callable[[Digest], CacheRecord | None],
        on_work: Callable[[Mapping[int, StageWork]], None] = lambda work: None,
        on_record: Callable[[int, CacheRecord], None] = lambda stage, record: None,
    ) -> None:
        """`plans` have all their stages in common, and each its own target (`plan.joining.join`).

        `source` are the Dockerfile's lines; `parallel` is how many commands run at a time at most.

        `on_start` is called if anything has to be done at all, `on_layer` with a stage's index and the diff ID of
        each of its layers, as soon as that is in the store. Before a command runs, `may_run` is asked, which may take
        its time; with False the build ends as Interrupted.
        """
        self._plan = plans[0]
        self._targets = [plan.target for plan in plans]
        self._plans = plans
        self._means = means
        self._progress = progress
        self._settings = settings
        self._on_start = on_start
        self._may_run = may_run
        self._on_layer = on_layer
        self._lookup = lookup
        self._on_work = on_work
        self._on_record = on_record
        self._slots = threading.Semaphore(parallel)
        self._cancel = threading.Event()
        self._steps: dict[Digest, StepProgress] = {}
        self._states: Mapping[int, _StageState] = {}
        self._fetching: Once[str, list[StoredLayer]] = Once()
        self.source = source
        self.use_cache = use_cache
        self.store = means.store
        self.records = means.records
        self.layers = means.layers

    # ------------------------------------------------------------------------------------------------ the run

    def solve(self) -> Sequence[tuple[Outcome, ...]]:
        """Do what is to do; returns the outcomes of each target's steps since its base image.

        The first failure stops everything else and is raised when all has come to rest. KeyboardInterrupt does the
        same and is raised as Interrupted.
        """
        work = find_work(self._plans, self._lookup if self.use_cache else lambda _key: None)
        self._on_work(work)
        for index in work:
            stage = self._plan.stages[index]
            self._number(stage)
        spared: set[Digest] = set()
        for stage in left_out(self._plan, work):
            self._spare(stage, spared)
        for item in work.values():
            known = item.record.outcomes[-len(item.cached) :] if item.record else ()
            for vertex, outcome in zip(item.cached, known, strict=True):
                self._steps[vertex.key].cached(outcome.seconds)
        records = [item.record for item in (work[target] for target in self._targets) if not item.vertices]
        found = [record.outcomes for record in records if record]
        if len(found) == len(self._targets):
            return found
        self._on_start()
        self._states = {index: _StageState(self._plan.stages[index], item) for index, item in work.items()}
        threads = [
            threading.Thread(target=self._stage, args=(state,), name=f"stage-{index}", daemon=True)
            for index, state in self._states.items()
        ]
        for thread in threads:
            thread.start()
        # Not Thread.join: interrupted once, it takes a running thread for an ended one (CPython issue 89437).
        ends = [state.done for state in self._states.values()]
        try:
            wait(ends)
        except KeyboardInterrupt:
            self._cancel.set()
            wait(ends)
            raise Interrupted("the build was interrupted", hint="steps that finished stay cached") from None
        failures = [error for state in self._states.values() if (error := state.done.exception())]
        first = next((error for error in failures if not isinstance(error, Interrupted)), None)
        if first or failures:
            raise first or failures[0]
        return [self._states[target].done.result() for target in self._targets]

    def _number(self, stage: PlannedStage) -> None:
        """Make the stage's steps known in the order of the Dockerfile."""
        for vertex in stage.vertices:
            if vertex.key not in self._steps:
                self._steps[vertex.key] = self._progress.step(vertex.title, vertex.location)

    def _spare(self, stage: PlannedStage, spared: set[Digest]) -> None:
        """Make known that the stage's steps need no running: nothing is left to do that needs what they made. `spared`
        are those for which that was said already."""
        vertices = stage.vertices
        seconds = self.records.seconds(stage.key)[-len(vertices) :] if vertices else ()
        known = seconds if len(seconds) == len(vertices) else (None,) * len(vertices)
        for vertex, saved in zip(vertices, known, strict=True):
            if vertex.key not in self._steps and vertex.key not in spared:
                spared.add(vertex.key)
                self._progress.spared(vertex.title, vertex.location, saved)

    def _stage(self, state: _StageState) -> None:
        from coopery.solver.stage_layers import StageLayers
        from coopery.solver.stage_run import StageRun

        try:
            layers = StageLayers(
                self.layers,
                self.records,
                self._means.archive_pool,
                lambda diff_id: self._on_layer(state.stage.index, diff_id),
                lambda record: self._on_record(state.stage.index, record),
            )
            run = StageRun(
                self,
                state.stage,
                lambda: self._base_layers(state.stage),
                layers,
                self._settings,
                lambda vertex: self._steps[vertex.key],
                state.work.links,
            )
            known: Sequence[Outcome] = ()
            if state.work.record:
                known = state.work.record.outcomes
            elif state.stage.base == "stage":
                known = self._states[state.stage.base_stage].done.result()
            layers.reset(known)
            stands_on = any(not vertex.link for vertex in state.work.vertices)
            if stands_on and any(not self.layers.is_here(outcome.diff_id) for outcome in known):
                self._layers_above(state.stage, known)
            state.done.set_result(run.run(state.work.vertices))
        except BaseException as error:  # the thread's end: solve() raises it again
            if not isinstance(error, LayerLost):  # after that another attempt is made, and uses what others finish
                self._cancel.set()
            state.done.set_exception(error)

    # -------------------------------------------------------------------------------------------- base images

    def _base_layers(self, stage: PlannedStage) -> list[StoredLayer]:
        """The layers of the image that the stage goes back to, in the store."""
        while stage.base == "stage":
            stage = self._plan.stages[stage.base_stage]
        return self._image_layers(stage.base_image, stage.title) if stage.base_image else []

    def _layers_above(self, stage: PlannedStage, outcomes: Sequence[Outcome]) -> list[StoredLayer]:
        """All layers of a stage that has come as far as `outcomes`, in the store: those of its base image, and the
        steps', downloaded at the same time where only a remote cache has them."""
        missing = dict.fromkeys(each.diff_id for each in outcomes if not self.layers.is_here(each.diff_id))
        if missing:
            step = self._progress.step(f"[internal] load {len(missing)} cached layers")
            step.start()
            futures = [self._means.fetch_pool.submit(self.layers.stored, diff_id) for diff_id in missing]
            try:
                self._base_layers(stage)
                self._await_all(futures)
                for future in futures:
                    future.result()
            except BaseException as error:
                step.canceled() if isinstance(error, (LayerLost, Interrupted)) else step.failed(str(error))
                raise
            step.done()
        return [*self._base_layers(stage), *(self.layers.stored(outcome.diff_id) for outcome in outcomes)]

    def _image_layers(self, base: BaseImage, title: str) -> list[StoredLayer]:
        def work() -> list[StoredLayer]:
            reference = base.fetched.reference
            if all(self.store.has_layer(layer.diff_id) for layer in base.image.layers):
                return [self.layers.fetch(layer, reference) for layer in base.image.layers]
            step = self._progress.step(title)
            step.start()
            fetch = self._means.fetch_pool.submit
            futures = [fetch(self.layers.fetch, layer, reference, step) for layer in base.image.layers]
            try:
                self._await_all(futures)
                stored = [future.result() for future in futures]
            except BaseException as error:
                step.failed(str(error))
                raise
            step.done()
            return stored

        return self._fetching.get(str(base.fetched.manifest.digest), work)

    def _await_all(self, futures: Sequence[Future[StoredLayer]]) -> None:
        if not finished(futures, self.canceled):
            raise Interrupted("the build was stopped")

    # ------------------------------------------------------------------------------------------------ Host

    def files(self, op: CopyOp) -> FileSource:
        """Where one part of a COPY takes its files from; waits for the stage that makes them."""
        from coopery.context.files import InlineFiles, LayerFiles

        if op.source.kind == "inline":
            contents = {file.name.encode("utf-8", "surrogateescape"): file.content for file in op.inline}
            return InlineFiles(contents, self.now_ns())
        if op.source.kind in ("stage", "image"):
            return LayerFiles(self.layers.tree(self._source_layers(op.source)), self._tar_of)
        return self._means.sources(op)

    def mount_files(self, source: SourceRef) -> MountFiles:
        """Where a mount takes its files from; waits for the stage that makes them."""
        from coopery.context.files import LayerFiles
        from coopery.solver.mounted import MountFiles

        if source.kind == "context":
            return MountFiles(self._means.contexts(source.name), None)
        layers = self._source_layers(source) if source.kind in ("stage", "image") else []
        return MountFiles(LayerFiles(self.layers.tree(layers), self._tar_of), layers)

    def _source_layers(self, source: SourceRef) -> list[StoredLayer]:
        """All layers of a stage, which is waited for, or of an image, in the store."""
        if source.kind == "image":
            image = self._plan.images[source.name]
            return self._image_layers(image, f"[internal] pull {image.fetched.reference}")
        outcomes = self._states[source.stage].done.result()
        return self._layers_above(self._plan.stages[source.stage], outcomes)

    def _tar_of(self, diff_id: Digest) -> str:
        return self.layers.stored(diff_id).tar

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Held while a command runs, so that not too many do."""
        with self._slots:
            if self.canceled():
                raise Interrupted("the build was stopped")
            yield

    def await_leave(self) -> None:
        """Return when commands may run; Interrupted if they may not."""
        if not self._may_run(self.canceled):
            raise Interrupted("the build was stopped")

    def canceled(self) -> bool:
        """Whether the build is being stopped."""
        return self._cancel.is_set()

    def scratch_is_full(self) -> bool:
        """Whether the scratch space of the first snapshotter has run out."""
        return self._means.scratch_is_full()

    def now_ns(self) -> int:
        """The time that what is made now is given, in nanoseconds since 1970."""
        return self._means.now_ns()

    @property
    def sandbox(self) -> Sandbox:
        """The way commands run."""
        return self._means.sandbox()

    @property
    def snapshotters(self) -> Sequence[Snapshotter]:
        """The ways of making root file systems, in order of preference."""
        return self._means.snapshotters()

    @property
    def environment(self) -> StepEnvironment:
        """Secrets and cache directories."""
        return self._means.environment()
