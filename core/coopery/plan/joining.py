"""One build for several platforms: their plans made into one, in which nothing is done twice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coopery.oci.config import ImageConfig
from coopery.plan.ops import SourceRef, with_sources
from coopery.plan.plan import BaseImage, Plan, PlannedStage, PlannedStep


def join(plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """The plans with all their stages and images in common, numbered anew; each still has its own target.

    `plans` are those of one Dockerfile. Where a stage begins alike for several platforms, what they have in common is
    one stage, and the rest is made FROM it. Keys, titles and histories stay as they are.
    """
    return _Joiner(plans).joined() if len(plans) > 1 else tuple(plans)


@dataclass(frozen=True, slots=True)
class _Variant:
    """A stage as one platform has it, in terms of the common stages that it needs."""

    plan: int  # whose it is
    stage: PlannedStage

    @property
    def start(self) -> tuple[object, ...]:
        """What two stages must have in common to begin alike."""
        stage, image = self.stage, self.stage.base_image
        digest = image.fetched.manifest.digest if image else None
        return stage.platform, stage.base, stage.base_stage, digest, stage.root, stage.title

    @property
    def parts(self) -> tuple[PlannedStep | ImageConfig, ...]:
        """The steps, and what they come to."""
        return *self.stage.steps, self.stage.config

    def above(self, shared: PlannedStage) -> _Variant:
        """This variant, going on from the end of `shared`."""
        stage = replace(self.stage, base="stage", base_image=None, base_stage=shared.index, root=shared.key)
        return _Variant(self.plan, stage)


class _Joiner:
    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self._stages: dict[int, PlannedStage] = {}
        self._images: dict[str, BaseImage] = {}
        self._ends: dict[tuple[int, int], int] = {}  # (plan, number there) → the common stage that ends like it

    def joined(self) -> tuple[Plan, ...]:
        """The plans, made into one."""
        names = [self._take_images(plan) for plan in self._plans]
        for index in sorted({index for plan in self._plans for index in plan.stages}):
            # What a stage needs stands above it, and is there already.
            variants = [
                _Variant(number, self._moved(number, plan.stages[index], names[number]))
                for number, plan in enumerate(self._plans)
                if index in plan.stages
            ]
            for group in _grouped(variants, lambda variant: variant.start):
                self._add(group, index, 0, 0)
        return tuple(
            replace(plan, stages=self._stages, images=self._images, target=self._ends[number, plan.target])
            for number, plan in enumerate(self._plans)
        )

    def _take_images(self, plan: Plan) -> Mapping[str, str]:
        """Put the plan's images among the common ones; what each is called there."""
        names: dict[str, str] = {}
        for name, image in plan.images.items():
            there = self._images.setdefault(name, image)
            same = there.fetched.manifest.digest == image.fetched.manifest.digest
            names[name] = name if same else f"{name} for {plan.platform}"
            self._images.setdefault(names[name], image)
        return names

    def _moved(self, plan: int, stage: PlannedStage, images: Mapping[str, str]) -> PlannedStage:
        """The stage with common stages and images for those of its plan. Its own number is still open."""

        def moved(step: PlannedStep) -> PlannedStep:
            if step.vertex is None:
                return step
            op = with_sources(step.vertex.op, moved_source)
            return replace(step, vertex=replace(step.vertex, op=op, stage=-1))

        def moved_source(source: SourceRef) -> SourceRef:
            if source.kind == "stage":
                return replace(source, stage=self._ends[plan, source.stage])
            return replace(source, name=images[source.name]) if source.kind == "image" else source

        base_stage = self._ends[plan, stage.base_stage] if stage.base == "stage" else -1
        return replace(stage, index=-1, base_stage=base_stage, steps=tuple(map(moved, stage.steps)))

    def _add(self, variants: Sequence[_Variant], index: int, begun: int, common: int) -> None:
        """Make stages of what `variants` have from step `begun` on. Up to part `common` they are known to be alike."""
        parts = variants[0].parts
        while common < len(parts) and all(
            common < len(variant.parts) and variant.parts[common] == parts[common] for variant in variants
        ):
            common += 1
        first = variants[0].stage
        if common == len(parts):
            stage = self._put(first, first.steps[begun:])
            self._ends |= {(variant.plan, index): stage.index for variant in variants}
            return
        if any(step.vertex for step in first.steps[begun:common]):
            shared = self._put(first, first.steps[begun:common])
            variants = [variant.above(shared) for variant in variants]
            begun = common
        for group in _grouped(variants, lambda variant: variant.parts[common]):
            self._add(group, index, begun, common)

    def _put(self, stage: PlannedStage, steps: Sequence[PlannedStep]) -> PlannedStage:
        """A new common stage, which is like `stage` but has these steps alone."""
        number = len(self._stages)
        own = [replace(step, vertex=step.vertex and replace(step.vertex, stage=number)) for step in steps]
        self._stages[number] = replace(stage, index=number, steps=tuple(own))
        return self._stages[number]


def _grouped(variants: Sequence[_Variant], key: Callable[[_Variant], Any]) -> list[list[_Variant]]:
    """`variants` in groups of equal keys, which need not be hashable, in the order of their first ones."""
    groups: list[tuple[Any, list[_Variant]]] = []
    for variant in variants:
        own = key(variant)
        group = next((group for known, group in groups if known == own), None)
        if group is None:
            groups.append((own, [variant]))
        else:
            group.append(variant)
    return [group for _, group in groups]
