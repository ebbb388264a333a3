"""A small project to build, and what came of it as told by an independent reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from plainoci import Node, flatten
from plainregistry import Pulled, Registry, pull
from support.command import Coopery


@dataclass(frozen=True, slots=True)
class Built:
    """One build: what the command said, and the image in the registry."""

    done: CompletedProcess[str]
    reference: str

    @property
    def image(self) -> Pulled:
        return pull(self.reference)

    @property
    def config(self) -> dict[str, Any]:
        return self.image.config

    @property
    def tree(self) -> dict[str, Node]:
        return flatten(self.image.layers)


Build = Callable[..., Built]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty build context."""
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def build(coopery: Coopery, registry: Registry, base_image: str, project: Path) -> Build:
    """Builds a Dockerfile text in `project` and pushes the result; `FROM base` stands for the small base image."""
    serial = 0

    def run(
        dockerfile: str,
        *args: str,
        files: Mapping[str, str | bytes] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Built:
        nonlocal serial
        serial += 1
        for name, content in (files or {}).items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        (project / "Dockerfile").write_text(dockerfile)
        reference = f"{registry.host}/test/{coopery.home.parent.name.lower()}:{serial}"
        done = coopery(
            "build",
            "--progress=plain",
            "--build-context",
            f"base=docker-image://{base_image}",
            "--push",
            "-t",
            reference,
            *args,
            str(project),
            env=env,
            check=check,
        )
        return Built(done, reference)

    return run


def metadata(path: Path) -> dict[str, Any]:
    """A metadata file's content."""
    value: dict[str, Any] = json.loads(path.read_text())
    return value
