"""Runs Jenkinsfiles by JenkinsPipelineUnit, with steps that really do what they say (see run_pipeline.groovy)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "integrations" / "jenkins"
ENVIRONMENTS = ROOT / "tests" / "integrations" / "environments" / "jenkins"

#: Where the jars of pom.xml are: mvn dependency:copy-dependencies -DoutputDirectory=.venv/jenkins
JARS = Path(os.environ.get("COOPERY_JENKINS_JARS") or ROOT / ".venv" / "jenkins")
_OPENED = ("java.lang", "java.util", "java.io", "java.net")

ENTRY = f'#!/bin/sh\nexec {sys.executable} -c "import sys; from coopery.cli import main; sys.exit(main())" "$@"\n'


def missing() -> str:
    """Why no pipeline can be run here, or nothing."""
    if shutil.which("java") is None:
        return "needs java"
    if not list(JARS.glob("jenkins-pipeline-unit-*.jar")):
        return f"needs the jars of {Path(__file__).parent.name}/pom.xml in {JARS}"
    return ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pipeline did."""

    result: str
    error: str | None
    aborted: bool  # by a step that failed, rather than by a fault of the library
    returned: Any  # what the pipeline handed to `give`
    calls: list[dict[str, Any]]
    archived: dict[str, str]
    left: list[str]  # paths below the workspace and its temporary directory, at the end
    log: str

    def called(self, step: str) -> list[list[Any]]:
        """The arguments of each call of `step`."""
        return [call["arguments"] for call in self.calls if call["step"] == step]

    def variables(self) -> list[str]:
        """The names of variables that the last `sh` had."""
        found: list[str] = [call for call in self.calls if call["step"] == "sh"][-1]["variables"]
        return found


@dataclass
class Agent:
    """A node with a workspace, and what its controller knows."""

    folder: Path
    credentials: dict[str, dict[str, Any]] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    causes: Sequence[str] = ("jenkins.branch.BranchEventCause",)
    plugins: Sequence[str] = ("publishChecks", "recordIssues", "sarif")
    abort: str = ""

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def run(self, jenkinsfile: str, check: bool = True) -> Outcome:
        """Runs the pipeline; with `check` one that fails fails the test, with its log."""
        libraries = self.folder / "libraries"
        libraries.mkdir(parents=True, exist_ok=True)
        self.workspace.mkdir(exist_ok=True)
        link = libraries / "coopery@main"
        if not link.exists():
            link.symlink_to(LIBRARY)
        (self.folder / "Jenkinsfile").write_text(jenkinsfile)
        scenario = self.folder / "scenario.json"
        outcome = self.folder / "outcome.json"
        scenario.write_text(
            json.dumps(
                {
                    "jenkinsfile": str(self.folder / "Jenkinsfile"),
                    "libraries": str(libraries),
                    "workspace": str(self.workspace),
                    "outcome": str(outcome),
                    "environ": self._environ(),
                    "credentials": self.credentials,
                    "causes": list(self.causes),
                    "plugins": list(self.plugins),
                    "abort": self.abort,
                }
            )
        )
        opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED]
        script = Path(__file__).with_name("run_pipeline.groovy")
        done = subprocess.run(
            ["java", *opened, "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", "groovy.ui.GroovyMain", script, scenario],
            capture_output=True,
            cwd=self.folder,
            text=True,
        )
        log = done.stdout + done.stderr
        assert outcome.exists(), log
        result = Outcome(**json.loads(outcome.read_text()), log=log)
        if check:
            assert result.result == "SUCCESS", log
        return result

    def _environ(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "BUILD_NUMBER": "12",
            "BUILD_URL": "https://jenkins.acme.example/job/shop/12/",
            "CI": "true",
            "DOCKER_CONFIG": str(home / "docker"),
            "HOME": str(home),
            "JENKINS_URL": "https://jenkins.acme.example/",
            "JOB_NAME": "shop/main",
            "PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "WORKSPACE": str(self.workspace),
            "WORKSPACE_TMP": f"{self.workspace}@tmp",
        } | self.environ

    def program(self, text: str = ENTRY) -> None:
        """Puts an executable `coopery` on PATH: the real one, or `text`."""
        path = self.folder / "bin" / "coopery"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def capture(name: str, files: Path | None = None) -> Mapping[str, str]:
    """The environment of a job that was captured (see environments/)."""
    held = json.loads((ENVIRONMENTS / f"{name}.json").read_text())
    environ: dict[str, str] = held["environ"]
    return environ


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent of this test's own."""
    if reason := missing():
        pytest.skip(reason)
    return Agent(tmp_path)
