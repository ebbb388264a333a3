"""Fixtures for tests of the registry client."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from registry_support import (
    Reply,
    Request,
    ScriptedServer,
    TokenServer,
    certificate,
    real_registry,
)

from support.registries import basic_auth


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in ("docker-registry", "openssl") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    return tmp_path_factory.mktemp("registries")


@pytest.fixture(scope="session")
def open_registry(workplace: Path) -> Iterator[str]:
    """`host:port` of a registry that lets anybody in."""
    with real_registry(workplace / "open") as host:
        yield host


@pytest.fixture(scope="session")
def new_registry(workplace: Path) -> Iterator[str]:
    """`host:port` of a registry of distribution 3, which tells how much of an upload it kept."""
    program = shutil.which("registry")
    if not program:
        pytest.skip("needs distribution 3 (`registry` on the PATH)")
    with real_registry(workplace / "new", program=program) as host:
        yield host


@pytest.fixture(params=["docker-registry", "registry"])
def fresh_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """`host:port` of an empty registry: of Debian's distribution 2, and of distribution 3."""
    program = shutil.which(request.param)
    if not program:
        pytest.skip(f"needs {request.param} on the PATH")
    with real_registry(tmp_path / "fresh", program=program) as host:
        yield host


@pytest.fixture(scope="session")
def basic_registry(workplace: Path) -> Iterator[str]:
    """`host:port` of a registry that wants USER and PASSWORD."""
    with real_registry(workplace / "basic", basic_auth(workplace / "basic")) as host:
        yield host


@pytest.fixture(scope="session")
def token_server(workplace: Path) -> Iterator[TokenServer]:
    server = TokenServer(workplace / "issuer")
    yield server
    server.close()


@pytest.fixture(scope="session")
def token_registry(workplace: Path, token_server: TokenServer) -> Iterator[str]:
    """`host:port` of a registry that wants tokens of `token_server`."""
    with real_registry(workplace / "token", token_server.config()) as host:
        yield host


@pytest.fixture(scope="session")
def tls_registry(workplace: Path) -> Iterator[tuple[str, Path]]:
    """`host:port` of a registry that speaks HTTPS, and the certificate to trust."""
    pair = certificate(workplace / "tls")
    with real_registry(workplace / "tls", tls=pair) as host:
        yield host, pair[0]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], Reply]], ScriptedServer]]:
    """Starts servers that answer with a function of the request."""
    servers: list[ScriptedServer] = []

    def start(answer: Callable[[Request], Reply]) -> ScriptedServer:
        servers.append(ScriptedServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
