"""Pipelines run as their users run them, by the platforms' own clients: each builds an image and pushes it to a
registry that wants a password.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import buildkite_agent_api
import buildkite_jobs
import pytest
import yaml
from gitlab_support import TEMPLATE, Project
from gitlab_support import missing as gitlab_missing
from jenkins_pipelines import Agent, agent
from test_generate_checkers import local
from test_github_act import Workshop, actions, workshop

from coopery.generate.pipelines import generate
from coopery.generate.plan import Wish
from plainregistry import Registry
from support import registries
from support.command import Coopery

__all__ = ["actions", "agent", "workshop"]  # fixtures
USER, PASSWORD = registries.USER, registries.PASSWORD
FILES = {"Dockerfile": "FROM scratch\nCOPY hello /\n", "hello": "hello\n"}
#: What somebody keeps where the pipeline's comments say.
STORED = {"REGISTRY_USERNAME": USER, "REGISTRY_TOKEN": PASSWORD}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that takes a password."""
    if registries.find_registry() is None:
        pytest.skip("needs docker-registry")
    folder = tmp_path_factory.mktemp("guarded")
    with registries.running_registry(folder, registries.basic_auth(folder)) as running:
        yield running


def pipeline(platform: str, guarded: Registry, source: str = "acme/coopery@main") -> str:
    return generate(platform, Wish(images=(f"{guarded.host}/acme/shop-{platform}",), source=source, cache="registry"))


def check_pushed(coopery: Coopery, guarded: Registry, platform: str, head: str) -> None:
    """The image is there under the names that the rules give, and cached steps beside it."""
    coopery("login", guarded.host, "-u", USER, "--password-stdin", stdin=PASSWORD.encode())
    name = f"{guarded.host}/acme/shop-{platform}"
    config = json.loads(coopery("inspect", f"{name}:main", "--config").stdout)
    assert config["config"]["Labels"]["org.opencontainers.image.revision"] == head
    digests = {coopery("inspect", f"{name}:{tag}", "--digest").stdout for tag in ("main", f"sha-{head[:7]}")}
    assert len(digests) == 1


def write(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)


def test_github(workshop: Workshop, guarded: Registry, coopery: Coopery) -> None:
    text = pipeline("github-action", guarded, "elsewhere/coopery@v1")
    jobs = yaml.safe_load(text)["jobs"]
    jobs["image"]["runs-on"] = "ubuntu-latest"  # what act is told to be
    write(workshop.project)
    (workshop.project / ".secrets").write_text(f"REGISTRY_TOKEN={PASSWORD}\n")
    (workshop.project / ".vars").write_text(f"REGISTRY_USERNAME={USER}\n")
    log, shown = workshop.run(jobs)
    assert shown["image"]["pushed"] == "true", log
    check_pushed(coopery, guarded, "github-action", workshop.git("rev-parse", "HEAD"))
    assert PASSWORD not in log


def test_gitlab(tmp_path: Path, guarded: Registry, coopery: Coopery) -> None:
    if lacking := gitlab_missing():
        pytest.skip(lacking)
    project = Project(tmp_path / "shop", {"CI_COMMIT_REF_PROTECTED": "true"})
    # The commands of this source tree are on the PATH.
    text = re.sub(r"\n +install: .*", "", local(pipeline("gitlab", guarded)))
    head = project.write({**FILES, "coopery/template.yml": TEMPLATE.read_text(), ".gitlab-ci.yml": text})
    ran = project.run(variables=STORED)
    assert ran.status == 0, ran.log
    check_pushed(coopery, guarded, "gitlab", head)
    assert PASSWORD not in ran.log


def test_buildkite(tmp_path: Path, guarded: Registry, coopery: Coopery) -> None:
    if reason := buildkite_jobs.missing():
        pytest.skip(reason)
    shop = tmp_path / "shop"
    (shop / ".buildkite").mkdir(parents=True)
    write(shop)
    (shop / ".buildkite/pipeline.yml").write_text(pipeline("buildkite", guarded))
    head = buildkite_jobs.commit(shop)
    (step,) = uploaded(shop)["steps"]
    ((_, configuration),) = step["plugins"][0].items()
    with buildkite_agent_api.running() as api:
        api.secrets |= STORED
        plugin = buildkite_jobs.plugin_repository(tmp_path / "plugin")
        ended = buildkite_jobs.Machine(tmp_path / "machine", api, plugin).run(shop, configuration)
        assert ended.status == 0, ended.log
        assert api.meta_data["coopery:pushed"] == "true"
    check_pushed(coopery, guarded, "buildkite", head)
    assert PASSWORD not in ended.log


def uploaded(shop: Path) -> dict[str, list[dict[str, list[dict[str, dict[str, object]]]]]]:
    """What `buildkite-agent pipeline upload` would tell Buildkite."""
    agent = shutil.which("buildkite-agent")
    assert agent
    command = [agent, "pipeline", "upload", "--dry-run", "--agent-access-token=x", "--job=x", ".buildkite/pipeline.yml"]
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[dict[str, list[dict[str, dict[str, object]]]]]] = json.loads(done.stdout)
    return told


def test_jenkins(agent: Agent, guarded: Registry, coopery: Coopery) -> None:
    agent.program()
    agent.workspace.mkdir()
    write(agent.workspace)
    head = buildkite_jobs.commit(agent.workspace, "Say hello")
    agent.environ |= {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GIT_COMMIT": head}
    agent.credentials["registry"] = {"kind": "usernamePassword", "username": USER, "password": PASSWORD}
    # The command is on the PATH, and JenkinsPipelineUnit takes no conditions.
    text = re.sub(r"\n +install: .*", "", pipeline("jenkins", guarded))
    done = agent.run(re.sub(r"\n +when \{.*?\n            \}", "", text, flags=re.DOTALL))
    check_pushed(coopery, guarded, "jenkins", head)
    assert PASSWORD not in done.log
