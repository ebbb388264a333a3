"""Git repositories to fetch from, and servers for them: smart HTTP, git's own daemon, SSH. All on loopback."""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

#: When every commit is made: 2021-01-01, so that equal commits have equal hashes.
COMMITTED = 1_609_459_200

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": f"{COMMITTED} +0000",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.com",
    "GIT_COMMITTER_DATE": f"{COMMITTED} +0000",
}


def git(directory: Path, *args: str) -> str:
    """What git prints, run in `directory` with settings of the tests' own."""
    command = ["git", "-c", "protocol.file.allow=always", *args]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _ENVIRONMENT
    return subprocess.run(command, cwd=directory, env=env, check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class Work:
    """A repository to commit to; `publish` makes it one that is served."""

    path: Path

    @classmethod
    def make(cls, path: Path, **options: str) -> Work:
        """A new one, with the branch `main`."""
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--initial-branch=main", *(f"--{key}={value}" for key, value in options.items()))
        return cls(path)

    def commit(self, files: Mapping[str, str | bytes], message: str = "change") -> str:
        """Write files, commit everything, and return the commit's hash."""
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(self.path, "add", "--all")
        git(self.path, "commit", "--quiet", "--allow-empty", "-m", message)
        return git(self.path, "rev-parse", "HEAD")

    def publish(self, served: Path) -> Path:
        """Put all branches and tags into the bare repository `served`, made if need be."""
        if not served.exists():
            served.parent.mkdir(parents=True, exist_ok=True)
            kind = git(self.path, "rev-parse", "--show-object-format")
            git(self.path, "init", "--quiet", "--bare", f"--object-format={kind}", str(served))
            git(served, "symbolic-ref", "HEAD", "refs/heads/main")
            git(served, "config", "http.receivepack", "false")
        git(self.path, "push", "--quiet", "--force", str(served), "--all")
        git(self.path, "push", "--quiet", "--force", str(served), "--tags")
        git(served, "update-server-info")
        return served


@dataclass
class Asked:
    """A request that a server got."""

    method: str
    path: str  # with its query
    authorization: str
    body: bytes


@dataclass
class Site:
    """A web server: repositories below `root` over git's smart protocol, and other files as they are."""

    root: Path
    host: str = ""
    credentials: tuple[str, str] | None = None  # that it demands
    bearer: str = ""  # or this token
    redirects: dict[str, str] = field(default_factory=dict)  # of paths that begin so, to addresses that do
    asked: list[Asked] = field(default_factory=list)
    dumb: bool = False  # files only: git's old protocol
    sent: int = 0  # bytes of answers to git

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def admits(self, authorization: str) -> bool:
        """Whether somebody with this header gets in."""
        kind, _, value = authorization.partition(" ")
        if self.bearer:
            return (kind.lower(), value) == ("bearer", self.bearer)
        if self.credentials:
            return kind.lower() == "basic" and base64.b64decode(value).decode() == ":".join(self.credentials)
        return True

    def fetched(self) -> int:
        """How often a pack was fetched."""
        return sum(b"want " in one.body for one in self.asked)


@contextlib.contextmanager
def site(root: Path, **options: object) -> Iterator[Site]:
    """Serve what is below `root` on a free port of 127.0.0.1."""
    root.mkdir(parents=True, exist_ok=True)
    served = Site(root, **options)  # type: ignore[arg-type]

    class Handler(_Handler):
        site = served

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield served
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self._answer(b"".join(parts))
        else:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        site, authorization = self.site, self.headers.get("Authorization", "")
        site.asked.append(Asked(self.command, self.path, authorization, body))
        for start, target in site.redirects.items():
            if self.path.startswith(start):
                self.send_response(302)
                self.send_header("Location", target + self.path.removeprefix(start))
                self.end_headers()
                return
        if not site.admits(authorization):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        if ".git/" in path and not site.dumb:
            self._run_git(path, query, body)
        elif (site.root / path.lstrip("/")).is_file():
            content = (site.root / path.lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_error(404)

    def _run_git(self, path: str, query: str, body: bytes) -> None:
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.site.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.site.sent += len(content)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def _for_each_connection(command: list[str], log: BinaryIO | int) -> Iterator[int]:
    """Run a program for each connection to a port of 127.0.0.1, as inetd does; the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            subprocess.run(command, stdin=self.request, stdout=self.request, stderr=log)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@contextlib.contextmanager
def git_daemon(root: Path) -> Iterator[str]:
    """`git daemon` for what is below `root`; its host and port."""
    command = ["git", "-c", "safe.directory=*", "daemon", "--inetd", "--export-all", f"--base-path={root}"]
    with _for_each_connection([*command, "--informative-errors", str(root)], subprocess.DEVNULL) as port:
        yield f"127.0.0.1:{port}"


def ssh_missing() -> str:
    """Why SSH can't be tried here, or nothing."""
    lacking = [name for name in ("ssh", "ssh-keygen", "ssh-agent", "ssh-add") if shutil.which(name) is None]
    lacking += [] if Path("/usr/sbin/sshd").exists() else ["sshd"]
    return f"needs {', '.join(lacking)}" if lacking else ""


@contextlib.contextmanager
def ssh_server(state: Path, key: Path) -> Iterator[tuple[str, int]]:
    """An SSH server of this test's own, that lets in whoever has `key`: the user's name, and the port."""
    state.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(state / "host")], check=True)
    authorized = state / "authorized"
    authorized.write_bytes(key.with_suffix(".pub").read_bytes())
    config = state / "sshd_config"
    config.write_text(
        f"HostKey {state}/host\nAuthorizedKeysFile {authorized}\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        "AcceptEnv GIT_PROTOCOL\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    name = pwd.getpwuid(os.geteuid()).pw_name
    with (
        (state / "log").open("wb") as log,
        _for_each_connection(["/usr/sbin/sshd", "-i", "-e", "-f", str(config)], log) as port,
    ):
        yield name, port
