"""Jobs run by the real agent: `buildkite-agent bootstrap`, with clones of its own of the plugin and a repository."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from buildkite_agent_api import AgentApi, environment

ROOT = Path(__file__).resolve().parents[3]
CAPTURES = ROOT / "tests/integrations/environments/buildkite"
_GIT = ("git", "-c", "user.name=Robin", "-c", "user.email=robin@example.com", "-c", "init.defaultBranch=main")
_ENTRY = "import sys; from coopery.cli import main; sys.exit(main())"


#: Who may use the registry, and the bcrypt of the password at cost 5; the registry takes no other kind.
USER, PASSWORD = "builder", "s3cret"
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"


def configuration(host: str, **more: object) -> dict[str, object]:
    """What a pipeline says to build `acme/shop` for the registry that wants a password."""
    return {
        "image": f"{host}/acme/shop",
        "secrets": {"token": "SHOP_TOKEN"},
        "registries": {host: {"username": USER, "password": "REGISTRY_PASSWORD"}},
        **more,
    }


def missing() -> str:
    """Why jobs can't be run here, or nothing."""
    return "" if shutil.which("buildkite-agent") else "needs buildkite-agent"


def capture(scenario: str, directory: Path) -> dict[str, str]:
    """The environment of a captured job."""
    told = json.loads((CAPTURES / f"{scenario}.json").read_text())
    return {name: value.replace("{dir}", str(directory)) for name, value in told["environ"].items()}


def git(directory: Path, *arguments: str) -> str:
    """What git prints."""
    done = subprocess.run([*_GIT, "-C", str(directory), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(directory: Path, message: str = "Sell apples") -> str:
    """Make a repository of a directory, or add what changed in it; the hash of the commit."""
    if not (directory / ".git").exists():
        git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", message)
    return git(directory, "rev-parse", "HEAD")


def plugin_repository(directory: Path) -> Path:
    """A clone of this project as it stands, for agents to clone the plugin from."""
    place = directory / "coopery.git"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("core", "integrations"):
        shutil.copytree(ROOT / name, place / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / name)
    commit(place, "Coopery")
    return place


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended."""

    status: int
    log: str


@dataclass
class Machine:
    """An agent's machine: its directories, the API that it talks to, and where it finds things."""

    home: Path
    api: AgentApi
    plugin: Path
    installed: bool = True  # whether there is a coopery on the PATH
    environ: dict[str, str] = field(default_factory=dict)  # for all jobs

    def start(
        self,
        repository: Path,
        configuration: Mapping[str, object] | None = None,
        *,
        scenario: str = "push",
        command: str = "",
        plugins: object = None,
        **variables: str,
    ) -> subprocess.Popen[bytes]:
        """Start a job that builds the head of `repository` with the plugin."""
        told = {f"file://{self.plugin}/integrations/buildkite#main": dict(configuration or {})}
        environ = environment(self.api, capture(scenario, self.home))
        made_inside = ("BUILDKITE_PLUGIN_", "BUILDKITE_AGENT_JOB_API_", "COOPERY_")
        environ = {name: value for name, value in environ.items() if not name.startswith(made_inside)}
        tools = self.home / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        if self.installed:
            (tools / "coopery").write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{_ENTRY}' \"$@\"\n")
            (tools / "coopery").chmod(0o755)
        found = shutil.which("buildkite-agent")
        assert found is not None
        # The agent puts its own directory on the PATH, where a coopery may lie beside it.
        agent = tools / "buildkite-agent"
        agent.unlink(missing_ok=True)
        agent.symlink_to(found)
        # A socket's path may have 108 characters at most: those of test directories are longer now and then.
        sockets = f"/tmp/bk-{os.getpid()}"
        environ |= {
            "BUILDKITE_BIN_PATH": str(tools),
            "BUILDKITE_COMMAND": command,
            "BUILDKITE_COMMIT": git(repository, "rev-parse", "HEAD"),
            "BUILDKITE_HOOKS_PATH": str(self.home / "hooks"),
            "BUILDKITE_PIPELINE_PROVIDER": "git",
            "BUILDKITE_PLUGINS": json.dumps([told] if plugins is None else plugins),
            "BUILDKITE_PLUGIN_VALIDATION": "true",
            "BUILDKITE_REFSPEC": "HEAD",
            "BUILDKITE_REPO": str(repository),
            "BUILDKITE_SSH_KEYSCAN": "false",
            "BUILDKITE_SOCKETS_PATH": sockets,
            "COOPERY_CACHE": str(self.home / "store"),
            "DOCKER_CONFIG": str(self.home / "docker"),
            "HOME": str(self.home),
            "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
            if self.installed
            else f"{tools}:/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": str(self.home / "tmp"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
        }
        for name in ("tmp", "hooks"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [agent, "bootstrap"],
            env=environ | self.environ | variables,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, repository: Path, configuration: Mapping[str, object] | None = None, **more: str) -> Ended:
        """The same, to its end."""
        job = self.start(repository, configuration, **more)
        log, _ = job.communicate()
        return Ended(job.returncode, log.decode(errors="replace"))

    def left_behind(self) -> list[str]:
        """Temporary files of the jobs so far."""
        return sorted(path.name for path in (self.home / "tmp").iterdir())


def stop(job: subprocess.Popen[bytes]) -> Ended:
    """Cancel a job as agents do, and wait for its end."""
    job.send_signal(signal.SIGTERM)
    log, _ = job.communicate()
    return Ended(job.returncode, log.decode(errors="replace"))
