"""The stages of a Dockerfile that a target needs, and the images they name: what is known before any look-up."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from coopery.dockerfile.instructions import Copy, Dockerfile, Instruction, Stage
from coopery.errors import DockerfileError, Location, UsageError
from coopery.oci.platform import Platform, host
from coopery.oci.reference import DOCKER_HUB, Reference
from coopery.plan.ops import SourceRef
from coopery.plan.scope import Scope, platform_args
from coopery.plan.words import Words

SCRATCH = "scratch"
_IMAGE = "docker-image://"


@dataclass(frozen=True, slots=True)
class OutlinedStage:
    """A stage whose FROM line is expanded: its base is a stage, an image or nothing."""

    stage: Stage
    base: str  # an image reference, `scratch`, or empty when it is a stage
    base_stage: int  # -1 if it is none
    platform: Platform


@dataclass(frozen=True, slots=True)
class Outline:
    """The needed stages by index, in order; `globals` are the values of the global ARGs."""

    dockerfile: Dockerfile
    stages: Mapping[int, OutlinedStage]
    target: int
    globals: Mapping[str, str]
    images: tuple[str, ...]  # every reference that FROM and COPY --from name, each once


def outline(
    dockerfile: Dockerfile,
    *,
    target: str,
    platform: Platform,
    build_args: Mapping[str, str],
    contexts: Mapping[str, str],
) -> Outline:
    """The stages that `target` needs (the last stage if empty).

    `contexts` are the named contexts, which hide stages and images of their names. DockerfileError if a line makes
    no sense, UsageError if the target isn't there.
    """
    globals_ = _global_args(dockerfile, platform, build_args, target)
    last = _find_target(dockerfile, target)
    needed: dict[int, OutlinedStage] = {}
    images: dict[str, None] = {}
    todo = [last]
    while todo:
        index = todo.pop()
        if index in needed:
            continue
        stage = dockerfile.stages[index]
        outlined = needed[index] = outline_stage(dockerfile, stage, globals_, platform, contexts)
        if outlined.base_stage >= 0:
            todo.append(outlined.base_stage)
        elif outlined.base != SCRATCH:
            images[outlined.base] = None
        for instruction in stage.instructions:
            source = copy_source(dockerfile, instruction, index, contexts)
            if source and source.kind == "stage":
                todo.append(source.stage)
            elif source and source.kind == "image":
                images[source.name] = None
    return Outline(dockerfile, dict(sorted(needed.items())), last, globals_, tuple(images))


def copy_source(
    dockerfile: Dockerfile, instruction: Instruction, index: int, contexts: Mapping[str, str]
) -> SourceRef | None:
    """What the `--from` of a COPY in stage `index` names, None for everything without one.

    That is a named context, an earlier stage by name or by number, or an image. DockerfileError if it can't be.
    """
    name = instruction.source_from if isinstance(instruction, Copy) else ""
    if not name:
        return None

    def wrong(message: str, hint: str) -> DockerfileError:
        return DockerfileError(
            f"COPY --from={name}: {message}", location=instruction.location, source=dockerfile.lines, hint=hint
        )

    found = find_stage(dockerfile, name, len(dockerfile.stages))
    if found is not None and (stage_name := dockerfile.stages[found].name):
        context = context_named(stage_name, contexts)
    else:
        context = context_named(name, contexts)
    if context:
        return _context_source(context, contexts)
    if "$" in name:
        raise wrong("variables aren't expanded here", f"write FROM {name} AS a-name, and COPY --from=a-name")
    earlier = find_stage(dockerfile, name, index)
    if earlier is not None:
        return SourceRef("stage", stage=earlier)
    if found is not None:
        raise wrong("that stage doesn't come before this one", "move it up: a stage sees those above it only")
    if name.isdecimal():
        raise wrong("there is no stage with that number", "stages count from 0; better give them names")
    if name.lower() == SCRATCH:
        raise wrong("there is nothing to copy", "name a stage or an image")
    return SourceRef("image", name)


def _context_source(context: str, contexts: Mapping[str, str]) -> SourceRef:
    where = contexts[context]
    return SourceRef("image", where.removeprefix(_IMAGE)) if where.startswith(_IMAGE) else SourceRef("context", context)


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
    close = difflib.get_close_matches(target.lower(), names, 1)
    hint = f"did you mean {close[0]}?" if close else f"stages with a name: {', '.join(names) or 'none'}"
    raise UsageError(f"{dockerfile.path} has no stage {target!r}", hint=hint)


def _global_args(
    dockerfile: Dockerfile, platform: Platform, build_args: Mapping[str, str], target: str
) -> dict[str, str]:
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
    if stage.platform:
        wanted = words.one(stage.platform)
        try:
            platform = Platform.parse(wanted)
        except UsageError as error:
            raise DockerfileError(
                error.message, location=stage.location, source=dockerfile.lines, hint=error.hint
            ) from None
        if not platform.satisfies(host()):
            raise DockerfileError(
                f"FROM --platform={wanted}: this builder runs on {host()} and builds for that only",
                location=stage.location,
                source=dockerfile.lines,
                hint="leave the platform out, or build on a machine of that platform",
            )
    if context := context_named(base, contexts):
        return OutlinedStage(stage, _context_image(dockerfile, base, contexts[context], stage.location), -1, platform)
    found = find_stage(dockerfile, base, stage.index)
    # A number names a stage in COPY --from only: `FROM 0` means an image.
    if found is not None and dockerfile.stages[found].name == base.lower():
        return OutlinedStage(stage, "", found, platform)
    return OutlinedStage(stage, base, -1, platform)


def _context_image(dockerfile: Dockerfile, base: str, where: str, location: Location) -> str:
    if where.startswith(_IMAGE):
        return where.removeprefix(_IMAGE)
    raise DockerfileError(
        f"FROM {base}: the build context of that name is {where}, which is not an image",
        location=location,
        source=dockerfile.lines,
        hint=f"give an image: --build-context {base}={_IMAGE}NAME",
    )
