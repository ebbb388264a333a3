"""Other builders and the images that all build on, once for each test worker."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import conformance_bases
import conformance_copies
import conformance_peers
import pytest
from conformance_case import Case
from conformance_compare import Facts, facts

import plainregistry
from plainregistry import Registry
from support import bases
from support.command import Coopery


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], conformance_peers.Peer]]:
    """A builder by its name, started when it is first asked for; skips where it is missing."""
    started: dict[str, conformance_peers.Peer] = {}
    with contextlib.ExitStack() as stack:

        def get(name: str) -> conformance_peers.Peer:
            if reason := conformance_peers.missing(name):
                pytest.skip(reason)
            if name not in started:
                state = tmp_path_factory.mktemp(name)
                started[name] = stack.enter_context(conformance_peers.running(name, state))
            return started[name]

        yield get


@pytest.fixture(scope="session")
def names(registry: Registry, http: str) -> dict[str, str]:
    """What `@name` in a case's Dockerfile stands for."""
    if not bases.BUSYBOX.exists():
        pytest.skip("needs busybox-static")
    result = {"http": http}
    for name, make in conformance_bases.IMAGES.items():
        result[name] = f"{registry.host}/conformance/{name}:1"
        plainregistry.push(make(), result[name])
    return result


@pytest.fixture(scope="session")
def http() -> Iterator[str]:
    """A web server on loopback that has a dated file and an archive."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = conformance_copies.TAR if self.path.endswith(".gz") else b"from the web"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def shared_coopery(tmp_path_factory: pytest.TempPathFactory) -> Coopery:
    """The command with one home for all cases."""
    return Coopery(tmp_path_factory.mktemp("coopery"))


@pytest.fixture(scope="session")
def ours(
    tmp_path_factory: pytest.TempPathFactory, shared_coopery: Coopery, registry: Registry, names: dict[str, str]
) -> Callable[[Case], tuple[Path, Facts]]:
    """Builds a case with Coopery, once: its context, with the Dockerfile, and the image's facts."""
    done: dict[str, tuple[Path, Facts]] = {}

    def build(case: Case) -> tuple[Path, Facts]:
        if case.name not in done:
            context = tmp_path_factory.mktemp(case.name) / "context"
            case.write(context)
            text = re.sub(r"@(\w+)", lambda found: names.get(found[1], found[0]), case.dockerfile)
            (context / "Dockerfile").write_text(text)
            reference = f"{registry.host}/ours/{case.name}:1"
            options = [f"--build-arg={name}={value}" for name, value in case.args.items()]
            options += [f"--target={case.target}"] if case.target else []
            shared_coopery("build", "--progress=plain", "--push", "-t", reference, *options, context)
            done[case.name] = context, facts(plainregistry.pull(reference))
        return done[case.name]

    return build
