"""The benchmark's arithmetic."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_report", BENCH / "report.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_report"] = module
    spec.loader.exec_module(module)
    return module


def sample(report: ModuleType, case: str, peer: str, wall: float, run: int = 0, phase: str = "cold") -> object:
    return report.Sample(case, peer, run, phase, wall, wall, 1 << 20, 0, 1_000_000)


def test_a_ratio_is_to_the_best_of_the_others(report: ModuleType) -> None:
    samples = [sample(report, "apt", peer, wall) for peer, wall in (("a", 1.0), ("b", 2.0), ("c", 4.0))]
    assert {row.peer: row.ratio for row in report.rows(samples)} == {"a": 0.5, "b": 2.0, "c": 4.0}


def test_an_outlier_run_does_not_move_the_median(report: ModuleType) -> None:
    samples = [sample(report, "apt", "a", wall, run) for run, wall in enumerate((1.0, 1.1, 60.0))]
    assert report.rows(samples)[0].wall == 1.1


def test_means_are_geometric_and_per_phase(report: ModuleType) -> None:
    samples = [
        sample(report, case, peer, wall, phase="warm")
        for case, peer, wall in (("x", "a", 1.0), ("x", "b", 4.0), ("y", "a", 1.0), ("y", "b", 1.0))
    ]
    means = {peer: (phase, mean, count) for phase, peer, mean, count in report.means(report.rows(samples))}
    assert means["a"] == ("warm", pytest.approx(0.5), 2)
    assert means["b"] == ("warm", pytest.approx(2.0), 2)


def test_a_lone_builder_has_no_ratio_and_no_mean(report: ModuleType) -> None:
    found = report.rows([sample(report, "apt", "a", 1.0)])
    assert math.isnan(found[0].ratio)
    assert report.means(found) == []
    assert "nan" not in report.text([sample(report, "apt", "a", 1.0)])
