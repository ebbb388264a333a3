"""The engine of our own: from a BuildRequest to an image that is where it should be."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from coopery.archive.compress import Codec
from coopery.cache.records import LocalRecords
from coopery.cache.store import Store
from coopery.dockerfile import parse
from coopery.engines.contexts import Contexts
from coopery.engines.images import Images
from coopery.engines.lookups import Lookups
from coopery.engines.outputs import Delivered, Delivery, check_outputs, names_of
from coopery.engines.pools import Pools, is_stop
from coopery.engines.preflight import Preflight
from coopery.engines.uploader import Uploader
from coopery.errors import CooperyError, Interrupted, UsageError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.platform import host
from coopery.oci.reference import Reference
from coopery.plan.ops import Surroundings
from coopery.plan.outline import Outline, outline
from coopery.plan.plan import BaseImage, Plan
from coopery.plan.planner import make_plan
from coopery.ports import Progress, Registry, Sandbox, Snapshotter, Source
from coopery.request import BuildRequest
from coopery.solver.assemble import assemble
from coopery.solver.layers import Layers, Once
from coopery.solver.settings import RunSettings
from coopery.solver.solver import Means, Solver
from coopery.solver.times import timestamp
from coopery.tree.tree import Tree

if TYPE_CHECKING:
    from coopery.solver.runtime import StepEnvironment


#: A build arg, or a global ARG, that takes the place of the clock (reproducible-builds.org/specs/source-date-epoch).
_EPOCH = "SOURCE_DATE_EPOCH"
_LONGEST_EPOCH = 11  # digits: until the year 5138


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


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did, as one value."""

    image: Image
    config_digest: Digest
    manifest: Descriptor
    names: tuple[Reference, ...]
    delivered: tuple[Delivered, ...]


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
    ) -> None:
        """Images are pulled from `source` and pushed to `registry`. `environ` is where secrets come from that
        are given by variable; `mask` is told each value that is read.
        """
        self.store = store
        self.source = source
        self.registry = registry
        self.workshop = workshop
        self.environ = environ
        self.mask = mask

    def build(self, request: BuildRequest, progress: Progress) -> BuildReport:
        """Do what `request` asks. CooperyError of the class that fits when it can't be done."""
        if not request.platform.satisfies(host()):
            raise UsageError(
                f"--platform {request.platform}: this machine runs {host()} and builds for that only",
                hint="build on a machine of that platform",
            )
        check_outputs(request)
        with contextlib.ExitStack() as stack:
            pools = Pools(stack, request.parallel)
            contexts = Contexts(request, self.store)
            stack.callback(contexts.close)
            return _Build(self, request, progress, contexts, pools, stack).run()


