"""A network of the tests' own: a certificate authority, and a proxy that knows names no DNS has."""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Authority:
    """A certificate authority; `certificate` is what to trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests' authority"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def issue(self, name: str, *others: str) -> tuple[Path, Path]:
        """A certificate for the names and addresses, and its key."""
        cert, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        names = ",".join(("IP:" if one[0].isdigit() else "DNS:") + one for one in (name, *others))
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"),
            *("-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-days", "2", "-copy_extensions", "copyall", "-out", str(cert)),
        )
        return cert, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Proxy:
    """A forward proxy on loopback: tunnels by CONNECT, and requests in absolute form. `asked` is what it was asked.

    `routes` says where names (`HOST:PORT`) really are; others can't be reached. With `user` it wants Basic
    credentials, and like a real proxy it keeps them to itself.
    """

    def __init__(self, routes: Mapping[str, str], user: str = "") -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []  # method, target, headers
        expected = "Basic " + base64.b64encode(user.encode()).decode() if user else ""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def admitted(self) -> bool:
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.asked.append((self.command, self.path, headers))
                if expected and headers.get("proxy-authorization") != expected:
                    self.answer(407, {"Proxy-Authenticate": "Basic realm=proxy"})
                    return False
                return True

            def answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_CONNECT(self) -> None:
                self.close_connection = True
                if not self.admitted():
                    return
                if self.path not in routes:
                    self.answer(502, {})
                    return
                host, _, port = routes[self.path].rpartition(":")
                with socket.create_connection((host, int(port))) as there:
                    self.send_response(200, "Connection established")
                    self.end_headers()
                    _relay(self.connection, there)

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if not self.admitted():
                    return
                parts = urlsplit(self.path)
                place = routes.get(f"{parts.hostname}:{parts.port or 80}")
                if not place:
                    self.answer(502, {})
                    return
                there = http.client.HTTPConnection(place)
                kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
                there.request(self.command, parts._replace(scheme="", netloc="").geturl(), body or None, kept)
                reply = there.getresponse()
                content = reply.read()
                headers = {name: value for name, value in reply.getheaders() if name.lower() != "transfer-encoding"}
                self.answer(reply.status, headers, content)
                there.close()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS to clients."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def targets(self) -> set[str]:
        """The servers it was asked for."""
        return {target if method == "CONNECT" else urlsplit(target).netloc for method, target, _ in self.asked}


def _relay(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            for ready in select.select([one, other], [], [])[0]:
                data = ready.recv(1 << 16)
                if not data:
                    return
                (other if ready is one else one).sendall(data)
