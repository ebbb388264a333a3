"""The engine of our own: from a BuildRequest to an image that is where it should be."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from coopery.cache.records import LocalRecords
from coopery.cache.store import Store
from coopery.engines.account import BuildReport, image_account, reused, told_once
from coopery.engines.built import BuiltImage
from coopery.engines.contexts import Contexts
from coopery.engines.images import Images
from coopery.engines.layouts import WithLayouts
from coopery.engines.outputs import (
    Delivered,
    Delivery,
    check_outputs,
    codec_of,
    contents_of,
    is_indexed,
    names_of,
)
from coopery.engines.planning import Planned, plan_build
from coopery.engines.pools import Pools, is_stop
from coopery.engines.preflight import Preflight
from coopery.engines.remote_files import RemoteFiles
from coopery.engines.runnable import check_runnable
from coopery.engines.uploader import Uploader
from coopery.errors import CooperyError, Interrupted, StepFailed
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.plan.plan import Plan
from coopery.ports import Progress, Registry, Sandbox, Snapshotter, Source
from coopery.request import BuildRequest
from coopery.solver.assemble import assemble
from coopery.solver.hits import StageWork
from coopery.solver.layers import Layers, Once
from coopery.solver.secrets import Secrets
from coopery.solver.settings import RunSettings
from coopery.solver.solver import Means, Solver
from coopery.solver.times import timestamp
from coopery.tree.tree import Tree

if TYPE_CHECKING:
    from coopery.engines.remote import OpenCache, Remote
    from coopery.solver.runtime import StepEnvironment


class Workshop(Protocol):
    """How commands run here; asked for only when one has to."""

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox that was chosen."""

    @property
    def snapshotters(self) -> Sequence[Snapshotter]:
        """The snapshotters, in order of preference."""

    @property
    def private_mounts(self) -> bool:
        """Whether this process has a mount namespace of its own."""

    def scratch_is_full(self) -> bool:
        """Whether the first snapshotter's scratch space has run out."""

    def obstacles(self, platforms: Sequence[Platform]) -> Mapping[Platform, str]:
        """Why commands for each of `platforms` can't be run here, empty where they can."""


class NativeEngine:
    """Builds in userspace on this machine."""

    def __init__(
        self,
        store: Store,
        source: Source,
        registry: Registry,
        workshop: Workshop,
        environ: Mapping[str, str],
        mask: Callable[[bytes], None],
        open_cache: OpenCache,
    ) -> None:
        """Images are pulled from `source` and pushed to `registry`. `environ` is where secrets come from that
        are given by variable; `mask` is told each value that is read. `open_cache` opens remote caches.
        """
        self.store = store
        self.source = source
        self.registry = registry
        self.workshop = workshop
        self.environ = environ
        self.mask = mask
        self.open_cache = open_cache

    def build(self, request: BuildRequest, progress: Progress) -> BuildReport:
        """Do what `request` asks. CooperyError of the class that fits when it can't be done."""
        check_outputs(request)
        with contextlib.ExitStack() as stack:
            pools = Pools(stack, request.parallel)
            secrets = Secrets(request.secrets, self.environ, self.mask)
            contexts = Contexts(request, self.store, RemoteFiles(self.store, secrets, request.ssh, progress))
            stack.callback(contexts.close)
            return _Build(self, request, progress, contexts, secrets, pools, stack).run()


