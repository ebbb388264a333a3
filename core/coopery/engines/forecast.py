"""What a build would do, found out without doing any of it: nothing is run, downloaded, kept or pushed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from coopery.cache.records import LocalRecords
from coopery.cache.store import Store
from coopery.dockerfile import parse
from coopery.dockerfile.git_url import without_credentials
from coopery.dockerfile.instructions import Dockerfile, Stage
from coopery.engines.context_places import places_of
from coopery.engines.contexts import Contexts
from coopery.engines.definition import Definition
from coopery.engines.epochs import settle_epoch
from coopery.engines.images import Images
from coopery.engines.layouts import WithLayouts, parse_name
from coopery.engines.lookups import Lookups
from coopery.engines.outputs import check_outputs, is_indexed
from coopery.engines.parameters import Declarations, Parameters, parameters_of
from coopery.engines.planning import outlines, surroundings
from coopery.engines.remote_files import RemoteFiles
from coopery.errors import ContextError, CooperyError, Location, NetworkError, RegistryError, together
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.plan.ops import CopyOp, Surroundings, Vertex, sources_of
from coopery.plan.outline import Outline, is_image
from coopery.plan.plan import BaseImage, Plan, PlannedStage
from coopery.plan.planner import make_plan
from coopery.plan.watch import OF_A_LINE
from coopery.ports import Advice, Fetched, Progress, Source
from coopery.registry.fetch import fetch_image
from coopery.request import BuildRequest
from coopery.solver.hits import StageWork, find_work
from coopery.solver.secrets import Secrets

#: How many images are asked for at once.
_REQUESTS = 8

#: What would become of a step. It is spared if nothing that would be done needs it, and unknown if its key is.
Fate = Literal["cached", "run", "spared", "unknown"]


@dataclass(frozen=True, slots=True)
class ForeseenStep:
    """A step that makes a layer."""

    title: str
    location: Location
    key: Digest | None  # None: it depends on something that isn't known
    fate: Fate
    note: str = ""  # what isn't known


@dataclass(frozen=True, slots=True)
class ForeseenStage:
    """A stage that the target needs."""

    index: int
    name: str
    platform: Platform
    base: str  # the image's pinned reference, the stage's name or number, or `scratch`
    location: Location
    target: bool
    steps: tuple[ForeseenStep, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ForeseenImage:
    """An image that a FROM, a COPY or a mount names. Sizes are bytes as transferred, None where they aren't known."""

    name: str
    platform: Platform
    digest: Digest | None  # of the index or manifest that the name stands for
    size: int | None
    to_pull: int | None  # of its layers that aren't here, if steps would be run that need them
    note: str = ""


@dataclass(frozen=True, slots=True)
class ForeseenPlatform:
    """What would be done for one of the platforms."""

    platform: Platform
    stages: tuple[ForeseenStage, ...]
    images: tuple[ForeseenImage, ...]
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Forecast:
    """A build, before it is one."""

    dockerfile: Dockerfile
    contexts: Mapping[str, str]  # the main one has the empty name
    platforms: tuple[ForeseenPlatform, ...]
    warnings: tuple[str, ...]
    findings: tuple[Advice, ...]  # of checks
    error: CooperyError | None = None  # what would end the build, as far as that is known; with `errors` if several


def forecast(request: BuildRequest, store: Store, source: Source, progress: Progress, secrets: Secrets) -> Forecast:
    """What a build of `request` would do, as far as this machine knows.

    Images that were used before are taken as they were, unless `request` says to pull. What can't be resolved, or would
    have to be downloaded, is noted, and what depends on it is unknown. Raises the errors of the Dockerfile; files that
    aren't in a context are told in the result.
    """
    check_outputs(request)
    # The directory of a cache is part of no context; a build would make those that aren't there.
    there = tuple(spec for spec in request.cache_to if not spec.path or os.path.isdir(spec.path))
    request = replace(request, cache_to=there)
    contexts = Contexts(request, store, RemoteFiles(store, secrets, request.ssh, progress))
    definitions, lined = outlines(request, contexts, progress)
    images = _KnownImages(store, WithLayouts(source, request.build_contexts), progress, pull=request.pull)
    with ThreadPoolExecutor(_REQUESTS) as pool:
        for reference, platform in dict.fromkeys(image for each in lined for image in each.images):
            pool.submit(images.get, reference, platform)
    epoch_ns, request, lined = settle_epoch(request, lined, contexts)
    around = surroundings(request, epoch_ns)
    records = LocalRecords(store)
    foreseen: list[ForeseenPlatform] = []
    errors: dict[CooperyError, None] = {}
    warnings: dict[str, None] = {}
    certain = True
    for definition, each, platform in zip(definitions, lined, request.platforms, strict=True):
        asker = _Asker(images, contexts, definition, request)
        declared = definition.watch.lint = Declarations(definition.linter)
        plan = _plan(request, each, asker, definition, platform, around)
        work = find_work([plan], lambda key: None if request.no_cache else records.lookup(key))
        foreseen.append(
            ForeseenPlatform(
                platform,
                tuple(_stages(plan, work, asker)),
                tuple(_images(plan, work, asker, store)),
                parameters_of(each, plan, declared),
            )
        )
        errors |= dict.fromkeys(asker.errors)
        warnings |= dict.fromkeys(plan.warnings)
        certain = certain and not asker.lost
    first = definitions[0]
    if certain:  # without their images checks may be wrong
        try:
            first.check()
        except OF_A_LINE as error:
            errors[error] = None
    return Forecast(
        first.dockerfile,
        {name: str(place) for name, place in places_of(request).items()}
        | {name: without_credentials(where) for name, where in request.build_contexts.items() if is_image(where)},
        tuple(foreseen),
        tuple(warnings),
        first.findings if certain else (),
        together(list(errors), first.dockerfile.path) if errors else None,
    )


