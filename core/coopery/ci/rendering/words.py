"""What every form of the report says in the same words. Nothing here holds text from outside."""

from __future__ import annotations

from coopery.ci.rendering.inert import NOTHING
from coopery.ci.report import CacheResult, Report, StepResult
from coopery.progress.amounts import human_size, human_time

#: Less than this many seconds are not worth telling.
_WORTH_TELLING = 0.1


def heading(report: Report) -> str:
    """What came of the build, in a few words: `Image pushed`."""
    if report.error:
        return "Build failed"
    if not report.images:
        return "Nothing was built"
    done = "pushed" if all(image.pushed for image in report.images) else "built"
    return f"Image {done}" if len(report.images) == 1 else f"{len(report.images)} images {done}"


def cache_sentence(cache: CacheResult) -> str:
    """What the caches did: `9 of 12 steps from the cache, 1 m 12 s and 310.0 MB saved`; empty if nothing."""
    parts = []
    if cache.hits or cache.misses:
        parts.append(f"{cache.hits} of {cache.hits + cache.misses} steps from the cache")
    saved = [human_time(cache.seconds_saved)] if cache.seconds_saved >= _WORTH_TELLING else []
    saved += [human_size(cache.reused)] if cache.reused else []
    if saved:
        parts.append(" and ".join(saved) + " saved")
    return ", ".join(parts)


def traffic_sentence(cache: CacheResult) -> str:
    """What went over the network: `12.3 MB pulled, 4.5 MB pushed`; empty if nothing."""
    moved = ((cache.pulled, "pulled"), (cache.pushed, "pushed"))
    return ", ".join(f"{human_size(count)} {way}" for count, way in moved if count)


def result(step: StepResult) -> str:
    """What came of a step: `cached, 12 s saved`."""
    if step.saved is not None and step.saved >= _WORTH_TELLING:
        return f"{step.outcome}, {human_time(step.saved)} saved"
    return step.outcome


def time(step: StepResult) -> str:
    """How long a step took; a dash if it didn't run."""
    return NOTHING if step.outcome == "cached" else human_time(step.seconds)
