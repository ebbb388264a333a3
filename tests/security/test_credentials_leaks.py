"""Credentials are sought, raw and in Base64, in every byte that leaves for whom they are not for, and in all output."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import sys
import tarfile
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

if (place := str(Path(__file__).parents[1] / "registry")) not in sys.path:
    sys.path.insert(0, place)

from registry_support import Reply, Request, ScriptedServer

from support.command import Coopery

# One for each place; none is like another, nor like anything else.
OWN = "Own7-kZ3qPw1-registry"
TEAM = "Team4-vB8nXc5-namespace"
OTHER = "Other2-hG6tYs9-lookalike"
HUB = "Hub9-dR1mLk0-dockerhub"
IDENTITY = "Ident5-wE4jUf2-refresh"
ALL = (OWN, TEAM, OTHER, HUB, IDENTITY)


class Wire:
    """A server, and a recording of every byte that it was sent."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.server = ScriptedServer(answer)
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            host, port = self.server.host.split(":")
            far = socket.create_connection((host, int(port)))
            threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, record: bool) -> None:
        try:
            while data := source.recv(65536):
                if record:
                    self.heard += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def wire() -> Iterator[Callable[[Callable[[Request], Reply]], Wire]]:
    wires: list[Wire] = []

    def start(answer: Callable[[Request], Reply]) -> Wire:
        wires.append(Wire(answer))
        return wires[-1]

    yield start
    for one in wires:
        one.close()


Start = Callable[[Callable[[Request], Reply]], Wire]


def forms(secret: str) -> list[bytes]:
    """The secret as it is, in hexadecimal, reversed, and in Base64 wherever it stands in something longer."""
    raw = secret.encode()
    found = [raw, raw.hex().encode(), raw[::-1], urllib.parse.quote(secret, safe="").encode()]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw + b"\0" * 3)
        start, end = (0, 2, 3)[before], (before + len(raw)) * 8 // 6
        found += [encoded[start:end], encoded[start:end].translate(bytes.maketrans(b"+/", b"-_"))]
    return found


def seen(secret: str, data: bytes) -> bool:
    return any(form in data for form in forms(secret))


def test_forms_are_found_inside_other_things() -> None:
    for before in ("", "a", "ab", "abc", "user:"):
        for after in ("", "x", "xy"):
            assert seen(OWN, base64.b64encode(f"{before}{OWN}{after}".encode()))
    assert not seen(OWN, base64.b64encode(TEAM.encode()))


def auth(secret: str, user: str = "builder") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