def parameters(
    request: BuildRequest, store: Store, source: Source, progress: Progress, secrets: Secrets
) -> tuple[Stage, Parameters]:
    """The target of `request`, and what a build of it takes for the first of its platforms. Errors are raised, but for
    images and files that aren't there."""
    request = replace(request, platforms=request.platforms[:1])
    contexts = Contexts(request, store, RemoteFiles(store, secrets, request.ssh, progress))
    (definition,), (lined,) = outlines(request, contexts, progress)
    images = _KnownImages(store, WithLayouts(source, request.build_contexts), progress, pull=request.pull)
    declared = definition.watch.lint = Declarations(None)
    asker = _Asker(images, contexts, definition, request, read=False)
    plan = _plan(request, lined, asker, definition, request.platforms[0], Surroundings(allowed=("security.insecure",)))
    return definition.dockerfile.stages[lined.target], parameters_of(lined, plan, declared)


def stages(
    request: BuildRequest, store: Store, source: Source, progress: Progress, secrets: Secrets
) -> Sequence[Stage]:
    """The stages of the Dockerfile of `request`, which may all be targets. DockerfileError if it can't be read."""
    text, name = Contexts(request, store, RemoteFiles(store, secrets, request.ssh, progress)).dockerfile()
    return parse(text, name).stages


def _plan(
    request: BuildRequest,
    lined: Outline,
    asker: _Asker,
    definition: Definition,
    platform: Platform,
    around: Surroundings,
) -> Plan:
    try:
        return make_plan(
            lined,
            asker,
            platform=platform,
            build_args=request.build_args,
            labels=request.labels,
            contexts=request.build_contexts,
            around=around,
            titled=is_indexed(request),
            watch=definition.watch,
        )
    except OF_A_LINE as error:
        raise together([*(error.errors or (error,)), *asker.errors], lined.dockerfile.path) from None


class _KnownImages(Images):
    """Registries are asked for what no build has used yet, and nothing is kept."""

    def _fetch(self, reference: Reference, platform: Platform) -> Fetched:
        known = None if self._pull else self._known(reference, platform)
        return known or fetch_image(self._registry, reference, platform)


class _Asker(Lookups):
    """Answers the planner in any case. What isn't known gets an answer that stands for it, and a note."""

    def __init__(
        self, images: Images, contexts: Contexts, definition: Definition, request: BuildRequest, *, read: bool = True
    ) -> None:
        """Without `read` no context is looked at, and the keys of its files mean nothing."""
        super().__init__(images, contexts, definition.dockerfile, definition.linter)
        self._wanted = read
        self._places = places_of(request)
        self.lost: dict[str, str] = {}  # images that can't be resolved, and why
        self.notes: dict[Location, str] = {}  # why the keys of these instructions aren't known
        self.errors: list[CooperyError] = []

    def image(self, reference: str, platform: Platform, location: Location) -> BaseImage:
        """The image, or an empty one."""
        try:
            return super().image(reference, platform, location)
        except (NetworkError, RegistryError) as error:
            self.lost[reference] = error.message.removeprefix(f"{location}: ")
            self.notes[location] = f"{reference} can't be resolved"
        image = Image(ImageConfig(platform), ())
        manifest, config = image.manifest()
        data = manifest.serialize()
        top = Descriptor(OCI_MANIFEST, Digest.of(data), len(data))
        return BaseImage(reference, image, Fetched(parse_name(reference), top, top, data, config))

    def context_files(self, op: CopyOp, location: Location) -> Digest:
        """The key of the files, if nothing has to be downloaded for it."""
        place = self._places.get(op.source.name) if op.source.kind == "context" else None
        if op.source.git or (op.source.kind == "url" and not op.checksum):
            self.notes[location] = f"{without_credentials(op.source.name)} is not downloaded"
        elif place and op.source.name and place.kind != "directory":
            self.notes[location] = f"{place} is not downloaded"
        elif self._wanted:
            with self._noting(location):
                return super().context_files(op, location)
        return Digest.of(b"")

    def mounted_files(self, context: str, path: str, location: Location) -> Digest:
        """The same for a mount."""
        place = self._places[context]
        if context and place.kind != "directory":
            self.notes[location] = f"{place} is not downloaded"
        elif self._wanted:
            with self._noting(location):
                return super().mounted_files(context, path, location)
        return Digest.of(b"")

    @contextlib.contextmanager
    def _noting(self, location: Location) -> Iterator[None]:
        try:
            yield
        except ContextError as error:
            self.errors.append(error)
            self.notes[location] = error.message.removeprefix(f"{location}: ")


