"""Runs `coopery ci` as a job of the fake CI platform of `fakeci/`, and tells what the platform was told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from support.command import Coopery

FAKE = Path(__file__).resolve().parent / "fakeci"
COMMIT = "6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d"
#: A push of the default branch.
PUSH: Mapping[str, Any] = {
    "event": "push",
    "commit": COMMIT,
    "branch": "main",
    "default_branch": "main",
    "repository": "acme/shop",
    "commit_time": 1772600767,
}


@dataclass(frozen=True, slots=True)
class JobDone:
    """One job: what the command said, and what it told the platform."""

    done: CompletedProcess[str]
    told: list[tuple[str, Any]]

    @property
    def code(self) -> int:
        return self.done.returncode

    @property
    def output(self) -> str:
        return self.done.stdout + self.done.stderr

    @property
    def report(self) -> dict[str, Any]:
        """The one report; there must be exactly one."""
        (report,) = self.all("report")
        value: dict[str, Any] = report
        return value

    def all(self, kind: str) -> list[Any]:
        return [value for what, value in self.told if what == kind]


@dataclass(frozen=True, slots=True)
class Jobs:
    """A project, and a machine that runs jobs for it."""

    coopery: Coopery
    project: Path

    def __call__(
        self,
        *args: str | Path,
        job: Mapping[str, Any] | None = None,
        revision: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> JobDone:
        place = self.coopery.home.parent
        place.mkdir(parents=True, exist_ok=True)
        definition, told = place / "job.json", place / "told.jsonl"
        definition.write_text(json.dumps({"revision": {**PUSH, **(revision or {})}, **(job or {})}))
        told.unlink(missing_ok=True)
        environment = {
            "PYTHONPATH": str(FAKE),
            "FAKE_CI_JOB": str(definition),
            "FAKE_CI_TOLD": str(told),
            "CI": "true",
            **(env or {}),
        }
        done = self.coopery("ci", *args, cwd=self.project, env=environment, check=check)
        lines = told.read_text().splitlines() if told.exists() else []
        return JobDone(done, [(kind, value) for kind, value in map(json.loads, lines)])

    def write(self, **files: str) -> None:
        """Files of the project; `coopery_yaml` and `Dockerfile` say which."""
        for name, text in files.items():
            (self.project / name.replace("_yaml", ".yaml")).write_text(text)
