"""Object stores for tests: moto for S3, Azurite for Azure, fake-gcs-server behind `gcs_front` for Google."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.gcs_front import running_front

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "devstoreaccount1"  # Azurite's own, with its well-known key
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A running store: how `--cache-from` names it, with what environment, and its URL."""

    type: str
    spec: str  # without name and prefix
    url: str
    env: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def running_store(type_: str, directory: Path) -> Iterator[ObjectStore]:
    """A store of this type with an empty bucket `cache`; skips the test where its server isn't installed."""
    pytest.importorskip("obstore", reason="needs obstore")
    with {"s3": _moto, "azblob": _azurite, "gcs": _gcs}[type_](directory) as store:
        yield store


@contextlib.contextmanager
def _moto(directory: Path) -> Iterator[ObjectStore]:
    pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with _process(command, directory, rb"Running on (http://127\.0\.0\.1:[0-9]+)") as url:
        _send("PUT", f"{url}/cache")
        spec = f"type=s3,bucket=cache,region=us-east-1,endpoint_url={url}"
        yield ObjectStore("s3", spec, url, {"AWS_ACCESS_KEY_ID": "builder", "AWS_SECRET_ACCESS_KEY": "hush-hush"})


@contextlib.contextmanager
def _azurite(directory: Path) -> Iterator[ObjectStore]:
    places = [os.environ.get("COOPERY_NODE_CLIENTS", ""), str(ROOT / ".venv/node/node_modules")]
    program = next((found for place in places if (found := shutil.which("azurite-blob", path=f"{place}/.bin"))), None)
    if not program:
        pytest.skip("needs azurite (npm) in .venv/node or COOPERY_NODE_CLIENTS")
    command = [program, "--blobPort", "0", "--location", str(directory / "azurite"), "--silent", "--disableTelemetry"]
    with _process([*command, "--skipApiVersionCheck"], directory, rb"listens on (http://127\.0\.0\.1:[0-9]+)") as url:
        _azure_container(url)
        spec = f"type=azblob,account_url={url}/{ACCOUNT},account_name={ACCOUNT},container=cache"
        yield ObjectStore("azblob", f"{spec},secret_access_key={KEY}", url)


def _azure_container(url: str) -> None:
    """Make the container, in a request signed as Azure's "Authorize with Shared Key" has it."""
    date = email.utils.formatdate(usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
    signed += f"/{ACCOUNT}/{ACCOUNT}/cache\nrestype:container"
    mac = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}"
    _send("PUT", f"{url}/{ACCOUNT}/cache?restype=container", headers)


@contextlib.contextmanager
def _gcs(directory: Path) -> Iterator[ObjectStore]:
    program = shutil.which("fake-gcs-server")
    if not program:
        pytest.skip("needs fake-gcs-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    started = rb"server started at (http://127\.0\.0\.1:[0-9]+)"
    with _process([*command, "-public-host", f"127.0.0.1:{port}"], directory, started) as url:
        body = json.dumps({"name": "cache"}).encode()
        _send("POST", f"{url}/storage/v1/b?project=tests", {"Content-Type": "application/json"}, body)
        with running_front(url) as front:
            yield ObjectStore("gcs", "type=gcs,bucket=cache", front, {"STORAGE_EMULATOR_HOST": front})


def _send(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> None:
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request) as answer:
        answer.read()


@contextlib.contextmanager
def _process(command: list[str], directory: Path, started: bytes) -> Iterator[str]:
    """Runs a server until the end; what `started` finds in its output is its URL."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{Path(command[0]).name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=directory)
    try:
        while not (found := re.search(started, log.read_bytes())):
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        yield found[1].decode()
    finally:
        process.terminate()
        process.wait()
