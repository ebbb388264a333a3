"""SOURCE_DATE_EPOCH taken from a context, or from a stage that is nothing but one ADD from elsewhere."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Coopery
from support.git_servers import COMMITTED, Site, Work, site
from support.remote_builds import Builder, tar

TOLD = "ARG SOURCE_DATE_EPOCH\nCOPY <<EOF /epoch\n$SOURCE_DATE_EPOCH\nEOF\nWORKDIR /made\n"
PACKED = 1_000_000_000


@pytest.fixture
def build(coopery: Coopery, tmp_path: Path) -> Builder:
    return Builder(coopery, tmp_path)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Site]:
    work = Work.make(tmp_path / "work")
    work.commit({"a": "first", "Dockerfile": f"ARG SOURCE_DATE_EPOCH=context\nFROM scratch\n{TOLD}"})
    work.publish(tmp_path / "served/repo.git")
    with site(tmp_path / "served") as served:
        yield served


@pytest.fixture
def files(tmp_path: Path) -> Iterator[str]:
    """A server that has an archive and a plain file, and says how old they are only of `dated`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = tar({"Dockerfile": f"FROM scratch\n{TOLD}"}, "gz") if self.path.endswith(".tar.gz") else b"plain"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            if "dated" in self.path:
                self.send_header("Last-Modified", "Wed, 14 Nov 2001 01:46:40 GMT")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def epoch(build: Builder, *args: str | Path, stdin: str | None = None) -> str:
    result = build(*args, stdin=stdin)
    told = result.contents["epoch"].decode().strip()
    if told:
        assert result.members["made"].mtime == int(told)
    return told


def test_a_git_context(build: Builder, web: Site) -> None:
    assert epoch(build, f"{web.url}/repo.git") == str(COMMITTED)
    assert epoch(build, "--build-arg=SOURCE_DATE_EPOCH=5", f"{web.url}/repo.git") == "5"


def test_a_context_from_the_web(build: Builder, files: str) -> None:
    given = "--build-arg=SOURCE_DATE_EPOCH=context"
    assert epoch(build, given, f"{files}/x.tar.gz") == str(PACKED)
    assert epoch(build, given, f"{files}/dated.tar.gz") == "1005702400"


def test_a_named_context(build: Builder, web: Site) -> None:
    text = f"ARG SOURCE_DATE_EPOCH=src\nFROM scratch\n{TOLD}"
    assert epoch(build, f"--build-context=src={web.url}/repo.git", "-", stdin=text) == str(COMMITTED)


def test_a_stage(build: Builder, web: Site, files: str) -> None:
    text = "ARG SOURCE_DATE_EPOCH=Src\nFROM scratch AS src\nARG FILE=repo.git\nADD @/$FILE /\nFROM scratch\n" + TOLD
    assert epoch(build, "-", stdin=text.replace("@", web.url)) == str(COMMITTED)
    assert epoch(build, "--build-arg=FILE=dated", "-", stdin=text.replace("@", files)) == "1005702400"
    assert epoch(build, "--build-arg=FILE=plain", "-", stdin=text.replace("@", files)) == ""


def test_a_directory_here_tells_no_time(build: Builder, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"ARG SOURCE_DATE_EPOCH=context\nFROM scratch\n{TOLD}")
    os.utime(tmp_path / "Dockerfile", (PACKED, PACKED))
    assert epoch(build, "--no-cache", f"--file={tmp_path}/Dockerfile", tmp_path) == ""


@pytest.mark.parametrize(
    "stage",
    ["FROM scratch AS src\n", "FROM scratch AS src\nADD https://a.invalid/ /\nENV a=b\n", "FROM x AS src\nADD a /\n"],
)
def test_a_stage_that_is_more_than_one_address(build: Builder, stage: str) -> None:
    done = build.fails("-", stdin=f"ARG SOURCE_DATE_EPOCH=src\n{stage}FROM scratch\n")
    assert done.returncode == 3 and "Dockerfile:2: SOURCE_DATE_EPOCH can't be taken from this stage" in done.stderr


def test_a_name_that_is_nothing(build: Builder) -> None:
    done = build.fails("-", stdin="ARG SOURCE_DATE_EPOCH=yesterday\nFROM scratch\n")
    assert done.returncode == 2 and "or context, or the name of a stage" in done.stderr
