"""The stages of a Dockerfile that a target needs, and the images they name: what is known before any look-up."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from coopery.dockerfile.instructions import Add, Copy, Dockerfile, Instruction, Stage
from coopery.errors import DockerfileError, UsageError
from coopery.oci.platform import Platform, host
from coopery.plan.scope import Scope, platform_args
from coopery.plan.words import Words

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class OutlinedStage:
    """A stage whose FROM line is expanded: its base is one of a stage, an image, a context or nothing."""

    stage: Stage
    base: str  # an image reference, `scratch`, or empty when `base_stage` or `base_context` is set
    base_stage: int
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
        outlined = _outline_stage(dockerfile, stage, globals_, platform, contexts)
        needed[index] = outlined
        if outlined.base_stage >= 0:
            todo.append(outlined.base_stage)
        elif outlined.base != SCRATCH:
            images[contexts.get(outlined.base, "").removeprefix("docker-image://") or outlined.base] = None
        for source in map(copied_from, stage.instructions):
            if not source or source in contexts:
                continue
            found = find_stage(dockerfile, source, index)
            if found is not None:
                todo.append(found)
            elif source.lower() != SCRATCH:
                images[source] = None
    return Outline(dockerfile, dict(sorted(needed.items())), last, globals_, tuple(images))


def copied_from(instruction: Instruction) -> str:
    """The `--from` of a COPY, empty for everything else."""
    return instruction.source_from if isinstance(instruction, Copy) and not isinstance(instruction, Add) else ""


def find_stage(dockerfile: Dockerfile, name: str, before: int) -> int | None:
    """The index of the stage called `name`, or with that number, among those before stage `before`."""
    earlier = dockerfile.stages[:before]
    named = [stage.index for stage in earlier if stage.name and stage.name == name.lower()]
    if named:
        return named[-1]
    return int(name) if name.isdecimal() and int(name) < len(earlier) else None


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
    predefined = platform_args(platform, target)
    scope = Scope({}, build_args, predefined)
    for name in predefined:
        scope.declare(name, None)
    for line in dockerfile.global_args:
        words = Words(dockerfile, line.location, scope.get)
        for name, default in line.args:
            scope.declare(name, None if default is None else words.one(default))
    return dict(scope.set_args)


def _outline_stage(
    dockerfile: Dockerfile,
    stage: Stage,
    globals_: Mapping[str, str],
    platform: Platform,
    contexts: Mapping[str, str],
) -> OutlinedStage:
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
    found = None if base in contexts else find_stage(dockerfile, base, stage.index)
    # A number names a stage in COPY --from only: `FROM 0` means an image.
    if found is not None and dockerfile.stages[found].name == base.lower():
        return OutlinedStage(stage, "", found, platform)
    return OutlinedStage(stage, base, -1, platform)
