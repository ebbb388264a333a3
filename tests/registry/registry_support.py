"""Servers that the registry tests run against: real registries, a token server for them, and one that misbehaves."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from coopery.oci.descriptor import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest
from coopery.oci.reference import Reference
from coopery.ports import Credential
from coopery.registry import RegistryClient
from coopery.registry.mirrors import Mirrored
from coopery.registry.settings import RegistrySettings
from coopery.registry.transport import Transport
from support.registries import PASSWORD, USER

SERVICE = "tests"


# ------------------------------------------------------------------------------------------------ clients


class Credentials:
    """A provider that gives its credentials in turn, the last one for ever, and notes what it was asked."""

    def __init__(self, *credentials: Credential | None) -> None:
        self.credentials = list(credentials) or [None]
        self.asked: list[tuple[str, str]] = []

    def get(self, registry: str, repository: str) -> Credential | None:
        self.asked.append((registry, repository))
        return self.credentials.pop(0) if len(self.credentials) > 1 else self.credentials[0]

    def advice(self, registry: str, repository: str, action: str) -> str:
        return ""


@dataclass
class Client:
    """A client whose pauses are noted rather than slept."""

    credentials: Credentials
    environ: dict[str, str] = field(default_factory=dict)
    settings: RegistrySettings | None = None
    connections: int = 6
    probe_seconds: float = 15.0
    pauses: list[float] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.transport = Transport(
            settings=self.settings,
            sleep=self.pauses.append,
            environ=self.environ,
            connections=self.connections,
            probe_seconds=self.probe_seconds,
        )
        self.registry = RegistryClient(self.credentials, transport=self.transport, clock=lambda: self.now)
        self.source = Mirrored(self.registry, self.transport.settings)


def client(*credentials: Credential | None, **options: object) -> Client:
    return Client(Credentials(*credentials), **options)  # type: ignore[arg-type]


def login() -> Credential:
    return Credential(USER, PASSWORD)


def blob_of(data: bytes, media_type: str = OCI_LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(data), len(data))


def push_image(registry: RegistryClient, reference: Reference, layer: bytes = b"layer") -> Descriptor:
    """Push an image of one layer under the reference's tag; its manifest's descriptor."""
    import io

    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]},
        }
    ).encode()
    for data, media_type in ((config, OCI_CONFIG), (layer, OCI_LAYER)):
        registry.push_blob(reference, blob_of(data, media_type), lambda data=data: io.BytesIO(data))
    manifest = Manifest(blob_of(config, OCI_CONFIG), (blob_of(layer),)).serialize()
    descriptor = blob_of(manifest, OCI_MANIFEST)
    registry.push_manifest(reference, descriptor, manifest)
    return descriptor


# ------------------------------------------------------------------------------------------------ real registries


@contextlib.contextmanager
def real_registry(
    folder: Path,
    auth: str = "",
    tls: tuple[Path, Path] | None = None,
    client_authority: Path | None = None,
    program: str = "",
) -> Iterator[str]:
    """Debian's docker-registry, or `program`, on a free port of 127.0.0.1; gives `host:port`. `auth` and `tls` are
    configuration; with `client_authority` it lets in only those who show a certificate of that authority.
    """
    program = program or shutil.which("docker-registry") or ""
    assert program, "the fixtures check for docker-registry"
    folder.mkdir(parents=True, exist_ok=True)
    clients = f', clientcas: ["{client_authority}"]' if client_authority else ""
    certificate = f', tls: {{certificate: "{tls[0]}", key: "{tls[1]}"{clients}}}' if tls else ""
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: info, accesslog: {disabled: true}}\n"
        f'storage: {{filesystem: {{rootdirectory: "{folder}/data"}}, delete: {{enabled: true}}}}\n'
        f'http: {{addr: "127.0.0.1:0", secret: tests{certificate}}}\n' + auth
    )
    process = subprocess.Popen([program, "serve", str(config)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr
    seen = []
    address = ""
    for line in process.stderr:
        seen.append(line.decode(errors="replace"))
        if "listening on" in seen[-1]:
            address = seen[-1].split("listening on ", 1)[1].split('"')[0].split(",")[0].strip()
            break
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    try:
        assert address, "".join(seen)
        yield address
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stderr.close()


def certificate(folder: Path, name: str = "tests") -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    arguments = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    arguments += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", "req", "-x509", *arguments], check=True, capture_output=True)
    return cert, key


# ------------------------------------------------------------------------------------------------ a server to script


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


@dataclass
class Reply:
    """`cut`: send only so many bytes of the body, then close the connection; -1 closes it without any answer."""

    status: int = 200
    headers: dict[str, str | list[str]] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None


class ScriptedServer:
    """An HTTP server on loopback whose answers a function gives; it notes all requests."""

    def __init__(self, answer: Callable[[Request], Reply], tls: tuple[Path, Path] | None = None) -> None:
        """`tls` is a certificate and its key, for a server that speaks HTTPS."""
        self.answer = answer
        self.requests: list[Request] = []
        self.open_requests = 0
        self.most_open_requests = 0
        lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(
                    self.command, parts.path, parse_qs(parts.query), headers, self.rfile.read(length) if length else b""
                )
                with lock:
                    owner.requests.append(request)
                    owner.open_requests += 1
                    owner.most_open_requests = max(owner.most_open_requests, owner.open_requests)
                try:
                    self.reply(owner.answer(request))
                finally:
                    with lock:
                        owner.open_requests -= 1

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

            def reply(self, reply: Reply) -> None:
                if reply.cut == -1:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                headers = {"Content-Length": str(len(reply.body))} | reply.headers
                for name, value in headers.items():
                    for one in value if isinstance(value, list) else [value]:
                        self.send_header(name, one)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
                if reply.cut is not None:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up is what several tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sent(self, method: str, part: str = "") -> list[Request]:
        """The requests of `method` whose path contains `part`."""
        return [request for request in self.requests if request.method == method and part in request.path]


# ------------------------------------------------------------------------------------------------ tokens


class TokenServer(ScriptedServer):
    """Gives JWTs that a real registry takes: USER may do everything, anybody may pull from public/."""

    REFRESH_TOKEN = "refresh-me"

    def __init__(self, folder: Path) -> None:
        self.certificate, self._key = certificate(folder, "issuer")
        lines = self.certificate.read_text().splitlines()
        self._x5c = "".join(line for line in lines if "CERTIFICATE" not in line)
        self.stale = 0  # so many of the next tokens are past their time already
        super().__init__(self._token)

    def config(self) -> str:
        return (
            f'auth: {{token: {{realm: "{self.url}/token", service: {SERVICE}, issuer: tests, '
            f'rootcertbundle: "{self.certificate}"}}}}\n'
        )

    def _token(self, request: Request) -> Reply:
        if request.method == "POST":
            form = parse_qs(request.body.decode())
            user = USER if form.get("refresh_token") == [self.REFRESH_TOKEN] else None
            scopes = form["scope"][0].split()
            refused = user is None
        else:
            expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            user = USER if request.authorization == expected else ""
            refused = bool(request.authorization) and not user
            scopes = request.query.get("scope", [])
        if refused:
            return Reply(401, body=b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong user name or password"}]}')
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            allowed = [one for one in actions.split(",") if user or (one == "pull" and name.startswith("public/"))]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        if self.stale:
            self.stale -= 1
            now -= 1000
        claims = {"iss": "tests", "sub": user, "aud": SERVICE, "iat": now, "nbf": now - 5, "exp": now + 300}
        claims["jti"] = str(len(self.requests))
        signed = ".".join(
            map(_segment, ({"typ": "JWT", "alg": "RS256", "x5c": [self._x5c]}, claims | {"access": access}))
        )
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(sign, input=signed.encode(), check=True, capture_output=True).stdout
        token = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
        key = "access_token" if request.method == "POST" else "token"
        return Reply(body=json.dumps({key: token, "expires_in": 300}).encode())


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# ------------------------------------------------------------------------------------------------ a registry to break


class FakeBlobs:
    """Just enough of a registry's blob API to put faults into: set `before`, which may answer in its place."""

    def __init__(self, *blobs: bytes) -> None:
        self.blobs = {str(Digest.of(data)): data for data in blobs}
        self.before: Callable[[Request], Reply | None] = lambda request: None
        self.ranges = True

    def __call__(self, request: Request) -> Reply:
        reply = self.before(request)
        if reply:
            return reply
        if request.path == "/v2/":
            return Reply()
        if request.path.endswith("/blobs/uploads/"):
            return Reply(202, {"Location": f"{request.path}session?_state=a%2Bb"})
        if request.method == "PUT" and "/uploads/" in request.path:
            digest = request.query["digest"][0]
            if "sha256:" + hashlib.sha256(request.body).hexdigest() != digest:
                return Reply(400, body=b'{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}')
            self.blobs[digest] = request.body
            return Reply(201, {"Docker-Content-Digest": digest})
        data = self.blobs.get(request.path.rpartition("/")[2])
        if data is None:
            return Reply(404, body=b'{"errors":[{"code":"BLOB_UNKNOWN","message":"no such blob"}]}')
        start = int(request.headers.get("range", "bytes=0-")[6:].rstrip("-")) if self.ranges else 0
        if start:
            return Reply(206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])
        return Reply(body=data)
