"""The stages of a Dockerfile that a target needs, and the images they name: what is known before any look-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coopery.dockerfile.instructions import Copy, Dockerfile, Instruction, Run, Stage
from coopery.errors import DockerfileError, Location, UsageError, did_you_mean
from coopery.oci.platform import Platform
from coopery.oci.reference import DOCKER_HUB, Reference
from coopery.plan.ops import SourceRef
from coopery.plan.scope import Scope, platform_args
from coopery.plan.watch import Watch
from coopery.plan.words import Words

SCRATCH = "scratch"
_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"


@dataclass(frozen=True, slots=True)
class OutlinedStage:
    """A stage whose FROM line is expanded: its base is a stage, an image or nothing."""

    stage: Stage
    base: str  # an image reference, `scratch`, or empty when it is a stage
    base_stage: int  # -1 if it is none
    platform: Platform  # of the image or of the files to come; a stage made FROM another has that one's
    context: str = ""  # the named context whose files it begins with, on top of nothing


@dataclass(frozen=True, slots=True)
class Outline:
    """The needed stages by index, in order; `globals` are the values of the global ARGs."""

    dockerfile: Dockerfile
    stages: Mapping[int, OutlinedStage]
    target: int
    globals: Mapping[str, str]
    images: tuple[tuple[str, Platform], ...]  # every reference that FROM and COPY --from name, each once for a platform


def outline(
    dockerfile: Dockerfile,
    *,
    target: str,
    platform: Platform,
    build_args: Mapping[str, str],
    contexts: Mapping[str, str],
    every: bool = False,
    watch: Watch | None = None,
) -> Outline:
    """The stages that `target` needs (the last stage if empty), or with `every` all of them, for an image of
    `platform`.

    `contexts` are the named contexts, which hide stages and images of their names. DockerfileError if a line makes
    no sense, UsageError if the target isn't there; a `watch` keeps those of single stages.
    """
    watching = watch or Watch(dockerfile.path)
    globals_ = global_args(dockerfile, platform, build_args, target)
    last = _find_target(dockerfile, target)
    needed: dict[int, OutlinedStage] = {}
    images: dict[tuple[str, Platform], None] = {}
    todo = [stage.index for stage in dockerfile.stages] if every else [last]
    seen: set[int] = set()

    def look(index: int) -> None:
        stage = dockerfile.stages[index]
        outlined = needed[index] = outline_stage(dockerfile, stage, globals_, platform, contexts)
        if outlined.base_stage >= 0:
            todo.append(outlined.base_stage)
        elif outlined.base != SCRATCH:
            images[outlined.base, outlined.platform] = None
        for instruction in stage.instructions:
            watching.attempt(look_at, instruction, index)

    def look_at(instruction: Instruction, index: int) -> None:
        for source in named_sources(dockerfile, instruction, index, contexts):
            if source.kind == "stage":
                todo.append(source.stage)
            elif source.kind == "image":
                images[source.name, platform] = None

    while todo:
        index = todo.pop()
        if index not in seen:
            seen.add(index)
            watching.attempt(look, index)
    if watch is None:
        watching.check()
    return Outline(dockerfile, dict(sorted(needed.items())), last, globals_, tuple(images))


def named_sources(
    dockerfile: Dockerfile, instruction: Instruction, index: int, contexts: Mapping[str, str]
) -> list[SourceRef]:
    """What the `--from` of a COPY, and the `from` of each mount of a RUN, in stage `index` name. DockerfileError if
    that can't be."""
    if isinstance(instruction, Run) and instruction.mounts:
        from coopery.mounts import mount_from
        from coopery.mounts.spec import BadMount

        def name_of(text: str) -> str:
            try:
                return mount_from(text)
            except BadMount as error:
                message, where = f"RUN --mount={text}: {error}", instruction.location
                raise DockerfileError(message, location=where, source=dockerfile.lines, hint=error.hint) from None

        names = [name for text in instruction.mounts if (name := name_of(text))]
        return [mount_source(dockerfile, name, instruction.location, index, contexts) for name in names]
    source = copy_source(dockerfile, instruction, index, contexts)
    return [source] if source else []


def copy_source(
    dockerfile: Dockerfile, instruction: Instruction, index: int, contexts: Mapping[str, str]
) -> SourceRef | None:
    """What the `--from` of a COPY in stage `index` names, None for everything without one.

    That is a named context, an earlier stage by name or by number, or an image. DockerfileError if it can't be.
    """
    name = instruction.source_from if isinstance(instruction, Copy) else ""
    if not name:
        return None
    flag = f"COPY --from={name}"
    found = _named_source(dockerfile, name, flag, instruction.location, index, contexts)
    if found is None:
        hint = "name a stage or an image"
        raise DockerfileError(
            f"{flag}: there is nothing to copy", location=instruction.location, source=dockerfile.lines, hint=hint
        )
    return found


def mount_source(
    dockerfile: Dockerfile, name: str, location: Location, index: int, contexts: Mapping[str, str]
) -> SourceRef:
    """What the `from` of a mount in stage `index` names: as for COPY; the main context if it is empty, and an empty
    directory for `scratch`."""
    if not name:
        return SourceRef("context")
    found = _named_source(dockerfile, name, f"RUN --mount=from={name}", location, index, contexts)
    return found or SourceRef("inline")


