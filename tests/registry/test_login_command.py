"""`coopery login` and `logout` against real registries, and at a real terminal."""

from __future__ import annotations

import base64
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_support import PASSWORD, USER, Reply, Request, ScriptedServer

from support.command import Coopery

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def kept(coopery: Coopery) -> dict[str, dict[str, str]]:
    path = coopery.home / "docker/config.json"
    return json.loads(path.read_text())["auths"] if path.exists() else {}


@pytest.fixture(params=["basic", "token", "open"])
def host(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_registry")


def test_good_credential_is_kept(coopery: Coopery, host: str, open_registry: str) -> None:
    done = coopery("login", host, "-u", USER, "--password-stdin", stdin=f"{PASSWORD}\n".encode())
    assert f"Logged in to {host}" in done.stderr
    assert ("was not checked" in done.stderr) is (host == open_registry)
    assert kept(coopery) == {host: {"auth": PAIR}}
    assert PASSWORD not in done.stdout + done.stderr
    assert "Logged out" in coopery("logout", host).stderr
    assert kept(coopery) == {}
    assert "Not logged in" in coopery("logout", host).stderr


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_bad_credential_is_not_kept(coopery: Coopery, request: pytest.FixtureRequest, kind: str) -> None:
    host = request.getfixturevalue(f"{kind}_registry")
    done = coopery("login", host, "-u", USER, "--password-stdin", stdin=b"mistyped-secret", check=False)
    assert done.returncode == 7
    assert f"{host} refused to let us log in as '{USER}'" in done.stderr
    assert f"this fails at the {'token' if kind == 'token' else 'identity'}" in done.stderr
    assert "mistyped-secret" not in done.stderr
    assert kept(coopery) == {}


def test_what_was_kept_is_used(coopery: Coopery, token_registry: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    tag = f"{token_registry}/private/login:1"
    refused = coopery("build", "--push", "-t", tag, tmp_path, check=False)
    assert refused.returncode == 7
    assert "this fails at the identity" in refused.stderr
    coopery("login", f"http://{token_registry}/", "-u", USER, "-p", PASSWORD)
    coopery("build", "--push", "-t", tag, tmp_path)


def test_other_tools_read_what_was_kept(coopery: Coopery, basic_registry: str) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    coopery("login", basic_registry, "-u", USER, "--password-stdin", stdin=PASSWORD.encode())
    path = coopery.home / "docker/config.json"
    skopeo = ["skopeo", "login", "--get-login", "--authfile", str(path), basic_registry]
    assert subprocess.run(skopeo, capture_output=True, text=True, check=True).stdout.strip() == USER


def test_we_read_and_forget_what_another_tool_kept(coopery: Coopery, basic_registry: str) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    path = coopery.home / "docker/config.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    skopeo = ["skopeo", "login", "--tls-verify=false", "--authfile", str(path), "-u", USER, "-p", PASSWORD]
    subprocess.run([*skopeo, basic_registry], capture_output=True, check=True)
    assert kept(coopery) == {basic_registry: {"auth": PAIR}}
    coopery("logout", basic_registry)
    assert kept(coopery) == {}


def test_authfile_and_variable_say_where(coopery: Coopery, basic_registry: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    arguments = ("login", basic_registry, "-u", USER, "--password-stdin")
    coopery(*arguments, "--authfile", one, stdin=PASSWORD.encode(), env={"REGISTRY_AUTH_FILE": str(two)})
    assert one.exists()
    assert not two.exists()
    done = coopery(
        *arguments, stdin=PASSWORD.encode(), env={"REGISTRY_AUTH_FILE": str(two), "DOCKER_AUTH_CONFIG": "{}"}
    )
    assert two.exists()
    assert "DOCKER_AUTH_CONFIG" in done.stderr
    assert kept(coopery) == {}


def test_password_on_the_command_line_is_warned_of(coopery: Coopery, basic_registry: str) -> None:
    done = coopery("login", basic_registry, "-u", USER, "-p", PASSWORD)
    assert "--password-stdin" in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["-u", USER], b"", "no password, and no terminal"),
        ([], b"", "no user name, and no terminal"),
        (["--password-stdin"], b"x", "needs a user name"),
        (["-u", USER, "--password-stdin"], b"\n", "no password"),
        (["-u", USER, "--password-stdin"], b"two\nlines\n", "more than one line"),
        (["-u", USER, "--password-stdin"], b"x" * 40_000, "more than 32768 bytes"),
        (["-u", USER, "-p", "x", "--password-stdin"], b"x", "exclude each other"),
        (["-u", "a:b", "-p", "x"], b"", "no colons"),
    ],
)
def test_command_line_that_makes_no_sense(
    coopery: Coopery, basic_registry: str, arguments: list[str], stdin: bytes, message: str
) -> None:
    done = coopery("login", basic_registry, *arguments, stdin=stdin, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert kept(coopery) == {}


def test_terminal_is_asked_and_shows_no_password(basic_registry: str, tmp_path: Path) -> None:
    environ = os.environ | {"DOCKER_CONFIG": str(tmp_path), "TERM": "dumb"}
    child, terminal = pty.fork()
    if not child:
        entry = "import sys; from coopery.cli import main; sys.exit(main())"
        os.execve(sys.executable, [sys.executable, "-c", entry, "login", basic_registry], environ)
    shown = b""

    def read_until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            shown += os.read(terminal, 4096)

    try:
        read_until(b"Username")
        os.write(terminal, USER.encode() + b"\n")
        read_until(b"Password")
        os.write(terminal, PASSWORD.encode() + b"\n")
        read_until(b"Logged in to")
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert status == 0
    assert PASSWORD.encode() not in shown
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {basic_registry: {"auth": PAIR}}


def test_what_is_no_registry_gets_nothing_kept(coopery: Coopery, serve: Serve) -> None:
    server = serve(lambda request: Reply(404, body=b"<html>"))
    done = coopery("login", server.host, "-u", USER, "--password-stdin", stdin=PASSWORD.encode(), check=False)
    assert done.returncode == 8
    assert kept(coopery) == {}
    assert all(not request.authorization for request in server.requests)


def test_token_server_is_told_no_scope(coopery: Coopery, serve: Serve) -> None:
    tokens = serve(lambda request: Reply(body=b'{"token": "good"}'))
    challenge = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/token",service="x"'}
    server = serve(lambda r: Reply() if r.authorization == "Bearer good" else Reply(401, challenge))
    coopery("login", server.host, "-u", USER, "--password-stdin", stdin=PASSWORD.encode())
    assert [request.query for request in tokens.requests] == [{"service": ["x"], "account": [USER]}]
    assert [request.authorization for request in tokens.requests] == [f"Basic {PAIR}"]