@dataclass
class Image:
    """A registry's content: an image of one layer."""

    layer: bytes = b""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""

    def __post_init__(self) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("file")
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"data"))
        self.layer = buffer.getvalue()
        rootfs = {"type": "layers", "diff_ids": [digest(self.layer)]}
        config = json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": rootfs}).encode()
        self.blobs = {digest(data): data for data in (self.layer, config)}
        kind = "application/vnd.oci.image"
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": digest(self.layer), "size": len(self.layer)}],
        }
        self.manifest = json.dumps(manifest).encode()

    def __call__(self, request: Request) -> Reply:
        if request.path == "/v2/":
            return Reply()
        if "/manifests/" in request.path and request.method in ("GET", "HEAD"):
            headers = {
                "Content-Type": json.loads(self.manifest)["mediaType"],
                "Docker-Content-Digest": digest(self.manifest),
            }
            return Reply(200, headers, self.manifest)
        if request.method == "POST":
            return Reply(202, {"Location": f"{request.path}session"})
        if request.method in ("PUT", "PATCH", "DELETE"):
            return Reply(201)
        data = self.blobs.get(request.path.rpartition("/")[2])
        return Reply(404) if data is None else Reply(body=data)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def demanding(challenge: str, then: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    return lambda r: then(r) if r.authorization else Reply(401, {"WWW-Authenticate": challenge})


def build(
    coopery: Coopery,
    folder: Path,
    auths: dict[str, dict[str, str]],
    base: str,
    *arguments: str,
    progress: str = "plain",
) -> bytes:
    """Builds FROM `base` with those credentials, whatever comes of it; everything it printed."""
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY Dockerfile /\n")
    environ = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": auths})}
    done = coopery("build", "--progress", progress, *arguments, str(folder), env=environ, check=False)
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert "internal error" not in output
    return output.encode()


# ------------------------------------------------------------------------------------------------ other hosts


@pytest.mark.parametrize("challenge", ["Basic realm=give", 'Bearer realm="{0}/t",service="s"', 'Bearer realm="{1}/t"'])
def test_hostile_registry_hears_no_credential_of_others(
    coopery: Coopery, tmp_path: Path, wire: Start, challenge: str
) -> None:
    tokens = wire(lambda request: Reply(body=b'{"token": "t"}'))
    hostile: list[Wire] = []

    def answer(request: Request) -> Reply:
        return Reply(401, {"WWW-Authenticate": challenge.format(hostile[0].url, tokens.url)})

    hostile.append(wire(lambda r: Reply(body=b'{"token": "t"}') if r.path == "/t" else answer(r)))
    host, port = hostile[0].host.split(":")
    auths = {
        host: auth(OWN),  # another port
        f"localhost:{port}": auth(OTHER),  # another name
        f"{hostile[0].host}.example.com": auth(OTHER),
        f"https://{hostile[0].host}@example.com/": auth(OTHER),
        f"{hostile[0].host}/sibling": auth(TEAM),
        f"{hostile[0].host}/tea": auth(TEAM),
        f"{hostile[0].host}/team/app/deeper": auth(TEAM),
        "https://index.docker.io/v1/": auth(HUB),
        "r.example": {"identitytoken": IDENTITY},
        f"{host}:1{port}": {"registrytoken": IDENTITY},
    }
    name = f"{hostile[0].host}/team/app:1"
    output = build(coopery, tmp_path, auths, name, "--push", "-t", name)
    heard = hostile[0].heard + tokens.heard
    assert hostile[0].heard
    for secret in ALL:
        assert not seen(secret, heard)
        assert not seen(secret, output)


def test_sibling_namespaces_hear_only_their_own(coopery: Coopery, tmp_path: Path, wire: Start) -> None:
    image = Image()
    server = wire(demanding("Basic realm=x", image))
    auths = {f"{server.host}/team": auth(TEAM), f"{server.host}/other": auth(OTHER), "docker.io": auth(HUB)}
    build(coopery, tmp_path, auths, f"{server.host}/team/app:1")
    assert seen(TEAM, server.heard)
    assert not seen(OTHER, server.heard)
    assert not seen(HUB, server.heard)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_takes_no_credential_along(coopery: Coopery, tmp_path: Path, wire: Start, status: int) -> None:
    thief = wire(lambda request: Reply(401, {"WWW-Authenticate": "Basic realm=give, Bearer realm=give"}))
    image = Image()

    def answer(request: Request) -> Reply:
        if "/blobs/" in request.path or request.method != "GET":
            return Reply(status, {"Location": f"{thief.url}{request.path}"})
        return image(request)

    server = wire(demanding("Basic realm=x", answer))
    auths = {server.host: auth(OWN), thief.host.split(":")[0]: auth(OTHER)}
    output = build(coopery, tmp_path, auths, f"{server.host}/team/app:1")
    assert thief.heard
    for secret in ALL:
        assert not seen(secret, thief.heard)
        assert not seen(secret, output)


def test_upload_elsewhere_takes_no_credential_along(coopery: Coopery, tmp_path: Path, wire: Start) -> None:
    thief = wire(lambda request: Reply(401, {"WWW-Authenticate": "Basic realm=give"}))
    image = Image()

    def answer(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, {"Location": f"{thief.url}/upload?state=1"})
        return Reply(404) if request.method == "HEAD" and "/blobs/" in request.path else image(request)

    server = wire(demanding("Basic realm=x", answer))
    name = f"{server.host}/team/app:1"
    output = build(coopery, tmp_path, {server.host: auth(OWN)}, name, "--push", "-t", name)
    assert thief.heard
    assert not seen(OWN, thief.heard)
    assert not seen(OWN, output)


def test_token_server_redirects_nothing(coopery: Coopery, tmp_path: Path, wire: Start) -> None:
    thief = wire(lambda request: Reply(body=b'{"token": "t"}'))
    tokens = wire(lambda request: Reply(307, {"Location": f"{thief.url}/token"}))
    server = wire(demanding(f'Bearer realm="{tokens.url}/token"', Image()))
    for entry in (auth(OWN), {"identitytoken": IDENTITY}):
        output = build(coopery, tmp_path, {server.host: entry}, f"{server.host}/team/app:1")
        assert b"redirects to another host" in output
    assert seen(OWN, tokens.heard)
    assert seen(IDENTITY, tokens.heard)
    assert thief.heard == b""
    assert not seen(OWN, server.heard)


def test_mirror_hears_no_credential_of_docker_hub(coopery: Coopery, tmp_path: Path, wire: Start) -> None:
    mirror = wire(demanding("Basic realm=give", Image()))
    auths = {"https://index.docker.io/v1/": auth(HUB), "docker.io/library": auth(HUB), mirror.host: auth(OWN)}
    options = ("--registry-mirror", mirror.host, "--skip-default-registry-fallback")
    output = build(coopery, tmp_path, auths, "debian:1", *options)
    assert seen(OWN, mirror.heard)
    assert not seen(HUB, mirror.heard)
    assert not seen(HUB, output)


# ------------------------------------------------------------------------------------------------ output


@pytest.mark.parametrize("progress", ["plain", "json"])
@pytest.mark.parametrize("status", [400, 403, 500])
def test_registry_that_echoes_gets_nothing_into_the_log(
    coopery: Coopery, tmp_path: Path, wire: Start, progress: str, status: int
) -> None:
    """Whatever it was sent comes back, decoded too, in its errors and headers."""

    def echo(request: Request) -> Reply:
        sent = request.authorization
        decoded = base64.b64decode(sent.partition(" ")[2]).decode() if sent.startswith("Basic ") else ""
        errors = [{"code": OWN, "message": f"{sent} means {decoded}"}, {"code": "X", "message": decoded}]
        return Reply(status, {"Retry-After": "0", "X-Echo": sent}, json.dumps({"errors": errors}).encode())

    server = wire(demanding("Basic realm=x", echo))
    name = f"{server.host}/team/app:1"
    output = build(coopery, tmp_path, {server.host: auth(OWN)}, "scratch", "--push", "-t", name, progress=progress)
    assert seen(OWN, server.heard)
    assert not seen(OWN, output)


def test_token_that_is_echoed_gets_nothing_into_the_log(coopery: Coopery, tmp_path: Path, wire: Start) -> None:
    token = "Tok3-issued-and-echoed-1"

    def issue(request: Request) -> Reply:
        return Reply(body=json.dumps({"token": token}).encode())

    tokens = wire(issue)

    def echo(request: Request) -> Reply:
        errors = [{"code": "DENIED", "message": f"{request.authorization} won't do"}]
        return Reply(403, body=json.dumps({"errors": errors}).encode())

    server = wire(demanding(f'Bearer realm="{tokens.url}/token"', echo))
    output = build(coopery, tmp_path, {server.host: auth(OWN)}, f"{server.host}/team/app:1")
    assert b"won't do" in output
    assert not seen(token, output)
    assert not seen(OWN, output)


def test_password_that_a_file_of_the_build_holds_is_masked(coopery: Coopery, tmp_path: Path, wire: Start) -> None:
    """A credential that was used is masked in the build's own lines, too."""
    image = Image()
    server = wire(demanding("Basic realm=x", image))
    (tmp_path / "Dockerfile").write_text(f"FROM {server.host}/team/app:1\nCOPY Dockerfile /{OWN}\n")
    environ = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": {server.host: auth(OWN)}})}
    for progress in ("plain", "json"):
        done = coopery("build", "--progress", progress, str(tmp_path), env=environ)
        assert "COPY Dockerfile /***" in done.stderr
        assert not seen(OWN, (done.stdout + done.stderr).encode())


def test_steps_see_no_credential(coopery: Coopery, base_image: str, tmp_path: Path) -> None:
    """Neither in their environment nor in that of any process they can see."""
    script = "(env; cat /proc/*/environ /proc/*/cmdline; find / -xdev -name config.json -exec cat {} +) > /seen 2>&1"
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\nRUN {script} || true\n")
    home = coopery.home / "docker"
    home.mkdir(parents=True)
    (home / "config.json").write_text(json.dumps({"auths": {"other.example": auth(TEAM)}}))
    environ = {
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"r.example": auth(OWN)}}),
        "AWS_SECRET_ACCESS_KEY": OTHER,
        "AZURE_CLIENT_SECRET": HUB,
    }
    coopery("build", "-o", f"type=local,dest={tmp_path}/out", str(tmp_path), env=environ)
    found = (tmp_path / "out/seen").read_bytes()
    assert b"PATH=" in found
    for secret in ALL:
        assert not seen(secret, found)


def test_login_prints_and_keeps_no_plain_secret(coopery: Coopery, wire: Start) -> None:
    server = wire(demanding("Basic realm=x", lambda request: Reply()))
    done = coopery("login", server.host, "-u", "builder", "--password-stdin", stdin=OWN.encode())
    assert seen(OWN, server.heard)
    assert not seen(OWN, (done.stdout + done.stderr).encode())
    kept = [path for path in coopery.home.rglob("*") if path.is_file() and seen(OWN, path.read_bytes())]
    assert kept == [coopery.home / "docker/config.json"]