def _stages(plan: Plan, work: Mapping[int, StageWork], asker: _Asker) -> Sequence[ForeseenStage]:
    unknown: set[int] = set()  # stages whose ends have keys that mean nothing
    found = []
    for index, stage in plan.stages.items():  # each after those that it needs
        dark = stage.base_stage in unknown or (stage.base_image is not None and stage.base_image.name in asker.lost)
        steps = []
        for vertex in stage.vertices:
            note = _note(vertex, asker)
            sources = sources_of(vertex.op)
            dark = dark or bool(note) or any(source.stage in unknown for source in sources)
            fate: Fate = "unknown" if dark else _fate(vertex, work.get(index))
            steps.append(ForeseenStep(vertex.title, vertex.location, None if dark else vertex.key, fate, note))
        if dark:
            unknown.add(index)
        note = asker.lost.get(stage.base_image.name, "") if stage.base_image else ""
        base = _base(plan, stage, note)
        target = index == plan.target
        found.append(ForeseenStage(index, stage.name, stage.platform, base, stage.location, target, tuple(steps), note))
    return found


def _note(vertex: Vertex, asker: _Asker) -> str:
    lost = [source.name for source in sources_of(vertex.op) if source.kind == "image" and source.name in asker.lost]
    return f"{lost[0]} can't be resolved" if lost else asker.notes.get(vertex.location, "")


def _base(plan: Plan, stage: PlannedStage, note: str) -> str:
    if stage.base_image:
        return stage.base_image.name if note else str(stage.base_image.fetched.reference)
    return plan.stages[stage.base_stage].name or str(stage.base_stage) if stage.base == "stage" else "scratch"


def _fate(vertex: Vertex, work: StageWork | None) -> Fate:
    if work is None:
        return "spared"
    return "cached" if vertex in work.cached or vertex.link in work.links else "run"


def _images(plan: Plan, work: Mapping[int, StageWork], asker: _Asker, store: Store) -> Sequence[ForeseenImage]:
    """The images, with what would have to be downloaded of each for the steps that would be run."""
    used: dict[tuple[str, Platform], tuple[BaseImage, bool]] = {}

    def use(image: BaseImage, platform: Platform, *, read: bool) -> None:
        known = used.get((image.name, platform))
        used[image.name, platform] = image, read or (known is not None and known[1])

    for stage in plan.stages.values():
        if stage.base_image:
            use(stage.base_image, stage.platform, read=_is_read(plan, work, stage.index))
        left = work[stage.index].vertices if stage.index in work else ()
        for vertex in stage.vertices:
            for source in sources_of(vertex.op):
                if source.kind == "image":
                    use(plan.images[source.name], plan.platform, read=vertex in left)
    return [_foreseen(image, platform, read, asker, store) for (_, platform), (image, read) in used.items()]


def _is_read(plan: Plan, work: Mapping[int, StageWork], index: int) -> bool:
    """Whether steps would be run on top of the stage's base, or files copied out of it."""
    if any(not vertex.link for vertex in (work[index].vertices if index in work else ())):
        return True
    todo = [vertex for item in work.values() for vertex in item.vertices]
    if any(source.kind == "stage" and source.stage == index for vertex in todo for source in sources_of(vertex.op)):
        return True
    above = [stage.index for stage in plan.stages.values() if stage.base == "stage" and stage.base_stage == index]
    return any(_is_read(plan, work, other) for other in above)


def _foreseen(image: BaseImage, platform: Platform, read: bool, asker: _Asker, store: Store) -> ForeseenImage:
    if image.name in asker.lost:
        return ForeseenImage(image.name, platform, None, None, None, asker.lost[image.name])
    layers = {layer.diff_id: layer.descriptor.size for layer in image.image.layers}
    missing = sum(size for diff_id, size in layers.items() if not store.has_layer(diff_id)) if read else 0
    return ForeseenImage(image.name, platform, image.fetched.top.digest, sum(layers.values()), missing)
