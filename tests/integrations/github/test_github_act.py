"""The action in workflows as a user writes them, run by act: real builds, real pushes, a registry with passwords."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import github_runner
import pytest
import yaml

import plainoci
import plainregistry
from coopery.oci.platform import host
from plainregistry import Registry
from support.actions_cache import READ, WRITE, ActionsCacheService
from support.registries import PASSWORD, USER, basic_auth, find_registry, running_registry

ROOT = Path(__file__).resolve().parents[3]
_ACTION = "elsewhere/coopery/integrations/github-action@v1"
_CHECKOUT = {"uses": "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd"}
# What git allows in the name of a branch: all of a shell's signs but white space and a few.
_BRANCH = "feat/$(touch${IFS}pwned);`id`\"'&&{x}|y%0Az"
_MESSAGE = "Sell more\n::set-env name=INJECTED::message\n$(touch pwned) ${{ secrets.PASSWORD }}"
_ORDERS = (
    "::set-env name=INJECTED::build",
    "::set-output name=digest::injected",
    "::add-path::/injected",
    "##[set-env name=INJECTED;]build",
)


@dataclass(frozen=True)
class Workshop:
    """A repository with a workflow, and everything that act needs to run it without GitHub."""

    project: Path
    places: Path  # copies of the actions by name

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.project, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def run(
        self,
        jobs: dict[str, Any],
        *,
        event: str = "push",
        payload: dict[str, Any] | None = None,
        variables: dict[str, str] | None = None,
        branch: str = "main",
        message: str = "Sell more",
        commit: bool = True,
        check: bool = True,
    ) -> tuple[str, dict[str, dict[str, str]]]:
        """Commits all, runs the jobs, and returns act's log and the outputs that steps `Show` wrote down, by job."""
        workflow = self.project / ".github" / "workflows" / "image.yml"
        workflow.parent.mkdir(parents=True, exist_ok=True)
        shown = self.places / "shown"
        shutil.rmtree(shown, ignore_errors=True)
        shown.mkdir()
        for name, job in jobs.items():
            job.setdefault("runs-on", "ubuntu-latest")
            job["steps"].append(
                {
                    "name": "Show",
                    "if": "always()",
                    "run": f'printf %s "$ALL" >"{shown}/{name}"; env >"{shown}/{name}.env"',
                    "env": {"ALL": "${{ toJSON(steps.image.outputs) }}"},
                }
            )
        workflow.write_text(json.dumps({"name": "Image", "on": event, "jobs": jobs}))  # which YAML includes
        if not (self.project / ".git").exists():
            self.git("init", "-q", "-b", "main")
            self.git("remote", "add", "origin", "https://github.com/acme/shop.git")
        if commit:
            self.git("checkout", "-q", "-B", branch)
            self.git("add", "-A")
            self.git("commit", "-q", "--allow-empty", "-m", message)
        (self.places / "event.json").write_text(json.dumps(payload or {}))
        home = self.places / "home"
        others = ("GITHUB_", "ACTIONS_", "XDG_", "COOPERY_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        done = subprocess.run(
            [
                *(
                    "act",
                    event,
                    "-e",
                    str(self.places / "event.json"),
                    "-P",
                    "ubuntu-latest=-self-hosted",
                    "--no-cache-server",
                ),
                *("--local-repository", f"elsewhere/coopery@v1={self.places}/coopery"),
                *("--local-repository", f"{_setup_python()}={self.places}/setup-python"),
                *("-s", "GITHUB_TOKEN=ghs_secret_token", "-s", f"PASSWORD={PASSWORD}"),
                *(part for name, value in (variables or {}).items() for part in ("--env", f"{name}={value}")),
            ],
            cwd=self.project,
            env=kept
            | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "ACT_DISABLE_VERSION_CHECK": "1"}
            | {"PIP_FIND_LINKS": str(self.places / "wheels"), "PIP_NO_INDEX": "1"},
            capture_output=True,
            text=True,
            errors="replace",
        )
        log = done.stdout + done.stderr
        assert not check or done.returncode == 0, log
        return log, {
            name: json.loads((shown / name).read_text() or "null") or {} for name in jobs if (shown / name).exists()
        }

    def environment_after(self, job: str) -> str:
        """The variables that a later step of the job has."""
        return (self.places / "shown" / f"{job}.env").read_text()


