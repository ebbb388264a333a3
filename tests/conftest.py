"""Fixtures for every kind of test."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("coopery", deadline=None)
hypothesis.settings.load_profile("coopery")

ROOT = Path(__file__).resolve().parents[1]
for place in (ROOT / "scripts", ROOT / "tests"):  # plainoci, plainregistry and support, wherever pytest was started
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import plainregistry  # noqa: E402
from plainregistry import Registry  # noqa: E402
from support import bases, registries  # noqa: E402
from support.command import Coopery  # noqa: E402
from support.object_stores import ObjectStore, running_store  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=100, metavar="N", help="how many inputs a fuzz test tries")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry on loopback, one for each test worker; `registry.host` is its `host:port`."""
    if registries.find_registry() is None:
        pytest.skip("needs docker-registry")
    with registries.running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ObjectStore]]:
    """Gives the running object store of a type (s3, azblob, gcs), started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        running: dict[str, ObjectStore] = {}

        def get(type_: str) -> ObjectStore:
            if type_ not in running:
                running[type_] = stack.enter_context(running_store(type_, tmp_path_factory.mktemp(type_)))
            return running[type_]

        yield get


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
