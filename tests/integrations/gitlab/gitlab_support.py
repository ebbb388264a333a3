"""What tests of GitLab CI share: captured environments, the template as GitLab reads it, and pipelines run for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = ROOT / "integrations/gitlab/template.yml"
README = ROOT / "integrations/gitlab/README.md"
CAPTURES = ROOT / "tests/integrations/environments/gitlab"

#: What a job's commands find on their PATH besides ours.
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# ------------------------------------------------------------------------------------------------ environments


def captured(scenario: str, directory: Path) -> dict[str, str]:
    """The variables of a job of that scenario, whose builds directory is `directory`."""
    value = json.loads((CAPTURES / f"{scenario}.json").read_text())
    for name, content in value["files"].items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {name: text.replace("{dir}", str(directory)) for name, text in value["environ"].items()}


# ------------------------------------------------------------------------------------------------ the template


def documents(path: Path = TEMPLATE) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the jobs of a template, without inputs in their places."""
    spec, jobs = yaml.safe_load_all(path.read_text())
    return spec["spec"]["inputs"], jobs


_BLOCK = re.compile(r"\$\[\[\s*inputs\.([\w-]+)\s*\]\]")


def interpolated(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The jobs with `inputs` and defaults in place, as GitLab does it (lib/gitlab/ci/config/interpolation/template.rb):
    a value that is one block becomes what the input is, and any other text.
    """
    header, jobs = documents()
    unknown = set(inputs) - set(header)
    assert not unknown, f"GitLab refuses unknown inputs: {unknown}"
    values = {name: inputs.get(name, entry.get("default")) for name, entry in header.items()}

    def place(node: Any) -> Any:
        if isinstance(node, dict):
            return {place(key): place(value) for key, value in node.items()}
        if isinstance(node, list):
            return [place(value) for value in node]
        if not isinstance(node, str):
            return node
        whole = _BLOCK.fullmatch(node)
        if whole:
            return values[whole[1]]
        return _BLOCK.sub(lambda block: _text(values[block[1]]), node)

    return place(jobs)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def extended(jobs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The job with all that it extends, merged as GitLab does: mappings by key, anything else replaced."""
    own = dict(jobs[name])
    result: dict[str, Any] = {}
    bases = own.pop("extends", [])
    for base in [bases] if isinstance(bases, str) else bases:
        result = _merged(result, extended(jobs, base))
    return _merged(result, own)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


# ------------------------------------------------------------------------------------------------ pipelines


def find_client(name: str) -> str | None:
    """The path of an npm package's command."""
    places = [os.environ.get("COOPERY_NODE_CLIENTS", ""), str(ROOT / ".venv/node/node_modules")]
    path = os.pathsep.join([*(f"{place}/.bin" for place in places if place), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


def missing() -> str:
    """What running a pipeline lacks on this machine, or nothing."""
    lacking = [name for name in ("git", "rsync", "docker-registry") if not shutil.which(name)]
    lacking += [] if find_client("gitlab-ci-local") else ["gitlab-ci-local (npm)"]
    return f"needs {', '.join(lacking)}" if lacking else ""


@dataclass
class Ran:
    """What a pipeline printed, and where its jobs left their files."""

    status: int
    log: str
    state: Path

    def artifact(self, job: str, path: str) -> Path:
        """A file that a job kept."""
        return self.state / "artifacts" / job / path


@dataclass
class Project:
    """A git repository with pipelines, run by gitlab-ci-local with the commands of this source tree."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._commands = self.folder.parent / f"{self.folder.name}-commands"
        self._commands.mkdir()
        command = self._commands / "coopery"
        search = os.pathsep.join([str(ROOT / "core"), *(str(path.parent) for path in _adapters())])
        command.write_text(
            "#!/bin/sh\n"
            f"PYTHONPATH={search}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONDONTWRITEBYTECODE=1 exec {sys.executable} "
            "-c 'import sys; from coopery.cli import main; sys.exit(main())' \"$@\"\n"
        )
        command.chmod(0o755)
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("remote", "add", "origin", "https://gitlab.example.com/acme/shop.git")

    def write(self, files: Mapping[str, str], message: str = "Change things") -> str:
        """Commit these files; the commit's hash."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self._git("rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        """Be on a new branch."""
        self._git("switch", "--quiet", "--create", name)

    def run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Ran:
        """Run the pipeline, or the jobs that are named; `variables` take the place of GitLab's own."""
        client = find_client("gitlab-ci-local")
        assert client, "tests check for it"
        given = self.variables | dict(variables or {})
        options = [f"--variable={name}={value}" for name, value in given.items()]
        home = self.folder.parent / f"{self.folder.name}-home"
        home.mkdir(exist_ok=True)
        environ = {
            "PATH": f"{self._commands}:{Path(client).parent}:{Path(shutil.which('node') or '/').parent}:{_PLACES}",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        }
        flags = ["--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source", "--color=false"]
        done = subprocess.run(
            [client, *flags, *options, *arguments],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Ran(done.returncode, done.stdout.decode(errors="replace"), self.folder / ".gitlab-ci-local")

    def _git(self, *arguments: str) -> str:
        who = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
        who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
        quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        environ = os.environ | who | quiet
        return subprocess.check_output(["git", *arguments], cwd=self.folder, env=environ, text=True).strip()


def _adapters() -> list[Path]:
    return sorted(ROOT.glob("integrations/*/coopery_*"))