def _named_source(
    dockerfile: Dockerfile, name: str, flag: str, location: Location, index: int, contexts: Mapping[str, str]
) -> SourceRef | None:
    """What `name` in `flag` means; None for `scratch`."""

    def wrong(message: str, hint: str) -> DockerfileError:
        return DockerfileError(f"{flag}: {message}", location=location, source=dockerfile.lines, hint=hint)

    found = find_stage(dockerfile, name, len(dockerfile.stages))
    if found is not None and (stage_name := dockerfile.stages[found].name):
        context = context_named(stage_name, contexts)
    else:
        context = context_named(name, contexts)
    if context:
        return _context_source(context, contexts)
    if "$" in name:
        raise wrong("variables aren't expanded here", f"write FROM {name} AS a-name, and name that stage here")
    earlier = find_stage(dockerfile, name, index)
    if earlier is not None:
        return SourceRef("stage", stage=earlier)
    if found is not None:
        raise wrong("that stage doesn't come before this one", "move it up: a stage sees those above it only")
    if name.isdecimal():
        raise wrong("there is no stage with that number", "stages count from 0; better give them names")
    return None if name.lower() == SCRATCH else SourceRef("image", name)


def _context_source(context: str, contexts: Mapping[str, str]) -> SourceRef:
    where = contexts[context]
    return SourceRef("image", where.removeprefix(_IMAGE)) if is_image(where) else SourceRef("context", context)


def is_image(where: str) -> bool:
    """Whether a named context is an image, in a registry or in a layout."""
    return where.startswith((_IMAGE, _LAYOUT))


def context_named(name: str, contexts: Mapping[str, str]) -> str:
    """The key of the named context that hides the stage or image `name`, empty if there is none.

    Names are compared as Docker shows references, without `:latest` (BuildKit, dockerui/config.go, NamedContext).
    """
    if not contexts:
        return ""
    if name in contexts:
        return name
    wanted = _familiar(name)
    return next((key for key in contexts if _familiar(key) == wanted), "")


def _familiar(name: str) -> str:
    try:
        reference = Reference.parse(name)
    except UsageError:
        return name.lower()
    text = str(reference).removesuffix(":latest")
    return text.removeprefix(f"{DOCKER_HUB}/").removeprefix("library/") if reference.registry == DOCKER_HUB else text


def find_stage(dockerfile: Dockerfile, name: str, before: int) -> int | None:
    """The index of the stage called `name`, or with that number, among those before stage `before`."""
    earlier = dockerfile.stages[:before]
    named = [stage.index for stage in earlier if stage.name and stage.name == name.lower()]
    if named:
        return named[-1]
    return int(name) if name.isascii() and name.isdecimal() and int(name) < len(earlier) else None


def _find_target(dockerfile: Dockerfile, target: str) -> int:
    if not target:
        return len(dockerfile.stages) - 1
    found = find_stage(dockerfile, target, len(dockerfile.stages))
    if found is not None:
        return found
    names = [stage.name for stage in dockerfile.stages if stage.name]
    hint = did_you_mean(target.lower(), names) or f"stages with a name: {', '.join(names) or 'none'}"
    raise UsageError(f"{dockerfile.path} has no stage {target!r}", hint=hint)


def global_args(
    dockerfile: Dockerfile, platform: Platform, build_args: Mapping[str, str], target: str
) -> dict[str, str]:
    """The values of the predefined and the global ARGs. DockerfileError if a default can't be expanded."""
    predefined = platform_args(platform, target or dockerfile.stages[-1].name)
    scope = Scope({}, build_args, predefined)
    for name in predefined:
        scope.declare(name, None)
    for line in dockerfile.global_args:
        words = Words(dockerfile, line.location, scope.get)
        for name, default in line.args:
            scope.declare(name, None if default is None or scope.is_given(name) else words.one(default))
    return dict(scope.set_args)


def outline_stage(
    dockerfile: Dockerfile,
    stage: Stage,
    globals_: Mapping[str, str],
    platform: Platform,
    contexts: Mapping[str, str],
) -> OutlinedStage:
    """A stage with its FROM line expanded by the global ARGs. DockerfileError if that gives nothing that can be."""
    words = Words(dockerfile, stage.location, globals_.get)
    base = words.one(stage.base)
    if not base:
        raise DockerfileError(
            f"the base image of FROM {stage.base} is empty",
            location=stage.location,
            source=dockerfile.lines,
            hint="give the ARG a default, or pass it with --build-arg",
        )
    if stage.platform and base != SCRATCH:  # which is for the target's platform, whatever its line says
        platform = _stage_platform(dockerfile, stage, words.one(stage.platform))
    if context := context_named(base, contexts):
        where = contexts[context]
        if is_image(where):
            return OutlinedStage(stage, where.removeprefix(_IMAGE), -1, platform)
        return OutlinedStage(stage, SCRATCH, -1, platform, context)
    found = find_stage(dockerfile, base, stage.index)
    # A number names a stage in COPY --from only: `FROM 0` means an image.
    if found is not None and dockerfile.stages[found].name == base.lower():
        return OutlinedStage(stage, "", found, platform)
    return OutlinedStage(stage, base, -1, platform)


def _stage_platform(dockerfile: Dockerfile, stage: Stage, wanted: str) -> Platform:
    try:
        return check_buildable(Platform.parse(wanted))
    except UsageError as error:
        message, hint = f"FROM --platform={wanted}: {error.message}", error.hint
        raise DockerfileError(message, location=stage.location, source=dockerfile.lines, hint=hint) from None


def check_buildable(platform: Platform) -> Platform:
    """`platform`, if images for it can be made here. UsageError if not: layers for Windows are of another make."""
    if platform.os == "windows":
        raise UsageError("images for Windows can't be built", hint="build them on Windows")
    return platform