class _Build:
    """One build on its way."""

    def __init__(
        self,
        engine: NativeEngine,
        request: BuildRequest,
        progress: Progress,
        contexts: Contexts,
        pools: Pools,
        stack: contextlib.ExitStack,
    ) -> None:
        """`stack` takes what has to be undone after the build."""
        self._stack = stack
        self._engine = engine
        self._request = request
        self._progress = progress
        self._contexts = contexts
        self._pools = pools
        self._records = LocalRecords(engine.store)
        codec = _codec(request)
        self._layers = Layers(engine.store, self._records, engine.source, codec, pools.compress)
        self._images = Images(engine.store, engine.source, request.platform, progress, pull=request.pull)
        self._environment: Once[str, StepEnvironment] = Once()
        self._epoch_ns: int | None = None  # SOURCE_DATE_EPOCH

    def run(self) -> BuildReport:
        """From the Dockerfile to the outputs."""
        request = self._request
        lined, plan = self._plan()
        for text in plan.warnings:
            self._progress.warn(text)
        pushed = [name for output in request.outputs if output.push for name in names_of(output.names or request.tags)]
        uploader = Uploader(self._layers, self._engine.registry, pushed, self._pools.send)
        self._stack.push(lambda kind, *_: None if is_stop(kind) else uploader.finish())
        checked = pushed if request.check_push else ()
        preflight = Preflight(self._engine.registry, checked, self._pools.resolve, self._progress)
        base = plan.lineage[0].base_image
        image = self._solve(lined, plan, uploader, preflight, base)
        preflight.finish()
        uploader.finish()
        delivery = Delivery(
            request, image, base, self._layers, self._engine.registry, lambda: self._tree(image, base), self._progress
        )
        return self._report(image, delivery.deliver(request.outputs))

    # ---------------------------------------------------------------------------------------------------- plan

    def _plan(self) -> tuple[Outline, Plan]:
        request = self._request
        step = self._progress.step("[internal] load build definition")
        step.start()
        try:
            text, name = self._contexts.dockerfile()
            dockerfile = parse(text, name)
            lined = outline(
                dockerfile,
                target=request.target,
                platform=request.platform,
                build_args=request.build_args,
                contexts=request.build_contexts,
            )
        except CooperyError as error:
            step.failed(error.message)
            raise
        step.done()
        self._epoch_ns = _epoch_ns(request.build_args.get(_EPOCH) or lined.globals.get(_EPOCH, ""))
        # All references are known now: resolve them at once, while the context is being read.
        for reference in lined.images:
            self._pools.resolve.submit(self._images.get, reference)
        plan = make_plan(
            lined,
            Lookups(self._images, self._contexts, dockerfile.lines),
            platform=request.platform,
            build_args=request.build_args,
            labels=request.labels,
            contexts=request.build_contexts,
            around=Surroundings(
                request.network,
                tuple(name for name, _ in request.add_hosts),
                tuple(f"{limit.name}={limit.soft}:{limit.hard}" for limit in request.ulimits),
                request.shm_size,
                "" if self._epoch_ns is None else str(self._epoch_ns),
            ),
        )
        return lined, plan

    # --------------------------------------------------------------------------------------------------- solve

    def _solve(
        self, lined: Outline, plan: Plan, uploader: Uploader, preflight: Preflight, base: BaseImage | None
    ) -> Image:
        request, workshop = self._request, self._engine.workshop
        lineage = {stage.index for stage in plan.lineage}
        means = Means(
            store=self._engine.store,
            records=self._records,
            layers=self._layers,
            sandbox=lambda: workshop.sandbox,
            snapshotters=lambda: workshop.snapshotters,
            environment=self._step_environment,
            scratch_is_full=workshop.scratch_is_full,
            sources=self._contexts.source,
            fetch_pool=self._pools.fetch,
            archive_pool=self._pools.archive,
            now_ns=self._now_ns,
        )

        def on_start() -> None:
            preflight.start()
            if base:
                uploader.base(base.image.layers, base.fetched.reference)

        def on_layer(stage: int, diff_id: Digest) -> None:
            # Layers of other stages are in no image: they need no blob.
            if stage in lineage:
                uploader.layer(diff_id)

        solver = Solver(
            plan,
            means,
            self._progress,
            source=lined.dockerfile.lines,
            settings=RunSettings(request.add_hosts, request.shm_size, request.ulimits),
            use_cache=not request.no_cache,
            parallel=max(4, 2 * (os.cpu_count() or 1)),
            on_start=on_start,
            may_run=preflight.passed,
            on_layer=on_layer,
        )
        try:
            outcomes = solver.solve()
        except Interrupted:
            if preflight.failure:  # which is why
                raise preflight.failure from None
            raise
        now = timestamp(self._now_ns())
        epoch = timestamp(self._epoch_ns) if self._epoch_ns is not None else ""
        return assemble(plan, outcomes, self._layers.encode, now=now, epoch=epoch)

    def _now_ns(self) -> int:
        return time.time_ns() if self._epoch_ns is None else self._epoch_ns

    def _step_environment(self) -> StepEnvironment:
        from coopery.solver.runtime import StepEnvironment, secrets_directory

        def make() -> StepEnvironment:
            engine = self._engine
            directory = secrets_directory(engine.store.tmp, private_mounts=engine.workshop.private_mounts)
            memory = self._stack.enter_context(directory)
            return StepEnvironment(engine.store, self._request.secrets, engine.environ, memory, engine.mask)

        return self._environment.get("", make)

    # -------------------------------------------------------------------------------------------------- result

    def _tree(self, image: Image, base: BaseImage | None) -> Tree:
        below = base.image.layers if base else ()
        stored = [self._layers.fetch(layer, base.fetched.reference) for layer in below if base]
        stored += [self._layers.stored(layer.diff_id) for layer in image.layers[len(below) :]]
        return self._layers.tree(stored)

    def _report(self, image: Image, delivered: Sequence[Delivered]) -> BuildReport:
        request = self._request
        manifest, _ = image.manifest(annotations=request.annotations)
        data = manifest.serialize()
        descriptor = next(
            (item.descriptor for item in delivered if item.descriptor),
            Descriptor(manifest.media_type, Digest.of(data), len(data)),
        )
        names = names_of([name for output in request.outputs for name in output.names] or request.tags)
        image_id = manifest.config.digest
        if request.iid_file or request.metadata_file:
            from coopery.export.metadata import metadata, write_image_id, write_metadata

            if request.iid_file:
                write_image_id(request.iid_file, image_id)
            if request.metadata_file:
                write_metadata(request.metadata_file, metadata(image_id, descriptor, names))
        return BuildReport(image, image_id, descriptor, names, tuple(delivered))


def _epoch_ns(text: str) -> int | None:
    if text and not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_EPOCH):
        hint = "write the number, such as that of `git log -1 --format=%ct`"
        raise UsageError(f"{_EPOCH}={text} is not a number of seconds since 1970", hint=hint)
    return int(text) * 1_000_000_000 if text else None


def _codec(request: BuildRequest) -> Codec:
    """How layers are compressed: as the outputs say, else as the request does. UsageError if outputs disagree."""
    wanted = {
        Codec(output.compression or request.compression, output.compression_level)
        for output in request.outputs
        if output.compression or output.compression_level is not None
    }
    if len(wanted) > 1:
        raise UsageError("the outputs ask for different compressions", hint="one build compresses layers in one way")
    return wanted.pop() if wanted else Codec(request.compression, request.compression_level)
