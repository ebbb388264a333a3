"""Carries out the steps of one stage that the cache didn't have."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.cache.store import Store
from coopery.context.files import FileSource
from coopery.errors import CooperyError, Interrupted, StepFailed
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp, MakeDirectoryOp, RunOp, SourceRef, Vertex, sources_of
from coopery.plan.plan import PlannedStage
from coopery.ports import Sandbox, Snapshotter, StepProgress, StoredLayer, Workspace
from coopery.solver.copying import copy_change, directory_change
from coopery.solver.layers import Layers
from coopery.solver.mounted import MountFiles
from coopery.solver.offers import LayerLost
from coopery.solver.runtime import StepEnvironment, process_for
from coopery.solver.settings import RunSettings
from coopery.solver.stage_layers import StageLayers
from coopery.solver.step_mounts import prepared_mounts
from coopery.solver.times import timestamp
from coopery.solver.users import ReadFile
from coopery.tree.entry import Kind
from coopery.tree.tree import Tree


class Host(Protocol):
    """What a stage needs of the build around it."""

    store: Store
    records: LocalRecords
    layers: Layers
    use_cache: bool
    source: Sequence[str]  # the Dockerfile's lines

    @property
    def sandbox(self) -> Sandbox:
        """The way commands run."""

    @property
    def snapshotters(self) -> Sequence[Snapshotter]:
        """The ways of making root file systems: the first is used, the next when a step ran out of scratch space."""

    @property
    def environment(self) -> StepEnvironment:
        """Secrets and cache directories."""

    def files(self, op: CopyOp) -> FileSource:
        """Where one part of a COPY takes its files from; waits for the stage that makes them."""

    def mount_files(self, source: SourceRef) -> MountFiles:
        """Where a mount takes its files from; waits for the stage that makes them."""

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Held while a command runs, so that not too many do."""

    def await_leave(self) -> None:
        """Return when commands may run; Interrupted if they may not."""

    def canceled(self) -> bool:
        """Whether the build is being stopped."""

    def scratch_is_full(self) -> bool:
        """Whether the scratch space of the first snapshotter has run out."""

    def now_ns(self) -> int:
        """The time that what is made now is given, in nanoseconds since 1970."""


