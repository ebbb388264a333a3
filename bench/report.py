"""Medians, ratios to the best of the others, and geometric means, as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

PHASES = ("cold", "warm", "edit", "fill", "fresh")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured build."""

    case: str
    peer: str
    run: int
    phase: str
    wall: float  # seconds
    cpu: float  # seconds
    memory: int  # bytes
    shmem: int  # bytes
    size: int  # bytes of the image's compressed layers
    startup: float = 0.0  # seconds until the peer's daemon took calls; not part of wall


@dataclass(frozen=True, slots=True)
class Row:
    case: str
    phase: str
    peer: str
    wall: float
    cpu: float
    memory: float
    shmem: float
    size: float
    ratio: float  # wall over the best wall of the other peers; NaN without others


def rows(samples: Iterable[Sample]) -> list[Row]:
    """One row for each case, phase and peer, in the order first seen."""
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.case, sample.phase, sample.peer), []).append(sample)
    walls = {key: median(each.wall for each in found) for key, found in groups.items()}
    result = []
    for (case, phase, peer), found in groups.items():
        others = [wall for (c, p, name), wall in walls.items() if (c, p) == (case, phase) and name != peer]
        result.append(
            Row(
                case,
                phase,
                peer,
                walls[case, phase, peer],
                median(each.cpu for each in found),
                median(each.memory for each in found),
                median(each.shmem for each in found),
                median(each.size for each in found),
                walls[case, phase, peer] / min(others) if others else math.nan,
            )
        )
    order = {case: index for index, case in enumerate(dict.fromkeys(row.case for row in result))}
    return sorted(result, key=lambda row: (order[row.case], PHASES.index(row.phase), row.wall))


def means(found: Sequence[Row]) -> list[tuple[str, str, float, int]]:
    """(phase, peer, geometric mean of the ratios, number of cases)."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in found:
        if not math.isnan(row.ratio):
            groups.setdefault((row.phase, row.peer), []).append(row.ratio)
    result = [
        (phase, peer, math.exp(sum(map(math.log, ratios)) / len(ratios)), len(ratios))
        for (phase, peer), ratios in groups.items()
    ]
    return sorted(result, key=lambda each: (PHASES.index(each[0]), each[2]))


def text(samples: Iterable[Sample]) -> str:
    """The table that is printed."""
    found = rows(samples)
    lines = [
        f"{'case':8} {'phase':6} {'builder':9} {'wall s':>8} {'x best':>7} {'CPU s':>8} "
        f"{'MiB':>7} {'tmpfs':>7} {'image MB':>9}"
    ]
    before = None
    for row in found:
        if before not in (None, (row.case, row.phase)):
            lines.append("")
        before = (row.case, row.phase)
        ratio = "" if math.isnan(row.ratio) else f"{row.ratio:.2f}"
        lines.append(
            f"{row.case:8} {row.phase:6} {row.peer:9} {row.wall:8.2f} {ratio:>7} {row.cpu:8.2f} "
            f"{row.memory / 2**20:7.0f} {row.shmem / 2**20:7.0f} {row.size / 1e6:9.1f}"
        )
    if overall := means(found):
        lines += ["", "geometric mean of wall / best of the others (below 1: faster than all of them)"]
        lines += [
            f"{phase:6} {peer:9} {mean:7.2f}  over {count} case{'s' * (count != 1)}"
            for phase, peer, mean, count in overall
        ]
    return "\n".join(lines)
