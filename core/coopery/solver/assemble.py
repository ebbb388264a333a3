"""The image that a stage makes: its base, its layers, its configuration and its history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from coopery.cache.records import Outcome
from coopery.oci.config import HistoryEntry, ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.image import Image, Layer
from coopery.plan.plan import Plan, PlannedStep

#: Says in the history who made a layer, as BuildKit's own comment does.
COMMENT = "coopery"


def assemble(
    plan: Plan,
    outcomes: Sequence[Outcome],
    layer: Callable[[Digest], Layer],
    *,
    now: str,
    epoch: str = "",
) -> Image:
    """The target's image. `outcomes` are those of all its steps since the base image.

    Times in the history are those of the steps' records, so that an image found in the cache is the same to the
    byte; instructions without a layer take the time of the one before them. `epoch` (RFC 3339) replaces them all.
    `now` dates an image none of whose own instructions made a layer.
    """
    lineage = plan.lineage
    root, stage = lineage[0], lineage[-1]
    base = root.base_image.image if root.base_image else Image(ImageConfig(stage.config.platform))
    steps = [step for part in lineage for step in part.steps]
    remaining = list(outcomes)
    times = [outcome.created for outcome in outcomes]
    created = epoch or (times[0] if times else base.config.created or now)
    image = base
    for step in steps:
        made = remaining.pop(0) if step.vertex else None
        if made and not epoch:
            created = made.created
        image = image.append(layer(made.diff_id) if made else None, _line(step, created))
    config = replace(
        stage.config,
        diff_ids=image.config.diff_ids,
        history=image.config.history,
        created=created if steps else epoch or base.config.created or now,
    )
    return Image(config, image.layers)


def _line(step: PlannedStep, created: str) -> HistoryEntry:
    return HistoryEntry(created_by=step.created_by, created=created, comment=COMMENT)
