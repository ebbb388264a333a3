"""Builds that pull through mirrors: where the base comes from leaves no trace in what is built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import plainregistry
from plainregistry import Registry
from support import bases, registries
from support.command import Coopery

DOCKERFILE = "FROM gcr.io/base/busybox:1\nCOPY Dockerfile /copied\nRUN echo made > /made\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    (path / "Dockerfile").write_text(DOCKERFILE)
    return path


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that has the base image below `hub/`."""
    if registries.find_registry() is None or not bases.BUSYBOX.exists():
        pytest.skip("needs docker-registry and busybox-static")
    with registries.running_registry(tmp_path_factory.mktemp("mirror")) as running:
        plainregistry.push(bases.busybox_image(), f"{running.host}/hub/base/busybox:1")
        yield running


def test_a_base_from_a_mirror(coopery: Coopery, registry: Registry, mirror: Registry, project: Path) -> None:
    name = f"{registry.host}/mirrored/app:1"
    metadata = project.parent / "metadata.json"
    coopery(
        *("build", "--registry-map", f"gcr.io={mirror.host}/hub", "--skip-default-registry-fallback"),
        *("--parallel", "1", "--push", "-t", name, "--metadata-file", metadata, project),
    )
    built = plainregistry.pull(name)
    base = plainregistry.pull(f"{mirror.host}/hub/base/busybox:1")
    assert built.layers[: len(base.layers)] == base.layers
    assert mirror.host not in json.dumps([built.config, built.manifest]) + metadata.read_text()


def test_the_cache_does_not_care_where_a_base_came_from(
    coopery: Coopery, registry: Registry, mirror: Registry, project: Path
) -> None:
    plainregistry.push(bases.busybox_image(), f"{registry.host}/base/busybox:1")
    name = f"{registry.host}/mirrored/twice:1"
    coopery("build", "--registry-map", f"gcr.io={mirror.host}/hub", "--push", "-t", name, project)
    first = plainregistry.pull(name)
    # The variable, another mirror, and one before it that doesn't answer.
    env = {"COOPERY_REGISTRY_MAP": f"gcr.io=127.0.0.1:1;gcr.io={registry.host}"}
    again = coopery("build", "--progress=plain", "--push", "-t", name, project, env=env)
    assert plainregistry.pull(name).digest == first.digest
    assert again.stderr.count("CACHED") == 2


def test_a_base_is_mounted_from_its_mirror(coopery: Coopery, mirror: Registry, project: Path) -> None:
    name = f"{mirror.host}/team/app:1"
    options = ("--registry-map", f"gcr.io={mirror.host}/hub", "--push", "-t", name)
    (project / "Dockerfile").write_text("FROM gcr.io/base/busybox:1\nENV one=two\n")
    coopery("build", *options, project)
    base = plainregistry.pull(f"{mirror.host}/hub/base/busybox:1")
    assert plainregistry.pull(name).layers == base.layers
    # Not a byte of the base was needed here.
    assert not list((coopery.home / "cache").rglob(base.manifest["layers"][0]["digest"].removeprefix("sha256:")))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--registry-map", "gcr.io"],
        ["--registry-mirror", "https://mirror.test/UPPER"],
        ["--registry-certificate", "r.test"],
        ["--registry-client-cert", "r.test=only.cert"],
        ["--insecure-registry", "host/path"],
        ["--parallel", "0"],
        ["--parallel", "x"],
    ],
)
def test_options_that_cannot_be_read(coopery: Coopery, project: Path, arguments: list[str]) -> None:
    done = coopery("build", *arguments, project, check=False)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_no_mirror_has_it(coopery: Coopery, registry: Registry, project: Path) -> None:
    """The error is the registry's own, in the Dockerfile's place, with the reason of each mirror."""
    options = ("--registry-map", f"gcr.io=127.0.0.1:1,{registry.host}/nowhere", "--skip-default-registry-fallback")
    done = coopery("build", *options, project, check=False)
    assert done.returncode == 8
    for part in ("Dockerfile:1", registry.host, "127.0.0.1:1 refused the connection"):
        assert part in done.stderr
