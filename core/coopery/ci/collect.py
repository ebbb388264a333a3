"""From the engine's account of a build, and from its errors, to the values of the report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from coopery.ci.report import CacheResult, Finding, ImageResult, LayerResult, Level, StepOutcome, StepResult
from coopery.engines.account import BuildReport
from coopery.errors import CooperyError
from coopery.ports import Advice, StepRecord

#: How many of a failed step's last lines the report keeps.
LOG_LINES = 100

#: The members of a cache's description that are told.
_TELLING = frozenset({"type", "ref", "src", "dest", "scope", "mode"})

_OUTCOMES: Mapping[str, StepOutcome] = {
    "done": "done",
    "cached": "cached",
    "failed": "failed",
    "canceled": "canceled",
    "running": "canceled",  # the build has ended, and it with it
}


def image_result(
    report: BuildReport,
    *,
    target: str = "",
    names: Sequence[str] = (),
    version: str = "",
    pushed: bool | None = None,
    cache_sources: Sequence[str] = (),
    cache_targets: Sequence[str] = (),
) -> ImageResult:
    """What a build did, for the report.

    `target` is its name in coopery.yaml, `names` every `image:tag` it has (those that the build was given if there
    are none), `version` the main tag. `pushed` says whether it is in a registry; without it, it is if the build
    pushed it. `cache_sources` and `cache_targets` are the caches that were read and written, as they were asked for.
    """
    if pushed is None:
        pushed = any(place.type == "registry" for place in report.delivered)
    return ImageResult(
        target=target,
        platforms=tuple(str(image.platform) for image in report.images),
        names=tuple(names) or tuple(str(name) for name in report.names),
        version=version,
        pushed=pushed,
        digest=str(report.manifest.digest),
        image_id="" if report.indexed else str(report.image_id),
        media_type=report.manifest.media_type,
        manifest_size=report.manifest.size,
        size=report.size,
        seconds=report.seconds,
        labels=dict(report.images[0].image.config.labels),
        annotations=dict(report.annotations),
        layers=tuple(
            LayerResult(
                digest=str(layer.descriptor.digest),
                size=layer.descriptor.size,
                created_by=layer.created_by,
                base=layer.base,
                platform=str(image.platform) if report.indexed else "",
            )
            for image in report.images
            for layer in image.layers
        ),
        steps=step_results(report.steps),
        cache=CacheResult(
            hits=report.hits,
            misses=report.misses,
            seconds_saved=report.seconds_saved,
            pulled=report.pulled,
            pushed=report.pushed,
            reused=report.found + report.mounted,
            sources=tuple(_without_secrets(text) for text in cache_sources),
            targets=tuple(_without_secrets(text) for text in cache_targets),
        ),
    )


def step_results(records: Sequence[StepRecord]) -> tuple[StepResult, ...]:
    """The steps that something happened to: those of an account, or of the progress of a build that failed."""
    return tuple(
        StepResult(
            name=record.name,
            outcome=_OUTCOMES[record.outcome],
            seconds=record.seconds,
            saved=record.saved,
            line=record.location.line if record.location else 0,
            end_line=record.location.end_line if record.location else 0,
        )
        for record in records
        if record.outcome != "waiting"
    )


def failure(error: CooperyError, records: Sequence[StepRecord] = (), *, root: str = "") -> Finding:
    """Why a build failed, with the end of the failed step's output. `records` are the steps of its progress; `root`
    is the repository's directory, which the file's name becomes relative to."""
    failed = [record for record in records if record.outcome == "failed"]
    log = next((record.log for record in reversed(failed) if record.log), ())
    place = None if error.errors else error.location  # several errors have several places
    message = error.message.removeprefix(f"{place}: ") if place else error.message
    return Finding(
        level="error",
        message=message,
        hint=error.hint,
        detail=error.detail,
        log="\n".join(log[-LOG_LINES:]),
        file=relative(place.file, root) if place else "",
        line=place.line if place else 0,
        end_line=place.end_line if place else 0,
        column=error.column if place else 0,
    )


def advised(advice: Sequence[Advice], *, root: str = "") -> tuple[Finding, ...]:
    """What checks of a Dockerfile found, with its place; `root` is as for `failure`."""
    return tuple(
        Finding(
            level="warning",
            message=each.message,
            hint=each.hint,
            rule=each.rule,
            file=relative(each.location.file, root),
            line=each.location.line,
            end_line=each.location.end_line,
        )
        for each in advice
    )


def notices(texts: Sequence[str], level: Level = "warning") -> tuple[Finding, ...]:
    """Findings for lines that have no place in a file, such as the warnings of a build's progress, each once."""
    return tuple(Finding(level=level, message=text) for text in dict.fromkeys(texts))


def relative(path: str, root: str) -> str:
    """`path` as seen from the directory `root`, if it lies in it; else as it is. With an empty root, from here."""
    inside = os.path.relpath(os.path.abspath(path), os.path.abspath(root or os.curdir))
    return path if inside == os.pardir or inside.startswith(os.pardir + os.sep) else inside


def _without_secrets(cache: str) -> str:
    """A cache as it was asked for, in buildx's spelling, with only those members that say what and where it is."""
    members = [member.partition("=") for member in cache.split(",")]
    return ",".join("".join(member) for member in members if not member[1] or member[0].strip() in _TELLING)
