"""Fixtures for every kind of test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT / "scripts", ROOT / "tests"):  # plainoci, plainregistry and support, wherever pytest was started
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import plainregistry  # noqa: E402
from plainregistry import Registry  # noqa: E402
from support import bases, registries  # noqa: E402
from support.command import Coopery  # noqa: E402


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry on loopback, one for each test worker; `registry.host` is its `host:port`."""
    if registries.find_registry() is None:
        pytest.skip("needs docker-registry")
    with registries.running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def base_image(registry: Registry) -> str:
    """The reference of a small busybox image in `registry`: /bin/sh, users root, app (1000) and nobody."""
    if not bases.BUSYBOX.exists():
        pytest.skip("needs busybox-static")
    reference = f"{registry.host}/base/busybox:latest"
    plainregistry.push(bases.busybox_image(), reference)
    return reference


@pytest.fixture(scope="session")
def debian_image(registry: Registry) -> str:
    """The reference of a minimal Debian or Ubuntu in `registry`, apt included. Slow the first time on a machine."""
    if missing := bases.debian_missing():
        pytest.skip(missing)
    reference = f"{registry.host}/base/debian:latest"
    plainregistry.push(bases.debian_image(), reference)
    return reference


@pytest.fixture
def coopery(tmp_path: Path) -> Coopery:
    """Runs the command with a home of this test's own; status 0 is demanded unless `check=False`."""
    return Coopery(tmp_path / "home")
