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

from coopery.dockerfile.instructions import Stage
from coopery.errors import Location
from coopery.oci.config import ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.plan.dispatch import Dispatcher, StageState, changes_files
from coopery.plan.keys import root_key
from coopery.plan.ops import CopyOp, Surroundings
from coopery.plan.outline import SCRATCH, Outline, copy_source, outline_stage
from coopery.plan.plan import BaseImage, Plan, PlannedStage
from coopery.plan.scope import CONTROL_ARGS, DEFAULT_PATH, PROXY_ARGS, Scope


class Lookups(Protocol):
    """What a plan needs to know of the world."""

    def image(self, reference: str, location: Location) -> BaseImage:
        """The image that `reference` names, for the build's platform."""

    def context_files(self, op: CopyOp, location: Location) -> Digest:
        """The key of the files that a COPY or ADD selects in a build context or at a URL."""


def make_plan(
    outline: Outline,
    lookups: Lookups,
    *,
    platform: Platform,
    build_args: Mapping[str, str],
    labels: Mapping[str, str],
    contexts: Mapping[str, str],
    around: Surroundings,
) -> Plan:
    """The plan for the stages of `outline`. DockerfileError and ContextError where a line can't be carried out."""
    planner = _Planner(outline, lookups, platform, build_args, contexts, around)
    for index in outline.stages:
        planner.need(index)
    stages = dict(sorted(planner.stages.items()))
    target = stages[outline.target]
    if labels:
        merged = MappingProxyType({**target.config.labels, **labels})
        stages[outline.target] = replace(target, config=replace(target.config, labels=merged))
    return Plan(stages, outline.target, planner.images, tuple(planner.warnings(build_args)))


class _Planner:
    def __init__(
        self,
        outline: Outline,
        lookups: Lookups,
        platform: Platform,
        build_args: Mapping[str, str],
        contexts: Mapping[str, str],
        around: Surroundings,
    ) -> None:
        self.outline = outline
        self.lookups = lookups
        self.platform = platform
        self.build_args = build_args
        self.contexts = contexts
        self.around = around
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
        """Plan a stage, if it isn't planned yet, and those it needs."""
        if index not in self.stages:
            self.stages[index] = self._stage(index)
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
        if outlined.base_stage >= 0:
            parent = self.need(outlined.base_stage)
            kind, config, key = "stage", parent.config, parent.key
            inherited = self.scopes[outlined.base_stage]
        elif outlined.base == SCRATCH:
            kind, config, key = "scratch", ImageConfig(self.platform, working_dir="/"), root_key(None, self.platform)
        else:
            base_image = self.lookups.image(outlined.base, stage.location)
            kind, config, key = "image", base_image.image.config, root_key(base_image.content, self.platform)
        triggers, config = config.on_build, replace(config, on_build=(), history=(), diff_ids=(), created="")
        if config.working_dir:
            config = replace(config, working_dir=posixpath.normpath(f"/{config.working_dir}").replace("//", "/"))
        env = {name: value for name, _, value in (text.partition("=") for text in config.env)}
        env.setdefault("PATH", DEFAULT_PATH)
        scope = self.scopes[index] = Scope(env, self.build_args, self.outline.globals, inherited)
        state = StageState(config=config, scope=scope, key=key)
        dispatcher = Dispatcher(self.outline, self.lookups, self.images, self.contexts, self.around, self.stages, stage)
        instructions = (*dispatcher.triggers(triggers), *stage.instructions)
        for instruction in instructions:
            source = copy_source(dockerfile, instruction, index, self.contexts)
            if source and source.kind == "stage":
                self.need(source.stage)
        # As in BuildKit, FROM is the first of the numbered steps if it means an image, and none of them if not.
        position = first = int(base_image is not None)
        total = first + sum(changes_files(instruction) for instruction in instructions)
        width = len(str(total))
        label = stage_label(self.outline, stage)
        for instruction in instructions:
            position += changes_files(instruction)
            dispatcher.dispatch(state, instruction, f"[{label}{position:{width}}/{total}]")
        shown = base_image.fetched.reference if base_image else outlined.base or stage.base
        return PlannedStage(
            index=index,
            name=stage.name,
            base=kind,
            base_image=base_image,
            base_stage=outlined.base_stage,
            root=key,
            steps=tuple(state.steps),
            config=replace(state.config, env=tuple(f"{name}={value}" for name, value in state.scope.env.items())),
            title=f"[{label}{1:{width}}/{total}] FROM {shown}",
            location=stage.location,
        )


def stage_label(outline: Outline, stage: Stage) -> str:
    """What a step's title starts with: the stage's name, or its number when there are several stages."""
    if stage.name:
        return f"{stage.name} "
    return f"stage-{stage.index} " if len(outline.dockerfile.stages) > 1 else ""
