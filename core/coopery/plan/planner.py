"""Instructions → a plan. Pure but for the look-ups that are passed in.

What each instruction does to the configuration follows BuildKit (frontend/dockerfile/dockerfile2llb/convert.go);
BuildKit's own labels and comments are not imitated.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, Protocol

from coopery.dockerfile.instructions import Arg, Env, Instruction, Stage
from coopery.errors import Location
from coopery.oci.config import ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.plan.dispatch import Dispatcher, StageState, changes_files
from coopery.plan.keys import root_key
from coopery.plan.ops import CopyOp, Surroundings
from coopery.plan.outline import SCRATCH, Outline, named_sources, outline_stage
from coopery.plan.plan import BaseImage, Plan, PlannedStage
from coopery.plan.scope import CONTROL_ARGS, DEFAULT_PATH, PROXY_ARGS, TARGET_ARGS, Scope
from coopery.plan.watch import LostError, Watch


class Lookups(Protocol):
    """What a plan needs to know of the world."""

    def image(self, reference: str, platform: Platform, location: Location) -> BaseImage:
        """The image that `reference` names, for `platform`."""

    def context_files(self, op: CopyOp, location: Location) -> Digest:
        """The key of the files that a COPY or ADD selects in a build context or at a URL."""

    def mounted_files(self, context: str, path: str, location: Location) -> Digest:
        """The key of the file or directory at `path` in a build context (the main one by the empty name)."""


def make_plan(
    outline: Outline,
    lookups: Lookups,
    *,
    platform: Platform,
    build_args: Mapping[str, str],
    labels: Mapping[str, str],
    contexts: Mapping[str, str],
    around: Surroundings,
    titled: bool = False,
    watch: Watch | None = None,
) -> Plan:
    """The plan for the stages of `outline`, which was made for `platform`; `titled` steps say what they are for.

    DockerfileError and ContextError where a line can't be carried out, and what look-ups raise: of several lines that
    don't depend on each other all at once, with what the `watch` has kept before.
    """
    watch = watch or Watch(outline.dockerfile.path)
    planner = _Planner(outline, lookups, platform, build_args, contexts, around, titled, watch)
    for index in outline.stages:
        watch.attempt(planner.need, index)
    watch.check()
    stages = dict(sorted(planner.stages.items()))
    target = stages[outline.target]
    if labels:
        merged = MappingProxyType({**target.config.labels, **labels})
        stages[outline.target] = replace(target, config=replace(target.config, labels=merged))
    return Plan(platform, stages, outline.target, planner.images, tuple(planner.warnings(build_args)))


class _Planner:
    def __init__(
        self,
        outline: Outline,
        lookups: Lookups,
        platform: Platform,
        build_args: Mapping[str, str],
        contexts: Mapping[str, str],
        around: Surroundings,
        titled: bool,
        watch: Watch,
    ) -> None:
        self.outline = outline
        self.lookups = lookups
        self.platform = platform
        self.build_args = build_args
        self.contexts = contexts
        self.around = around
        self.titled = titled
        self.watch = watch
        self.lost: set[int] = set()
        self.images: dict[str, BaseImage] = {}
        self.stages: dict[int, PlannedStage] = {}
        self.scopes: dict[int, Scope] = {}

    def warnings(self, build_args: Mapping[str, str]) -> list[str]:
        """Build args that nothing took up."""
        declared = {name for line in self.outline.dockerfile.global_args for name, _ in line.args}
        declared |= {
            name
            for stage in self.outline.dockerfile.stages
            for line in stage.instructions
            for name, _ in getattr(line, "args", ())
        }
        declared |= {name for scope in self.scopes.values() for name in scope.args}  # by ONBUILD triggers, too
        unused = sorted(set(build_args) - declared - PROXY_ARGS - CONTROL_ARGS)
        return [f"build-args {unused} were not consumed: no ARG declares them"] if unused else []

    def need(self, index: int) -> PlannedStage:
        """Plan a stage, if it isn't planned yet, and those it needs. LostError, once the reason is known."""
        if index in self.lost:
            raise LostError
        if index not in self.stages:
            self.lost.add(index)
            self.stages[index] = self._stage(index)
            self.lost.remove(index)
        return self.stages[index]

    def _stage(self, index: int) -> PlannedStage:
        dockerfile = self.outline.dockerfile
        stage = dockerfile.stages[index]
        # An ONBUILD trigger may copy from a stage that the outline knew nothing of.
        outlined = self.outline.stages.get(index) or outline_stage(
            dockerfile, stage, self.outline.globals, self.platform, self.contexts
        )
        base_image: BaseImage | None = None
        kind: Literal["image", "stage", "scratch"]
        inherited: Scope | None = None
        platform = outlined.platform
        if outlined.base_stage >= 0:
            parent = self.need(outlined.base_stage)
            kind, config, key, platform = "stage", parent.config, parent.key, parent.platform
            inherited = self.scopes[outlined.base_stage]
        elif outlined.base == SCRATCH:
            kind, config, key = "scratch", ImageConfig(platform, working_dir="/"), root_key(None, platform)
        else:
            base_image = self.lookups.image(outlined.base, platform, stage.location)
            kind, config, key = "image", base_image.image.config, root_key(base_image.content, platform)
        triggers, config = config.on_build, replace(config, on_build=(), history=(), diff_ids=(), created="")
        if config.working_dir:
            config = replace(config, working_dir=posixpath.normpath(f"/{config.working_dir}").replace("//", "/"))
        env = {name: value for name, _, value in (text.partition("=") for text in config.env)}
        env.setdefault("PATH", DEFAULT_PATH)
        scope = self.scopes[index] = Scope(env, self.build_args, self.outline.globals, inherited)
        state = StageState(config=config, scope=scope, key=key)
        dispatcher = Dispatcher(
            self.outline,
            self.lookups,
            self.images,
            self.contexts,
            self.around,
            self.stages,
            stage,
            self.platform,
        )
        implied = dispatcher.implied(outlined.context)
        instructions = (*implied, *dispatcher.triggers(triggers), *stage.instructions)
        ready = [self.watch.attempt(self._need_source, instruction, index) for instruction in instructions]
        # As in BuildKit, FROM is the first of the numbered steps if it means an image, and none of them if not.
        position = first = int(base_image is not None)
        total = first + sum(changes_files(instruction) for instruction in instructions)
        width = len(str(total))
        for instruction, there in zip(instructions, ready, strict=True):
            position += changes_files(instruction)
            if self.watch.lint and instruction not in implied:
                shell_set = bool(state.config.shell)
                self.watch.lint.step(index, outlined.base_stage, instruction, scope, shell_set=shell_set)
            title = f"[{self._label(stage, platform, scope)}{position:{width}}/{total}]"
            well = there and self.watch.attempt(dispatcher.dispatch, state, instruction, title)
            if not well and isinstance(instruction, Arg | Env):
                raise LostError  # what comes after it may depend on it
        shown = base_image.fetched.reference if base_image else outlined.context or outlined.base or stage.base
        return PlannedStage(
            index=index,
            name=stage.name,
            platform=platform,
            base=kind,
            base_image=base_image,
            base_stage=outlined.base_stage,
            root=key,
            steps=tuple(state.steps),
            config=replace(state.config, env=tuple(f"{name}={value}" for name, value in state.scope.env.items())),
            title=f"[{self._label(stage, platform)}{1:{width}}/{total}] FROM {shown}",
            location=stage.location,
        )

    def _need_source(self, instruction: Instruction, index: int) -> None:
        """Plan the stages that a COPY, or mounts of a RUN, take files from."""
        for source in named_sources(self.outline.dockerfile, instruction, index, self.contexts):
            if source.kind == "stage":
                self.need(source.stage)

    def _label(self, stage: Stage, platform: Platform, scope: Scope | None = None) -> str:
        """What the title of a step starts with. A step that may know what it is built for says so, as in BuildKit
        (dockerfile2llb, prefixCommand): all others are the same for all targets."""
        label = stage_label(self.outline, stage)
        if not self.titled:
            return label
        knows = platform != self.platform and scope is not None and not TARGET_ARGS.isdisjoint(scope.args)
        target = str(self.platform).removeprefix(f"{platform.os}/")
        return f"{platform}->{target} {label}" if knows else f"{platform} {label}"


def stage_label(outline: Outline, stage: Stage) -> str:
    """What a step's title starts with: the stage's name, or its number when there are several stages."""
    if stage.name:
        return f"{stage.name} "
    return f"stage-{stage.index} " if len(outline.dockerfile.stages) > 1 else ""
