"""ADD of URLs: who is told who we are, checksums, archives, names; and several sources in one instruction."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.command import Coopery


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(name), 0o640
            tar.addfile(info, io.BytesIO(name.encode()))
    return buffer.getvalue()


TAR = archive("in/one", "in/two")
BODIES = {"/file": b"from the web", "/packed.tar.gz": gzip.compress(TAR, mtime=0), "/plain.tar": TAR}


@dataclass
class Web:
    """A web server: `/to/REST` leads to `elsewhere` and REST; `/secret` wants `Bearer t0ken-value`."""

    port: int = 0
    seen: list[tuple[str, str, str]] = field(default_factory=list)  # host, path, authorization
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def elsewhere(self) -> str:
        return f"http://localhost:{self.port}"


@pytest.fixture
def web() -> Iterator[Web]:
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            host = self.headers["Host"].rpartition(":")[0]
            state.seen.append((host, self.path, authorization))
            path = self.path.partition("?")[0]
            if path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", f"{state.elsewhere}/{path[4:]}")
                self.end_headers()
                return
            if path.startswith("/near/"):
                self.send_response(302)
                self.send_header("Location", f"/{path[6:]}")
                self.end_headers()
                return
            if path == "/secret":
                allowed = authorization == "Bearer t0ken-value"
                self.send_response(200 if allowed else 401)
                self.end_headers()
                self.wfile.write(b"inside" if allowed else b"")
                return
            body = BODIES.get("/" + path.rpartition("/")[2], b"from the web")
            self.send_response(200)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield state
        server.shutdown()


@dataclass
class Project:
    """Builds FROM scratch into a tar: no root needed."""

    coopery: Coopery
    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, lines: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        self.directory.mkdir(exist_ok=True)
        (self.directory / "Dockerfile").write_text(f"FROM scratch\n{lines}\n")
        output = f"type=tar,dest={self.directory.parent / 'out.tar'}"
        arguments = ("--progress=plain", "-o", output, *args, str(self.directory))
        return self.coopery("build", *arguments, env=self.env, check=check)

    def build(self, lines: str, *args: str) -> dict[str, bytes]:
        """The files that come of it."""
        self.run(lines, *args)
        with tarfile.open(self.directory.parent / "out.tar") as tar:
            members = {member.name: member for member in tar if member.isfile()}
            return {name: tar.extractfile(member).read() for name, member in members.items()}


@pytest.fixture
def project(coopery: Coopery, tmp_path: Path) -> Project:
    return Project(coopery, tmp_path / "project")


# ------------------------------------------------------------------------------------------------ who we are


def test_a_token_or_header_is_for_its_host_and_stays_secret(project: Project, web: Web, tmp_path: Path) -> None:
    project.env["TOKEN"] = "t0ken-value"
    secret = "--secret=id=HTTP_AUTH_TOKEN_127.0.0.1,env=TOKEN"
    assert project.build(f"ADD {web.url}/secret /", secret) == {"secret": b"inside"}
    printed = project.run(f"ADD {web.url}/secret /\nADD {web.url}/to/secret /x", secret, check=False)
    assert printed.returncode == 4
    assert "HTTP_AUTH_TOKEN_127.0.0.1" in printed.stderr
    assert ("localhost", "/secret", "") in web.seen
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            assert b"t0ken-value" not in path.read_bytes(), path
    assert "t0ken-value" not in printed.stderr
    project.env["HEADER"] = "Bearer t0ken-value"
    header = "--secret=id=HTTP_AUTH_HEADER_127.0.0.1,env=HEADER"
    assert project.build(f"ADD {web.url}/near/secret /inside", header) == {"inside": b"inside"}
    assert project.run(f"ADD {web.elsewhere}/secret /", header, check=False).returncode == 4
    assert {auth for host, _, auth in web.seen if host == "localhost"} == {""}


def test_a_user_in_the_address_counts_for_its_host_and_a_netrc_for_none(project: Project, web: Web) -> None:
    (project.coopery.home).mkdir(exist_ok=True)
    (project.coopery.home / ".netrc").write_text(
        "machine 127.0.0.1 login a password b\nmachine localhost login a password b\n"
    )
    project.build(f"ADD http://user:p%40ss@127.0.0.1:{web.port}/to/file /\nADD {web.url}/file /other")
    assert sorted(web.seen) == [
        ("127.0.0.1", "/file", ""),
        ("127.0.0.1", "/to/file", "Basic dXNlcjpwQHNz"),
        ("localhost", "/file", ""),
    ]


# ------------------------------------------------------------------------------------------------ checksums


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_checksum_holds_and_makes_further_questions_needless(project: Project, web: Web, algorithm: str) -> None:
    digits = hashlib.new(algorithm, BODIES["/file"]).hexdigest()
    line = f"ARG SUM={algorithm}:{digits}\nADD --checksum=$SUM {web.url}/file /"
    assert project.build(line) == {"file": b"from the web"}
    web.seen.clear()
    assert project.build(line) == {"file": b"from the web"}
    assert web.seen == []


def test_a_wrong_checksum_is_an_error_that_names_both(project: Project, web: Web) -> None:
    wrong, right = "0" * 64, hashlib.sha256(BODIES["/file"]).hexdigest()
    done = project.run(f"ADD --checksum=sha256:{wrong} {web.url}/file?x=signed /", check=False)
    assert done.returncode == 12
    assert f"sha256:{right}" in done.stderr
    assert f"sha256:{wrong} is expected" in done.stderr
    assert "Dockerfile:2" in done.stderr


# ------------------------------------------------------------------------------------------------ what is done with it


def test_archives_from_elsewhere_are_unpacked_when_asked(project: Project, web: Web) -> None:
    lines = (
        f"ADD --unpack=true {web.url}/packed.tar.gz /a\nADD --unpack {web.url}/file /b/\nADD {web.url}/plain.tar /c/"
    )
    assert project.build(lines) == {
        "a/in/one": b"in/one",
        "a/in/two": b"in/two",
        "b/file": b"from the web",
        "c/plain.tar": TAR,
    }
    project.directory.joinpath("local.tar").write_bytes(TAR)
    assert project.build("ADD --unpack=false local.tar /d/\nADD --link --unpack=true local.tar /e/") == {
        "d/local.tar": TAR,
        "e/in/one": b"in/one",
        "e/in/two": b"in/two",
    }


def test_a_file_is_called_what_its_address_says(project: Project, web: Web) -> None:
    web.headers["Content-Disposition"] = 'attachment; filename="other.bin"'
    lines = f"ADD {web.url}/a%20b?x=1#y /\nADD {web.url}/deep/dir/ /\nADD {web.url}/ /\nADD {web.url}/to/file /"
    assert sorted(project.build(lines)) == ["__unnamed__", "a b", "dir", "file"]


def test_sources_of_all_kinds_side_by_side_in_their_order(project: Project, web: Web) -> None:
    project.directory.mkdir()
    (project.directory / "local").write_text("local")
    (project.directory / "two").mkdir()
    (project.directory / "two/one").write_text("replaced by what comes later")
    project.directory.joinpath("in.tar").write_bytes(archive("one", "local"))
    lines = f"ADD local {web.url}/file {web.url}/plain.tar two in.tar <<here /d\n$X\nhere"
    assert project.build(lines) == {
        "d/local": b"local",
        "d/file": b"from the web",
        "d/plain.tar": TAR,
        "d/one": b"one",
        "d/here": b"\n",
    }
    assert project.build("COPY local <<one <<two /e/\n1\none\n2\ntwo") == {
        "e/local": b"local",
        "e/one": b"1\n",
        "e/two": b"2\n",
    }
    before = len(web.seen)
    assert "CACHED" in project.run(lines).stderr
    assert len(web.seen) == before + 2
    os.utime(project.directory / "local", (1, 1))
    assert "CACHED" in project.run(lines).stderr
    (project.directory / "local").write_text("other")
    assert project.build(lines.replace("in.tar", ""))["d/local"] == b"other"


def test_later_parts_find_what_earlier_ones_put_there(project: Project) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("way")
        info.type, info.linkname = tarfile.SYMTYPE, "real"
        tar.addfile(info)
        again = tarfile.TarInfo("file")
        again.type, again.linkname = tarfile.LNKTYPE, "first"
        first = tarfile.TarInfo("first")
        first.size = 1
        tar.addfile(first, io.BytesIO(b"1"))
        tar.addfile(again)
    project.directory.mkdir()
    project.directory.joinpath("a.tar").write_bytes(buffer.getvalue())
    project.directory.joinpath("b.tar").write_bytes(archive("way/x"))
    (project.directory / "first").write_text("replaces the first name of a file that has two")
    made = project.build("ADD a.tar b.tar first /d/")
    assert made.pop("d/first").startswith(b"replaces")
    assert made == {"d/real/x": b"way/x", "d/file": b"1"}
