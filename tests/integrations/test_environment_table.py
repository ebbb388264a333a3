"""One commit is called the same on every platform: the table of captured environments.

`environments/<entry point>/<scenario>.json` holds what a job of that platform has; a platform that has no such scenario
leaves the file out, and is listed in `ABSENT`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from coopery.ci.platform import ENTRY_POINTS, Platform
from coopery.ci.revision import Revision
from coopery.ci.tags import name_image

CAPTURES = Path(__file__).parent / "environments"
COMMIT = "6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d"
WHEN = 1772600767  # 2026-03-04T05:06:07Z
PLATFORMS = {point.name: point for point in entry_points(group=ENTRY_POINTS)}

#: What every platform says of each scenario.
SCENARIOS: dict[str, dict[str, str]] = {
    "push": {"event": "push", "branch": "main"},
    "push-topic": {"event": "push", "branch": "feat/Search_Box"},
    "tag": {"event": "tag", "tag": "v1.2.3"},
    "prerelease": {"event": "tag", "tag": "v2.0.0-rc.1"},
    "change": {"event": "change", "branch": "feat/search", "change": "7", "base_branch": "main"},
    "fork": {"event": "change", "branch": "patch-1", "change": "8", "base_branch": "main"},
    "schedule": {"event": "schedule", "branch": "main"},
    "manual": {"event": "manual", "branch": "main"},
    "queue": {"event": "queue", "branch": "main"},
}
#: What a platform doesn't have.
ABSENT: set[tuple[str, str]] = set()

RULES: dict[str, list[str]] = {
    "default": [],
    "releases": [
        "type=semver,pattern={{version}}",
        "type=semver,pattern={{major}}.{{minor}}",
        "type=semver,pattern={{major}},enable={{is_not_default_branch}}",
        "type=edge",
        "type=ref,event=branch",
        "type=ref,event=pr",
        "type=sha",
    ],
    "expressions": [
        "type=schedule,pattern=nightly-{{date 'YYYYMMDD'}}",
        "type=raw,value=latest,enable={{is_default_branch}}",
        "type=raw,value={{commit_date 'YYYYMMDD-HHmmss' tz='Europe/Berlin'}}-{{sha}}",
        "type=raw,value=to-{{base_ref}}",
        "type=sha,format=long,prefix={{branch}}{{tag}}-",
        "registry.example:5000/acme/shop:{{#if is_default_branch}}stable{{else}}{{sha}}{{/if}}",
    ],
}
TAGS = {
    ("push", "default"): ["main"],
    ("push-topic", "default"): ["feat-Search_Box"],
    ("tag", "default"): ["v1.2.3", "latest"],
    ("prerelease", "default"): ["v2.0.0-rc.1", "latest"],
    ("change", "default"): ["pr-7"],
    ("fork", "default"): ["pr-8"],
    ("schedule", "default"): ["nightly", "main"],
    ("manual", "default"): ["main"],
    ("queue", "default"): [],
    ("push", "releases"): ["edge", "main", "sha-6f1c0f4"],
    ("tag", "releases"): ["1.2.3", "1.2", "1", "sha-6f1c0f4", "latest"],
    ("prerelease", "releases"): ["2.0.0-rc.1", "sha-6f1c0f4"],
    ("queue", "releases"): ["sha-6f1c0f4"],
    ("schedule", "expressions"): [
        "nightly-20260304",
        "latest",
        "20260304-060607-6f1c0f4",
        "to-",
        f"main-{COMMIT}",
    ],
}
CASES = [(platform, scenario) for platform in sorted(PLATFORMS) for scenario in SCENARIOS]


def captured(platform: str, scenario: str, folder: Path) -> dict[str, str]:
    """The environment of a job, with the files that it names in `folder`."""
    capture: dict[str, Any] = json.loads((CAPTURES / platform / f"{scenario}.json").read_text())
    for name, content in capture.get("files", {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {name: value.replace("{dir}", str(folder)) for name, value in capture["environ"].items()}


def adapter(platform: str) -> type[Platform]:
    loaded: type[Platform] = PLATFORMS[platform].load()
    return loaded


def revision(platform: str, scenario: str, folder: Path) -> Revision:
    """What is built, with the commit's time, which the checkout tells where the environment doesn't."""
    found = adapter(platform)(captured(platform, scenario, folder)).revision()
    return replace(found, commit_time=WHEN if found.commit_time is None else found.commit_time)


def test_every_platform_and_every_scenario_is_there() -> None:
    assert {"buildkite", "github-action", "gitlab", "jenkins"} <= set(PLATFORMS)
    there = {(path.parent.name, path.stem) for path in CAPTURES.glob("*/*.json")}
    assert there | ABSENT == set(CASES)
    assert not there & ABSENT


@pytest.mark.parametrize(("platform", "scenario"), sorted(set(CASES) - ABSENT))
def test_platform_knows_its_own_jobs_and_no_others(platform: str, scenario: str, tmp_path: Path) -> None:
    environ = captured(platform, scenario, tmp_path)
    assert [name for name in sorted(PLATFORMS) if adapter(name).detect(environ)] == [platform]
    assert adapter(platform).name == platform
    assert not adapter(platform).detect({"CI": "true", "PATH": "/usr/bin", "HOME": "/root"})


@pytest.mark.parametrize(("platform", "scenario"), sorted(set(CASES) - ABSENT))
def test_revision_says_the_same_everywhere(platform: str, scenario: str, tmp_path: Path) -> None:
    found = revision(platform, scenario, tmp_path)
    expected = {"branch": "", "tag": "", "change": "", **SCENARIOS[scenario]}
    assert {name: getattr(found, name) for name in expected} == expected
    if scenario not in ("tag", "prerelease", "change", "fork"):
        assert found.base_branch == ""
    assert found.commit == COMMIT
    assert found.default_branch == "main"
    assert found.repository == "acme/shop"
    assert found.repository_url.startswith("https://")
    assert found.repository_url.endswith("/acme/shop")
    assert found.description in ("", "The shop")
    assert found.commit_time == WHEN
    assert found.trusted == (scenario != "fork")
    assert found.on_default_branch == (scenario in ("push", "schedule", "manual"))


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_names_are_the_same_everywhere(scenario: str, rules: str, tmp_path: Path) -> None:
    made = {}
    for platform in sorted(PLATFORMS):
        if (platform, scenario) in ABSENT:
            continue
        folder = tmp_path / platform
        folder.mkdir()
        naming = name_image(
            revision(platform, scenario, folder),
            now=WHEN,
            images=["acme/shop", "ghcr.io/acme/shop"],
            tags=RULES[rules],
            labels={"built": "{{commit_date 'x'}}"},
        )
        # Where the repository is seen, and what it says of itself there, is the platform's to say.
        own = ("source", "url", "description", "licenses")
        labels = {key: value for key, value in naming.labels.items() if key.rpartition(".")[2] not in own}
        made[platform] = (naming.version, naming.tags, naming.names, labels, naming.warnings)
        if (scenario, rules) in TAGS:
            assert list(naming.tags) == TAGS[scenario, rules]
    assert len(made) > 1
    assert len({json.dumps(value) for value in made.values()}) == 1, made
