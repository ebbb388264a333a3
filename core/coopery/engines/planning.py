"""From a request to the plans of its platforms, which have their stages in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coopery.engines.contexts import Contexts
from coopery.engines.definition import Definition, define
from coopery.engines.epochs import settle_epoch
from coopery.engines.images import Images
from coopery.engines.lookups import Lookups
from coopery.engines.outputs import is_indexed
from coopery.engines.pools import Pools
from coopery.errors import CooperyError
from coopery.plan.joining import join
from coopery.plan.ops import Surroundings
from coopery.plan.outline import Outline
from coopery.plan.plan import Plan
from coopery.plan.planner import make_plan
from coopery.ports import Progress
from coopery.request import BuildRequest


@dataclass(frozen=True, slots=True)
class Planned:
    """What will be done."""

    source: Sequence[str]  # the Dockerfile's lines
    plans: tuple[Plan, ...]  # one for each platform
    epoch_ns: int | None  # SOURCE_DATE_EPOCH

    @property
    def warnings(self) -> tuple[str, ...]:
        """What users should know, each once."""
        return tuple(dict.fromkeys(text for plan in self.plans for text in plan.warnings))


def plan_build(request: BuildRequest, contexts: Contexts, images: Images, pools: Pools, progress: Progress) -> Planned:
    """The plans for `request`. The Dockerfile is read once, and all images are looked for at once.

    What checks find is told to `progress`. Raises all errors in the Dockerfile that don't depend on each other.
    """
    definitions, lined = outlines(request, contexts, progress)
    definition = definitions[0]
    epoch_ns, request, lined = settle_epoch(request, lined, contexts)
    # All references are known now: resolve them while the context is being read.
    for reference, platform in dict.fromkeys(image for each in lined for image in each.images):
        pools.resolve.submit(images.get, reference, platform)
    around = surroundings(request, epoch_ns)
    # After an error nobody will use the files: that they are there is all that counts.
    read = not definition.watch.errors
    try:
        plans = [
            make_plan(
                each,
                Lookups(images, contexts, definition.dockerfile, defined.linter, read=read),
                platform=platform,
                build_args=request.build_args,
                labels=request.labels,
                contexts=request.build_contexts,
                around=around,
                titled=is_indexed(request),
                watch=defined.watch,
            )
            for each, platform, defined in zip(lined, request.platforms, definitions, strict=True)
        ]
    finally:
        for advice in definition.findings:
            progress.advise(advice)
    definition.check()
    return Planned(definition.dockerfile.lines, join(plans), epoch_ns)


def surroundings(request: BuildRequest, epoch_ns: int | None) -> Surroundings:
    """What the request says of all steps."""
    return Surroundings(
        request.network,
        tuple(name for name, _ in request.add_hosts),
        tuple(f"{limit.name}={limit.soft}:{limit.hard}" for limit in request.ulimits),
        request.shm_size,
        "" if epoch_ns is None else str(epoch_ns),
        request.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", ""),
        request.build_args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
        request.allow,
    )


def outlines(
    request: BuildRequest, contexts: Contexts, progress: Progress
) -> tuple[Sequence[Definition], Sequence[Outline]]:
    """For each platform the Dockerfile, which is checked for the first one only, and its outline."""
    step = progress.step("[internal] load build definition")
    step.start()
    try:
        text, name = contexts.dockerfile()
        definition = define(text, name, request.build_args, contexts.ignore_rules)
        definitions = [definition, *(definition.again() for _ in request.platforms[1:])]
        lined = [
            each.outline(
                target=request.target,
                platform=platform,
                build_args=request.build_args,
                contexts=request.build_contexts,
            )
            for each, platform in zip(definitions, request.platforms, strict=True)
        ]
    except CooperyError as error:
        step.failed(error.message)
        raise
    step.done()
    return definitions, lined
