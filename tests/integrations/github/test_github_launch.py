"""What the action's last step does before it becomes `coopery ci`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from github_runner import ACTION, obeyed


@pytest.fixture(scope="module")
def launch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("github_launch", ACTION / "launch.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(directory: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    (directory / "temp").mkdir()
    return subprocess.run(
        [sys.executable, "-I", str(ACTION / "launch.py")],
        env={
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(directory / "temp"),
            "GITHUB_WORKSPACE": str(directory),
            "COOPERY_INPUTS": json.dumps(inputs),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
        },
        cwd=directory,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("text", "extras"),
    [
        ("ghcr.io/acme/shop", []),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop", ["aws"]),
        ("public.ecr.aws/acme/shop", ["aws"]),
        ("europe-docker.pkg.dev/acme/shop/shop\nacme.azurecr.io/shop", ["azure", "google"]),
    ],
)
def test_extras_are_those_of_the_registries(
    text: str, extras: list[str], launch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch.extras({"images": text}) == extras
    (tmp_path / "coopery.yaml").write_text(f"images: |\n  {text}\n")
    assert launch.extras({"config": ""}) == extras
    (tmp_path / "coopery.yaml").rename(tmp_path / "other.yaml")
    assert launch.extras({"config": "other.yaml"}) == extras
    assert launch.extras({}) == []


@pytest.mark.parametrize(
    ("runner", "user", "restriction", "lifted"),
    [
        ("github-hosted", 1001, "1", True),
        ("github-hosted", 1001, "0", False),
        ("github-hosted", 1001, None, False),
        ("github-hosted", 0, "1", False),
        ("self-hosted", 1001, "1", False),
        ("", 1001, "1", False),
    ],
)
def test_user_namespaces_are_allowed_on_githubs_machines_alone(
    runner: str,
    user: int,
    restriction: str | None,
    lifted: bool,
    launch: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sudo").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >>{tmp_path}/asked\n")
    (tmp_path / "sudo").chmod(0o755)
    if restriction is not None:
        (tmp_path / "restriction").write_text(f"{restriction}\n")
    monkeypatch.setattr(launch, "RESTRICTION", str(tmp_path / "restriction"))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    launch.allow_user_namespaces(runner)
    asked = tmp_path / "asked"
    expected = "-n sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0\n"
    assert (asked.read_text() if asked.exists() else "") == (expected if lifted else "")
    monkeypatch.setenv("PATH", "/nowhere")
    launch.allow_user_namespaces(runner)


def test_modes(tmp_path: Path) -> None:
    done = _run(tmp_path, mode="push\n::set-env name=A::b")
    assert done.returncode == 2
    (command,) = obeyed(done.stderr)
    assert (command.name, command.text) == ("error", "The input mode is neither build nor merge.")


def test_what_cannot_be_installed(tmp_path: Path) -> None:
    """Also: modules of the workspace are not ours."""
    for name in ("pip", "venv", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(0)")
    done = _run(tmp_path)
    assert done.returncode == 10
    commands = [command for command in obeyed(done.stderr) if command.name != "group"]
    assert [command.name for command in commands] == ["endgroup", "error"]
    assert not done.stdout