class _Build:
    """One build on its way."""

    def __init__(
        self,
        engine: NativeEngine,
        request: BuildRequest,
        progress: Progress,
        contexts: Contexts,
        secrets: Secrets,
        pools: Pools,
        stack: contextlib.ExitStack,
    ) -> None:
        """`stack` takes what has to be undone after the build."""
        self._stack = stack
        self._engine = engine
        self._request = request
        self._progress = progress
        self._contexts = contexts
        self._secrets = secrets
        self._pools = pools
        self._records = LocalRecords(engine.store)
        codec = codec_of(request)
        source = WithLayouts(engine.source, request.build_contexts)
        self._layers = Layers(engine.store, self._records, source, codec, pools.compress, progress.warn)
        self._images = Images(engine.store, source, progress, pull=request.pull, titled=is_indexed(request))
        self._environment: Once[str, StepEnvironment] = Once()
        self._epoch_ns: int | None = None  # SOURCE_DATE_EPOCH
        self._remote: Remote | None = None  # caches
        self._began = time.monotonic()

    def run(self) -> BuildReport:
        """From the Dockerfile to the outputs."""
        request = self._request
        planned = plan_build(request, self._contexts, self._images, self._pools, self._progress)
        self._epoch_ns = planned.epoch_ns
        for text in planned.warnings:
            self._progress.warn(text)
        pushed = [name for output in request.outputs if output.push for name in names_of(output.names or request.tags)]
        uploader = Uploader(self._layers, self._engine.registry, pushed, self._pools.send)
        self._stack.push(lambda kind, *_: None if is_stop(kind) else uploader.finish())
        checked = pushed if request.check_push else ()
        preflight = Preflight(self._engine.registry, checked, self._pools.resolve, self._progress)
        if request.cache_from or request.cache_to:
            self._remote = self._open_caches(planned.plans, uploader)
        while True:
            try:
                built = self._solve(planned, uploader, preflight)
                preflight.finish()
                uploader.finish()
                delivered = self._deliver(built)
                break
            except (Interrupted, StepFailed):
                raise
            except CooperyError:
                # Where a remote cache promised too much its step is run after all; all else is there by now.
                if not self._layers.recover():
                    raise
        if self._remote:
            self._remote.finish()
        return self._report(built, delivered)

    def _deliver(self, built: Sequence[BuiltImage]) -> list[Delivered]:
        request, layers = self._request, self._layers
        if any(not output.push and output.type not in ("image", "registry") for output in request.outputs):
            # What is written in one go must not break off for want of a layer.
            above = dict.fromkeys(layer.diff_id for each in built for layer in each.above)
            futures = [self._pools.fetch.submit(layers.stored, diff_id) for diff_id in above]
            for future in futures:
                future.result()
        return Delivery(request, built, layers, self._engine.registry, self._tree, self._progress).deliver()

    def _open_caches(self, plans: Sequence[Plan], uploader: Uploader) -> Remote:
        from coopery.engines.remote import Remote

        remote = Remote(
            self._request,
            self._engine.open_cache,
            plans,
            self._layers,
            self._records,
            uploader,
            self._pools,
            self._progress,
        )
        self._stack.push(lambda kind, *_: None if is_stop(kind) else remote.settle())
        return remote

    # --------------------------------------------------------------------------------------------------- solve

    def _solve(self, planned: Planned, uploader: Uploader, preflight: Preflight) -> list[BuiltImage]:
        request, workshop, plans = self._request, self._engine.workshop, planned.plans
        lineage = {stage.index for plan in plans for stage in plan.lineage}
        bases = [plan.lineage[0].base_image for plan in plans]
        means = Means(
            store=self._engine.store,
            records=self._records,
            layers=self._layers,
            sandbox=lambda: workshop.sandbox,
            snapshotters=lambda: workshop.snapshotters,
            environment=self._step_environment,
            scratch_is_full=workshop.scratch_is_full,
            sources=self._contexts.source,
            contexts=self._contexts.files,
            fetch_pool=self._pools.fetch,
            archive_pool=self._pools.archive,
            now_ns=self._now_ns,
        )

        def on_start() -> None:
            preflight.start()
            for base in bases:
                if base:
                    uploader.base(base.image.layers, base.fetched.reference)

        def on_layer(stage: int, diff_id: Digest) -> None:
            # Layers of other stages are in no image: they need no blob.
            if stage in lineage:
                uploader.layer(diff_id)

        remote = self._remote

        def on_work(work: Mapping[int, StageWork]) -> None:
            check_runnable(plans[0], work, workshop.obstacles, planned.source)
            if remote:
                remote.found(work)

        solver = Solver(
            plans,
            means,
            self._progress,
            source=planned.source,
            settings=RunSettings(request.add_hosts, request.shm_size, request.ulimits),
            use_cache=not request.no_cache,
            parallel=max(4, 2 * (os.cpu_count() or 1)),
            on_start=on_start,
            may_run=preflight.passed,
            on_layer=on_layer,
            lookup=remote.lookup if remote else self._records.lookup,
            on_work=on_work,
            on_record=remote.step if remote else lambda stage, record: None,
        )
        try:
            outcomes = solver.solve()
        except Interrupted:
            if preflight.failure:  # which is why
                raise preflight.failure from None
            raise
        now = timestamp(self._now_ns())
        epoch = timestamp(self._epoch_ns) if self._epoch_ns is not None else ""
        built = []
        for plan, base, found in zip(plans, bases, outcomes, strict=True):
            image = assemble(plan, found, self._layers.encode, now=now, epoch=epoch)
            built.append(BuiltImage(plan.platform, remote.inlined(plan, image, found) if remote else image, base))
        return built

    def _now_ns(self) -> int:
        return time.time_ns() if self._epoch_ns is None else self._epoch_ns

    def _step_environment(self) -> StepEnvironment:
        from coopery.solver.mounted import Mounted
        from coopery.solver.runtime import StepEnvironment, secrets_directory

        def make() -> StepEnvironment:
            engine, request = self._engine, self._request
            directory = secrets_directory(engine.store.tmp, private_mounts=engine.workshop.private_mounts)
            memory, mounted = self._stack.enter_context(directory), Mounted(self._layers)
            return StepEnvironment(engine.store, mounted, self._secrets, request.ssh, memory)

        return self._environment.get("", make)

    # -------------------------------------------------------------------------------------------------- result

    def _tree(self, built: BuiltImage) -> Tree:
        base = built.base
        below = base.image.layers if base else ()
        stored = [self._layers.fetch(layer, base.fetched.reference) for layer in below if base]
        stored += [self._layers.stored(layer.diff_id) for layer in built.above]
        return self._layers.tree(stored)

    def _report(self, built: Sequence[BuiltImage], delivered: Sequence[Delivered]) -> BuildReport:
        """The account of the build."""
        request, traffic = self._request, self._engine.registry.traffic
        contents = contents_of(request, built, self._layers.open_blob)
        manifest = next((item.descriptor for item in delivered if item.descriptor), contents.top.descriptor)
        names = names_of([name for output in request.outputs for name in output.names] or request.tags)
        images = tuple(image_account(each, request) for each in built)
        blobs = [blob.descriptor for blob in contents.blobs]
        found, mounted = reused(blobs, delivered, traffic)
        report = BuildReport(
            images=images,
            indexed=is_indexed(request),
            manifest=manifest,
            annotations=contents.annotations,
            names=names,
            delivered=tuple(delivered),
            size=sum(blob.size for blob in blobs),
            steps=told_once(self._progress.steps),
            warnings=tuple(self._progress.warnings),
            seconds=time.monotonic() - self._began,
            pulled=traffic.pulled,
            pushed=traffic.pushed,
            found=found,
            mounted=mounted,
            caches=tuple(self._remote.use()) if self._remote else (),
        )
        if request.iid_file or request.metadata_file:
            from coopery.export.metadata import metadata, write_image_id, write_metadata

            if request.iid_file:
                write_image_id(request.iid_file, report.image_id)
            if request.metadata_file:
                config = None if report.indexed else report.image_id
                account = {"coopery.build": report.to_json()}
                write_metadata(request.metadata_file, metadata(config, manifest, names) | account)
        return report
