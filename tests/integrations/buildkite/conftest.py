"""The stand-in of the agent API, and an agent's machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registries import find_registry, running_registry

sys.path.insert(0, str(Path(__file__).parent))

import buildkite_agent_api
import buildkite_jobs


@pytest.fixture
def agent_api() -> Iterator[buildkite_agent_api.AgentApi]:
    """Buildkite's agent API, as much of it as jobs ask for."""
    with buildkite_agent_api.running() as api:
        yield api


@pytest.fixture(scope="session")
def plugin_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of this project as it stands."""
    return buildkite_jobs.plugin_repository(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def machine(tmp_path: Path, agent_api: buildkite_agent_api.AgentApi, plugin_clone: Path) -> buildkite_jobs.Machine:
    """A machine with an agent."""
    if reason := buildkite_jobs.missing():
        pytest.skip(reason)
    return buildkite_jobs.Machine(tmp_path / "machine", agent_api, plugin_clone)


@pytest.fixture(scope="session")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host of a registry that wants a password for everything."""
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "htpasswd").write_text(buildkite_jobs.HTPASSWD)
    with running_registry(
        folder / "data", f'auth: {{htpasswd: {{realm: tests, path: "{folder}/htpasswd"}}}}\n'
    ) as found:
        yield found.host


@pytest.fixture
def shop(tmp_path: Path, base_image: str) -> Path:
    """A repository with a Dockerfile."""
    place = tmp_path / "shop"
    place.mkdir()
    (place / "Dockerfile").write_text(
        f"FROM {base_image}\n"
        "RUN --mount=type=secret,id=token grep -q tree /run/secrets/token && cp /run/secrets/token /copied\n"
        "COPY apples /apples\n"
    )
    (place / "apples").write_text("12\n")
    buildkite_jobs.commit(place)
    return place


@pytest.fixture
def secrets(agent_api: buildkite_agent_api.AgentApi) -> buildkite_agent_api.AgentApi:
    """The API with what the builds want."""
    agent_api.secrets |= {"SHOP_TOKEN": "tree-of-apples-42", "REGISTRY_PASSWORD": buildkite_jobs.PASSWORD}
    return agent_api