def _setup_python() -> str:
    action = yaml.safe_load((github_runner.ACTION / "action.yml").read_text())
    return next(
        step["uses"] for step in action["runs"]["steps"] if step.get("uses", "").startswith("actions/setup-python")
    )


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := [name for name in ("act", "node", "git") if not shutil.which(name)]:
        pytest.skip(f"needs {' and '.join(missing)}")
    places = tmp_path_factory.mktemp("actions")
    source = places / "coopery"
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("core", "integrations"):
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # What the action fetches from PyPI, fetched once.
    fetch = [sys.executable, "-m", "pip", "wheel", "--quiet", "-w", str(places / "wheels"), str(source)]
    subprocess.run([*fetch, "hatchling>=1.27"], check=True)
    for wheel in (places / "wheels").glob("coopery-*"):
        wheel.unlink()
    stand_in = places / "setup-python"
    stand_in.mkdir()
    (stand_in / "action.yml").write_text(
        yaml.safe_dump(
            {
                "name": "Stands in for setup-python",
                "description": "Says where a Python is",
                "inputs": {"python-version": {"required": False}, "update-environment": {"required": False}},
                "outputs": {"python-path": {"value": "${{ steps.it.outputs.path }}"}},
                "runs": {
                    "using": "composite",
                    "steps": [{"id": "it", "shell": "bash", "run": 'echo "path=$REAL_PYTHON" >>"$GITHUB_OUTPUT"'}],
                },
            }
        )
    )
    return places


@pytest.fixture
def workshop(actions: Path, tmp_path: Path, base_image: str) -> Workshop:
    project = tmp_path / "shop"
    project.mkdir()
    (project / "Dockerfile").write_text(
        f"FROM {base_image}\n"
        + "".join(f"RUN echo '{order}'\n" for order in _ORDERS)
        + "RUN --mount=type=secret,id=npm test \"$(cat /run/secrets/npm)\" = 'two words' && cat /run/secrets/npm\n"
        'COPY . /src\nARG HOSTILE\nRUN echo "$HOSTILE" >/arg\n'
    )
    (project / "::set-env name=INJECTED::file").write_text("x")
    return Workshop(project, actions)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that takes a password."""
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    folder = tmp_path_factory.mktemp("private")
    with running_registry(folder, basic_auth(folder)) as running:
        yield running


def _image(**inputs: str) -> dict[str, Any]:
    return {"id": "image", "uses": _ACTION, "with": {name.replace("_", "-"): value for name, value in inputs.items()}}


def _get(private: Registry, path: str) -> tuple[dict[str, Any], str]:
    accepted = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"http://{private.host}/v2/{path}", headers={"Authorization": f"Basic {basic}", "Accept": accepted}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer), answer.headers.get("Docker-Content-Digest", "")


def _login(private: Registry) -> dict[str, str]:
    return {"registry": private.host, "username": USER, "password": "${{ secrets.PASSWORD }}"}


def test_build_and_push(workshop: Workshop, private: Registry) -> None:
    hostile = """"; touch pwned; $(touch pwned) `touch pwned` '; touch pwned; #"""
    step = _image(
        images=f"{private.host}/acme/shop",
        tags="type=ref,event=branch\ntype=raw,value=edge",
        labels=f"hostile={hostile}",
        build_args=f"HOSTILE={hostile}",
        secrets="npm=two words",
        cache="none",
        **_login(private),
    )
    log, shown = workshop.run({"image": {"steps": [_CHECKOUT, step]}}, branch=_BRANCH, message=_MESSAGE)
    outputs = shown["image"]
    edge, digest = _get(private, "acme/shop/manifests/edge")
    assert outputs["digest"] == digest
    assert outputs["imageid"] == edge["config"]["digest"]
    assert outputs["pushed"] == "true"
    names = outputs["tags"].split("\n")
    assert f"{private.host}/acme/shop:edge" in names
    assert len(names) == 2 and all(_get(private, f"acme/shop/manifests/{name.rpartition(':')[2]}") for name in names)
    assert json.loads(outputs["metadata"])["containerimage.digest"] == digest
    config, _ = _get(private, f"acme/shop/blobs/{edge['config']['digest']}")
    assert config["config"]["Labels"]["hostile"] == hostile
    assert config["config"]["Labels"]["org.opencontainers.image.revision"] == workshop.git("rev-parse", "HEAD")
    assert config["config"]["Labels"]["org.opencontainers.image.source"] == "https://github.com/acme/shop"
    _nothing_was_injected(workshop, "image")
    assert PASSWORD not in log and "two words" not in log.replace("npm=two words", "").replace("= 'two words'", "")


def _nothing_was_injected(workshop: Workshop, job: str) -> None:
    after = workshop.environment_after(job)
    assert "INJECTED" not in after and "/injected" not in after
    assert not list(workshop.project.rglob("pwned"))
    assert "COOPERY" not in after and PASSWORD not in after
    assert not (workshop.project / ".coopery-cache-env").exists()