class StageRun:
    """One stage being built, by one thread."""

    def __init__(
        self,
        host: Host,
        stage: PlannedStage,
        base: Callable[[], list[StoredLayer]],
        layers: StageLayers,
        settings: RunSettings,
        progress: Callable[[Vertex], StepProgress],
        links: Mapping[Digest, CacheRecord],
    ) -> None:
        """`base` gives the base image's layers, fetched on first use; `layers` starts with what lies above them.
        `links` are the records of linked layers that are known."""
        self._host = host
        self._stage = stage
        self._base = base
        self._layers = layers
        self._settings = settings
        self._progress = progress
        self._links = links
        self._resources = contextlib.ExitStack()
        self._workspace: Workspace | None = None
        self._began = 0.0  # when the current step did, by the monotonic clock
        self._mounted: Mapping[SourceRef, MountFiles] = {}  # what mounts of the current step take files from

    def run(self, vertices: Sequence[Vertex]) -> tuple[Outcome, ...]:
        """Do `vertices` in order; returns the outcomes since the base image.

        Steps that ended before a failure are archived and recorded all the same.
        """
        try:
            with self._resources:
                for vertex in vertices:
                    self._step(vertex)
                return self._layers.outcomes()
        finally:
            self._layers.settle()

    def _step(self, vertex: Vertex) -> None:
        host = self._host
        progress = self._progress(vertex)
        if host.canceled():
            progress.canceled()
            raise Interrupted("the build was stopped")
        lock = contextlib.ExitStack()
        try:
            if vertex.link and (known := self._links.get(vertex.link)):
                self._link(vertex, known, progress)
                return
            # First what it reads is waited for: a step that holds its lock, or shows as running, is at work.
            sources = [host.files(part) for part in vertex.op.parts] if isinstance(vertex.op, CopyOp) else []
            if not vertex.link:
                self._base()
            if isinstance(vertex.op, RunOp):
                self._mounted = {each: host.mount_files(each) for each in sources_of(vertex.op)}
                host.await_leave()
            if host.use_cache:
                lock.enter_context(host.store.step_lock(vertex.link or vertex.key))
                if vertex.link and (known := host.records.lookup(vertex.link)):
                    lock.close()
                    self._link(vertex, known, progress)
                    return
                record = self._adopt(vertex)
                if record:
                    progress.cached(record.outcomes[-1].seconds)
                    lock.close()
                    return
            progress.start()
            self._began = time.monotonic()
            if isinstance(vertex.op, RunOp):
                self._run(vertex, vertex.op, progress, lock)
            else:
                self._put(vertex, sources, lock)
            progress.done()
        except BaseException as error:
            lock.close()
            if isinstance(error, (Interrupted, LayerLost)):
                progress.canceled()
            elif isinstance(error, CooperyError):
                error.at(vertex.location, host.source)
                progress.failed(error.message)
            else:
                progress.failed("internal error")
            raise

    def _adopt(self, vertex: Vertex) -> CacheRecord | None:
        """Take over what another build did while this one waited for the step's lock; None if there is nothing."""
        record = self._host.records.lookup(vertex.key)
        if record is None:
            return None
        known = self._layers.outcomes()
        self._layers.adopt(record)
        if self._workspace is not None:
            same = [outcome.diff_id for outcome in known] == list(record.diff_ids[:-1])
            if same:
                self._workspace.apply(self._host.layers.stored(record.diff_ids[-1]))
            else:
                self._close_workspace()
        return record

    def _link(self, vertex: Vertex, record: CacheRecord, progress: StepProgress) -> None:
        """Go on with a linked layer that was made before."""
        self._layers.link(vertex.key, record)
        if self._workspace is not None:
            self._workspace.apply(self._host.layers.stored(record.diff_ids[-1]))
        progress.cached(record.outcomes[-1].seconds)

    def _put(self, vertex: Vertex, sources: Sequence[FileSource], lock: contextlib.ExitStack) -> None:
        """A COPY or ADD from `sources`, or a WORKDIR."""
        host, op, now_ns = self._host, vertex.op, self._host.now_ns()
        tree = Tree.empty() if vertex.link else self._tree()
        if isinstance(op, CopyOp):
            change = copy_change(op, sources, tree, self._reader(tree), host.store, now_ns)
        else:
            assert isinstance(op, MakeDirectoryOp)
            change = directory_change(op, tree, self._reader(tree), now_ns)
        stored: list[StoredLayer] = []

        def archive() -> StoredLayer:
            stored.append(host.layers.archive(change))
            return stored[0]

        seconds = self._elapsed()
        self._layers.add(vertex.key, timestamp(now_ns), archive, lock, now=True, seconds=seconds, link=vertex.link)
        if self._workspace is not None:
            self._workspace.apply(stored[0])

    def _run(self, vertex: Vertex, op: RunOp, progress: StepProgress, lock: contextlib.ExitStack) -> None:
        created = timestamp(self._host.now_ns())
        first, *others = self._host.snapshotters
        workspace = self._checkout(first)
        room = _RoomWatch(self._host.scratch_is_full)
        status = self._command(op, workspace, first, progress, room)
        if others and room.ran_out(status):
            progress.log(b"the scratch space on memory is full: running the step again on disk\n", "stderr")
            self._close_workspace()
            workspace = self._checkout(others[0])
            status = self._command(op, workspace, others[0], progress, _RoomWatch(lambda: False))
        if status:
            workspace.discard()
            raise step_failed(op, status)
        capture = workspace.commit()

        def archive() -> StoredLayer:
            stored = self._host.layers.archive(capture.entries())
            capture.stored(stored)
            return stored

        self._layers.add(vertex.key, created, archive, lock, now=not capture.frozen, seconds=self._elapsed())

    def _elapsed(self) -> float:
        """Seconds since the current step began."""
        return time.monotonic() - self._began

    def _command(
        self, op: RunOp, workspace: Workspace, snapshotter: Snapshotter, progress: StepProgress, room: _RoomWatch
    ) -> int:
        def log(data: bytes, stream: Literal["stdout", "stderr"]) -> None:
            room.read(data)
            progress.log(data, stream)

        def canceled() -> bool:
            room.look()
            return host.canceled()

        host = self._host
        environment, sandbox = host.environment, host.sandbox
        with (
            host.running(),
            prepared_mounts(op, environment, self._mounted, snapshotter, sandbox, canceled) as prepared,
        ):
            process = process_for(
                op,
                workspace.rootfs,
                add_hosts=self._settings.add_hosts,
                shm_size=self._settings.shm_size,
                ulimits=self._settings.ulimits,
                extra=prepared,
            )
            status = sandbox.run(process, workspace.rootfs, prepared.mounts, log, canceled)
        if host.canceled():
            raise Interrupted("the build was stopped")
        return status

    def _checkout(self, snapshotter: Snapshotter) -> Workspace:
        if self._workspace is None:
            stack = [*self._base(), *self._layers.stored()]
            self._workspace = self._resources.enter_context(snapshotter.checkout(stack))
        return self._workspace

    def _close_workspace(self) -> None:
        self._resources.close()
        self._workspace = None

    def _tree(self) -> Tree:
        return self._host.layers.tree([*self._base(), *self._layers.stored()])

    def _reader(self, tree: Tree) -> ReadFile:
        def read(path: str) -> bytes | None:
            node = tree.lookup(path.encode())
            if node is None or node.entry.kind is not Kind.FILE:
                return None
            if node.layer is None or not node.entry.size:
                return b""
            with open(self._host.layers.stored(node.layer).tar, "rb") as file:
                file.seek(node.entry.offset)
                return file.read(node.entry.size)

        return read


class _RoomWatch:
    """Notices that a command met the end of its scratch space, also where it cleaned up or went on regardless."""

    _SAID = (b"No space left on device", b"ENOSPC", b"no space left on device")

    def __init__(self, is_full: Callable[[], bool]) -> None:
        self._is_full = is_full
        self._was_full = False
        self._said = False
        self._tail = b""

    def look(self) -> None:
        """To be called now and then while the command runs."""
        self._was_full = self._was_full or self._is_full()

    def read(self, data: bytes) -> None:
        """Output of the command."""
        text = self._tail + data
        self._said = self._said or any(words in text for words in self._SAID)
        self._tail = data[-32:]

    def ran_out(self, status: int) -> bool:
        """Whether the command, which ended with `status`, should have had more room."""
        self.look()
        return self._said or (status != 0 and self._was_full)


def step_failed(op: RunOp, status: int) -> StepFailed:
    """The error for a command that ended with `status`."""
    hints = {
        125: "the sandbox itself failed: see `coopery doctor`",
        126: "the file is there but can't be executed: look at its mode and its first line",
        127: "a command wasn't found: is it installed in this stage, and on the PATH?",
        137: "it was killed, perhaps for want of memory",
    }
    shown = " ".join(op.argv)
    text = shown if len(shown) <= 300 else shown[:300] + "…"
    return StepFailed(
        f"the command ended with status {status}: {text}", status=status, hint=hints.get(status, "its output says more")
    )
