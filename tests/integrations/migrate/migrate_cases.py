"""Pipelines of other builders, one file each below `cases`, with what they are to become beside them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from coopery.migrate.adapter import Migrator, find_migrators
from coopery.migrate.migrate import migrate_file
from coopery.migrate.results import Migration, Source

ROOT = Path(__file__).resolve().parents[3]
CASES = Path(__file__).parent / "cases"
#: Where a file of that kind lies in a repository.
PLACES = {
    "gitlab": ".gitlab-ci.yml",
    "github-action": ".github/workflows/image.yml",
    "buildkite": ".buildkite/pipeline.yml",
    "jenkins": "Jenkinsfile",
    "plain": "{name}",
}
SOURCE = Source("acme/coopery", "0123456789abcdef0123456789abcdef01234567")


@cache
def migrators() -> dict[str, Migrator]:
    """Those of all platforms."""

    def refuse(text: str) -> None:
        raise AssertionError(text)

    return find_migrators(refuse)


@dataclass(frozen=True)
class Case:
    """A pipeline, and what it becomes."""

    path: Path

    @property
    def platform(self) -> str:
        return self.path.parent.name

    @property
    def id(self) -> str:
        return f"{self.platform}-{self.path.stem}"

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def place(self) -> str:
        return PLACES[self.platform].format(name=self.path.name)

    def migrated(self) -> Migration:
        """By its place alone, as nobody says which platform it is for."""
        return _migrated(self)

    def golden(self) -> None:
        """Compares with the kept copies; COOPERY_GOLDEN=write replaces them."""
        found = self.migrated()
        kind = ".yml" if self.platform == "plain" else self.path.suffix
        told = {f"{self.path.stem}{kind}": found.text, f"{self.path.stem}.txt": "\n".join(found.report("FILE")) + "\n"}
        folder = CASES.parent / "expected" / self.platform
        for name, text in told.items():
            if os.environ.get("COOPERY_GOLDEN") == "write":
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
            assert text == (folder / name).read_text()


@cache
def _migrated(case: Case) -> Migration:
    return migrate_file(case.place, case.text, "", migrators(), SOURCE)


ALL = [Case(path) for path in sorted(CASES.glob("*/*"))]


def of(platform: str) -> list[Case]:
    """The cases for a platform."""
    return [case for case in ALL if case.platform == platform]


# ------------------------------------------------------------------------------------------------ what is in a result


class Loader(yaml.SafeLoader):
    """Knows `!reference`."""


Loader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))


def put_in_place(value: Any, pattern: str) -> Any:
    """With something for what the CI system would put in place."""
    if isinstance(value, dict):
        return {put_in_place(key, pattern): put_in_place(each, pattern) for key, each in value.items()}
    if isinstance(value, list):
        return [put_in_place(each, pattern) for each in value]
    return re.sub(pattern, "x1", value) if isinstance(value, str) else value


def steps_of(jobs: Mapping[str, Any], ours: str) -> Iterator[dict[str, Any]]:
    """The steps of a workflow's jobs that use our action."""
    for job in jobs.values():
        yield from (step for step in job.get("steps", ()) if str(step.get("uses", "")).startswith(ours))


def says(migration: Migration) -> str:
    """All that a migration says."""
    return migration.text + json.dumps(migration.data())