def test_a_fork_is_built_and_not_pushed(workshop: Workshop, private: Registry) -> None:
    captured = json.loads((github_runner.SHARED / "fork.json").read_text())
    step = _image(
        images=f"{private.host}/acme/fork", push="true", secrets="npm=two words", cache="none", **_login(private)
    )
    log, shown = workshop.run(
        {"image": {"steps": [_CHECKOUT, step]}},
        event="pull_request",
        payload=json.loads(captured["files"]["event.json"]),
    )
    assert shown["image"]["pushed"] == "false"
    assert "is built and not pushed: a fork's pull request" in log
    assert shown["image"]["digest"].startswith("sha256:")
    with pytest.raises(urllib.error.HTTPError):
        _get(private, "acme/fork/tags/list")


def test_a_failure_stands_at_its_line(workshop: Workshop, private: Registry) -> None:
    dockerfile = workshop.project / "docker" / "Dockerfile"
    dockerfile.parent.mkdir()
    base = (workshop.project / "Dockerfile").read_text().split("\n")[0]
    dockerfile.write_text(f"{base}\n\nRUN echo '::set-env name=INJECTED::failed' && exit 3\n")
    step = _image(images=f"{private.host}/acme/shop", file="docker/Dockerfile", cache="none", **_login(private))
    log, shown = workshop.run({"image": {"steps": [_CHECKOUT, step]}}, check=False)
    assert not any(shown["image"].values())
    assert "::error file=docker/Dockerfile,line=3,endLine=3,title=Coopery::" in log
    assert "## Build failed" in log
    _nothing_was_injected(workshop, "image")


def test_a_matrix_is_merged(workshop: Workshop, registry: Registry) -> None:
    name = f"{registry.host}/acme/multi"
    (workshop.project / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    own, other = str(host()), "linux/arm64" if str(host()) != "linux/arm64" else "linux/amd64"
    (workshop.project / "coopery.yaml").write_text(
        f"image: {name}\ntags:\n- type=raw,value=1.0\ncache: none\nplatforms: [{own}, {other}]\n"
    )
    _, shown = workshop.run({"part": {"steps": [_CHECKOUT, _image(only_platform=own)]}})
    assert shown["part"]["pushed"] == "true"
    assert "1.0" not in registry.tags("acme/multi")

    (part,) = registry.tags("acme/multi")
    layer = plainoci.layer({"x": plainoci.file(b"x")})
    image = plainoci.image([layer], arch=other.partition("/")[2])
    plainregistry.push(image, f"{name}:{part.replace(own.replace('/', '-'), other.replace('/', '-'))}")
    _, shown = workshop.run({"merge": {"steps": [_CHECKOUT, _image(mode="merge")]}}, commit=False)
    index, media_type = registry.manifest("acme/multi", "1.0")
    assert media_type == "application/vnd.oci.image.index.v1+json"
    platforms = {entry["platform"]["architecture"] for entry in json.loads(index)["manifests"]}
    assert platforms == {"amd64", "arm64"}
    assert shown["merge"]["digest"] == "sha256:" + hashlib.sha256(index).hexdigest()
    assert shown["merge"]["tags"] == f"{name}:1.0"


def test_the_cache_of_the_platform(workshop: Workshop, private: Registry) -> None:
    with ActionsCacheService() as service:
        variables = {
            "ACTIONS_RESULTS_URL": service.url,
            "ACTIONS_RUNTIME_TOKEN": service.token(("refs/heads/main", READ | WRITE)),
            "ACTIONS_CACHE_SERVICE_V2": "true",
        }
        step = _image(
            images=f"{private.host}/acme/cached", secrets="npm=two words", cache="platform", **_login(private)
        )
        jobs = {"image": {"steps": [_CHECKOUT, step]}}
        _, first = workshop.run(jobs, variables=variables)
        assert any(entry.finished for entry in service.entries)
        shutil.rmtree(workshop.places / "home" / "cache" / "coopery", ignore_errors=True)
        jobs = {"image": {"steps": [_CHECKOUT, step]}}
        log, second = workshop.run(jobs, variables=variables)
    assert first["image"]["pushed"] == second["image"]["pushed"] == "true"
    assert "CACHED" in log


def test_no_suitable_python(workshop: Workshop, private: Registry, tmp_path: Path) -> None:
    """setup-python's is taken where the runner's own Pythons are too old."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"):
        (bin_folder / name).write_text("#!/bin/sh\nexit 1\n")
        (bin_folder / name).chmod(0o755)
    (workshop.project / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    steps = [
        _CHECKOUT,
        {"run": f'echo "{bin_folder}" >>"$GITHUB_PATH"'},
        _image(images=f"{private.host}/acme/python", cache="none", **_login(private)),
    ]
    real = os.path.realpath(sys.executable)
    _, shown = workshop.run({"image": {"steps": steps}}, variables={"REAL_PYTHON": real})
    assert shown["image"]["pushed"] == "true"
