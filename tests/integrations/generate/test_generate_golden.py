"""Copies of some pipelines that people have looked at; COOPERY_GOLDEN=write replaces them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from generate_cases import ENDINGS

from coopery.generate.pipelines import generate
from coopery.generate.plan import Wish

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "generate"
WISHES = {
    "nothing-said": Wish(),
    "keyless-on-two-platforms": Wish(
        registries=("ecr",),
        platforms=("linux/amd64", "linux/arm64"),
        cache="registry",
        keyless=True,
        source="acme/coopery@0123456789abcdef0123456789abcdef01234567",
    ),
    "three-registries": Wish(
        registries=("dockerhub", "ecr"),
        images=("docker.io/cooper/barrel", "registry.example:5000/team/barrel"),
        platforms=("linux/arm64",),
        repository="cooper/barrel",
        branch="trunk",
    ),
    "local-cache": Wish(registries=("dockerhub",), cache="local"),
}
#: What Docker Hub offers GitHub alone.
HUB = Wish(registries=("dockerhub", "ghcr"), keyless=True, cache="registry")
NAMES = [f"{platform}/{name}.{ending}" for platform, ending in ENDINGS.items() for name in WISHES]


@pytest.mark.parametrize("name", [*NAMES, "github-action/keyless-on-docker-hub.yml"])
def test_golden_copies(name: str) -> None:
    platform, _, file = name.partition("/")
    told = generate(platform, WISHES.get(file.partition(".")[0], HUB))
    path = GOLDEN / name
    if os.environ.get("COOPERY_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told)
    assert told == path.read_text()


def test_no_copy_is_left_over() -> None:
    kept = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.*")}
    assert kept == {*NAMES, "github-action/keyless-on-docker-hub.yml"}
