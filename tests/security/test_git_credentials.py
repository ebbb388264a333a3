"""Credentials for git repositories: they get where they should, and nowhere else."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Coopery
from support.git_servers import Site, Work, git, site, ssh_missing, ssh_server
from support.remote_builds import Builder

TOKEN = "tok-0123456789-abcdef"
ADD = "FROM scratch\nADD --keep-git-dir=true {} /r\n"


@pytest.fixture
def build(coopery: Coopery, tmp_path: Path) -> Builder:
    return Builder(coopery, tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    work = Work.make(tmp_path / "work")
    work.commit({"a": "a"})
    work.publish(tmp_path / "served/repo.git")
    return tmp_path / "served"


@pytest.fixture
def private(served: Path) -> Iterator[Site]:
    """A server that lets in whoever has TOKEN."""
    with site(served, credentials=("x-access-token", TOKEN)) as web:
        yield web


def secret(name: str, variable: str = "TOKEN") -> str:
    return f"--secret=id={name},env={variable}"


def everything_below(path: Path) -> Iterator[tuple[Path, bytes]]:
    for directory, names, files in os.walk(path):
        yield from ((Path(directory) / name, name.encode()) for name in names)
        for name in files:
            file = Path(directory) / name
            if file.is_file():
                yield file, file.read_bytes()


def assert_unseen(build: Builder, output: str, *secrets: str) -> None:
    """Neither the output, nor the result, nor the cache shows a secret, as it is or in Base64."""
    for value in secrets:
        plain, pair = value.encode(), f"x-access-token:{value}".encode()
        for form in (plain, base64.b64encode(plain), base64.b64encode(pair)):
            assert form.decode() not in output
            for place in (build.coopery.home, build.directory / "result.tar"):
                found = everything_below(place) if place.is_dir() else [(place, place.read_bytes())]
                for path, content in found:
                    assert form not in content, path


@pytest.mark.parametrize("name", ["GIT_AUTH_TOKEN", "GIT_AUTH_TOKEN.{host}"])
def test_a_token(build: Builder, private: Site, name: str) -> None:
    url = f"{private.url}/repo.git"
    given = secret(name.format(host=private.host))
    result = build(given, "-", stdin=ADD.format(url), env={"TOKEN": TOKEN + "\n"})
    assert "r/a" in result.names
    assert_unseen(build, result.done.stdout + result.done.stderr, TOKEN)
    assert build(given, f"{url}", "-f", "-", stdin="FROM scratch\nCOPY a /\n", env={"TOKEN": TOKEN}).names == {"a"}


def test_the_token_of_another_host_is_not_sent(build: Builder, private: Site) -> None:
    hosts = ("example.com", "127.0.0.1", f"{private.host}0", f"x.{private.host}")
    given = [secret(f"GIT_AUTH_TOKEN.{host}") for host in hosts]
    done = build.fails(*given, "-", stdin=ADD.format(f"{private.url}/repo.git"), env={"TOKEN": TOKEN})
    assert done.returncode == 4
    assert f"--secret id=GIT_AUTH_TOKEN.{private.host}" in done.stderr or "encryption" in done.stderr
    assert not [one for one in private.asked if one.authorization]


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_header(build: Builder, served: Path, kind: str) -> None:
    options = {"credentials": ("someone", TOKEN)} if kind == "basic" else {"bearer": TOKEN}
    value = base64.b64encode(f"someone:{TOKEN}".encode()).decode() if kind == "basic" else TOKEN
    with site(served, **options) as web:
        env = {"TOKEN": "wrong", "HEADER": f"{kind} {value}"}
        given = [secret("GIT_AUTH_HEADER", "HEADER"), secret("GIT_AUTH_TOKEN")]
        result = build(*given, "-", stdin=ADD.format(f"{web.url}/repo.git"), env=env)
        assert_unseen(build, result.done.stdout + result.done.stderr, TOKEN, value)


def test_a_password_in_the_address(build: Builder, private: Site, tmp_path: Path) -> None:
    url = f"{private.url}/repo.git".replace("http://", f"http://x-access-token:{TOKEN}@")
    result = build("-", stdin=ADD.format(url))
    assert "r/a" in result.names
    assert_unseen(build, result.done.stdout + result.done.stderr, TOKEN)
    done = build.coopery("build", "--progress=plain", "-o", f"type=oci,dest={tmp_path}/result.tar", url, check=False)
    assert "there is no Dockerfile" in done.stderr
    assert_unseen(build, done.stdout + done.stderr, TOKEN)
    done = build.fails("-", stdin=ADD.format(url.replace("repo.git", "none.git")))
    assert TOKEN not in done.stdout + done.stderr


def test_a_redirect_elsewhere_gets_nothing(build: Builder, private: Site, served: Path, tmp_path: Path) -> None:
    for options, given in (
        ({}, secret("GIT_AUTH_TOKEN")),
        ({"credentials": ("other", "other")}, secret("GIT_AUTH_TOKEN")),
        ({}, secret("GIT_AUTH_HEADER", "HEADER")),
        ({"bearer": "other"}, secret("GIT_AUTH_HEADER", "HEADER")),
    ):
        with site(served, **options) as elsewhere:
            private.redirects = {"/repo.git": f"{elsewhere.url}/repo.git"}
            env = {"TOKEN": TOKEN, "HEADER": f"bearer {TOKEN}"}
            build.coopery(
                "build", "-o", f"type=tar,dest={tmp_path}/x", given, "-",
                stdin=ADD.format(f"{private.url}/repo.git").encode(), env=env, check=False,
            )  # fmt: skip
            assert not [one for one in elsewhere.asked if TOKEN in one.authorization]
            assert not [one for one in elsewhere.asked if one.authorization.lower().startswith("basic")]


def test_a_redirect_on_the_same_host_is_followed(build: Builder, private: Site) -> None:
    private.redirects = {"/old.git": "/repo.git"}
    assert build(secret("GIT_AUTH_TOKEN"), "-", stdin=ADD.format(f"{private.url}/old.git"), env={"TOKEN": TOKEN})


def test_a_submodule_elsewhere_gets_nothing(build: Builder, private: Site, served: Path, tmp_path: Path) -> None:
    with site(served, credentials=("other", "other")) as elsewhere:
        work = Work.make(tmp_path / "outer")
        git(work.path, "submodule", "--quiet", "add", str(served / "repo.git"), "lib")
        git(work.path, "submodule", "set-url", "lib", f"{elsewhere.url}/repo.git")
        work.commit({})
        work.publish(served / "outer.git")
        url = f"{private.url}/outer.git"
        done = build.fails(secret("GIT_AUTH_TOKEN"), "-", stdin=ADD.format(url), env={"TOKEN": TOKEN})
        assert "a submodule can't be fetched" in done.stderr
        assert "submodules=false" in done.stderr
        assert elsewhere.asked
        assert not [one for one in elsewhere.asked if one.authorization]


def test_no_credential_goes_without_encryption(build: Builder) -> None:
    """But for this machine: nothing is sent there that others could read."""
    from coopery.engines.remote_files import _is_loopback

    near = ("127.0.0.1:80", "localhost:1", "localhost", "[::1]:80", "[::1]", "127.9.9.9")
    far = ("example.com", "127.0.0.1.example.com:80", "localhost.example.com", "10.0.0.1", "[2001:db8::1]:80", "")
    assert [host for host in (*near, *far) if _is_loopback(host)] == list(near)


def test_a_secret_of_several_lines_is_refused(build: Builder, private: Site) -> None:
    env = {"TOKEN": f"{TOKEN}\nusername=evil"}
    done = build.fails(secret("GIT_AUTH_TOKEN"), "-", stdin=ADD.format(f"{private.url}/repo.git"), env=env)
    assert done.returncode == 2
    assert "more than one line" in done.stderr
    assert not [one for one in private.asked if one.authorization]


def test_a_secret_is_in_no_argument(build: Builder, private: Site, tmp_path: Path) -> None:
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    log = tmp_path / "arguments"
    spy = tmp_path / "bin/git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\nexec {real} "$@"\n')
    spy.chmod(0o755)
    env = {"TOKEN": TOKEN, "PATH": f"{spy.parent}:{os.environ['PATH']}"}
    build(secret("GIT_AUTH_TOKEN"), "-", stdin=ADD.format(f"{private.url}/repo.git"), env=env)
    assert "fetch" in log.read_text()
    assert TOKEN not in log.read_text()


def test_the_users_own_settings_do_not_count(build: Builder, private: Site, served: Path) -> None:
    """No .netrc, no configuration, no variables for git: what a build may use is what it was given."""
    home = build.coopery.home
    home.mkdir(parents=True, exist_ok=True)
    (home / ".netrc").write_text(f"machine 127.0.0.1 login x-access-token password {TOKEN}\n")
    (home / ".gitconfig").write_text(
        f"[http]\n\textraHeader = X-Leak: {TOKEN}\n"
        f'[url "{private.url}/other.git"]\n\tinsteadOf = {private.url}/repo.git\n'
    )
    env = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{private.url}.extraHeader",
        "GIT_CONFIG_VALUE_0": "Authorization: basic eA==",
        "GIT_DIR": "/nowhere",
        "GIT_TRACE": "1",
        "GIT_ASKPASS": "/bin/echo",
    }
    done = build.fails("-", stdin=ADD.format(f"{private.url}/repo.git"), env=env)
    assert "the server refuses" in done.stderr
    assert not [one for one in private.asked if one.authorization]
    assert all(one.path.startswith("/repo.git") for one in private.asked)
    with site(served) as public:
        assert build("-", stdin=ADD.format(f"{public.url}/repo.git"), env=env)


# ------------------------------------------------------------------------------------------------ SSH


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The beginning of an SSH address, and a key that opens the server."""
    if missing := ssh_missing():
        pytest.skip(missing)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with ssh_server(tmp_path / "sshd", key) as (name, port):
        yield f"ssh://{name}@127.0.0.1:{port}", key


@pytest.fixture
def agent(ssh: tuple[str, Path], tmp_path: Path) -> Iterator[Path]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()  # which comes when it listens
    subprocess.run(["ssh-add", "-q", str(ssh[1])], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True)
    yield socket
    process.terminate()
    process.wait()


def test_an_agent(build: Builder, ssh: tuple[str, Path], served: Path, agent: Path) -> None:
    url = f"{ssh[0]}{served}/repo.git"
    for given, env in ((f"--ssh=default={agent}", {}), ("--ssh=default", {"SSH_AUTH_SOCK": str(agent)})):
        assert "r/a" in build("--no-cache", given, "-", stdin=ADD.format(url), env=env).names


def test_a_key(build: Builder, ssh: tuple[str, Path], served: Path) -> None:
    result = build(f"--ssh=default={ssh[1]}", "-", stdin=ADD.format(f"{ssh[0]}{served}/repo.git"))
    assert "r/a" in result.names
    assert_unseen(build, result.done.stdout + result.done.stderr, ssh[1].read_text().splitlines()[1])


def test_a_dockerfile_alone_gets_no_key(build: Builder, ssh: tuple[str, Path], served: Path, agent: Path) -> None:
    url = f"{ssh[0]}{served}/repo.git"
    done = build.fails("-", stdin=ADD.format(url), env={"SSH_AUTH_SOCK": str(agent)})
    assert "--ssh default" in done.stderr
    assert "Dockerfile:2" in done.stderr
    done = build.fails(f"--ssh=other={agent}", "-", stdin=ADD.format(url))
    assert "--ssh default" in done.stderr


def test_a_context_may_use_the_users_agent(build: Builder, ssh: tuple[str, Path], served: Path, agent: Path) -> None:
    url = f"{ssh[0]}{served}/repo.git"
    text = "FROM scratch\nCOPY a /\n"
    env = {"SSH_AUTH_SOCK": str(agent)}
    assert build(url, "-f", "-", stdin=text, env=env).names == {"a"}
    context = f"--build-context=n={url}"
    assert build(context, "-", stdin="FROM scratch\nCOPY --from=n a /\n", env=env).names == {"a"}


def test_a_known_host_with_another_key_is_refused(
    build: Builder, ssh: tuple[str, Path], served: Path, agent: Path, tmp_path: Path
) -> None:
    """A host that is known must be the one that is known; the user's file of known hosts stays as it is."""
    from coopery.context.git_access import Identity, _ssh_command

    command = _ssh_command(Identity(agent=str(agent)))
    known = tmp_path / "known"
    other = (tmp_path / "sshd/host.pub").read_text().split()
    address = ssh[0].rpartition("@")[2]
    host, port = address.split(":")
    for key, expected in ((other[1], 0), (ssh[1].with_suffix(".pub").read_text().split()[1], 128)):
        line = f"[{host}]:{port} ssh-ed25519 {key}\n"
        known.write_text(line)
        env = {
            **os.environ,
            "SSH_AUTH_SOCK": str(agent),
            "GIT_SSH_COMMAND": command.replace("~/.ssh/known_hosts", str(known), 1),
        }
        done = subprocess.run(["git", "ls-remote", f"{ssh[0]}{served}/repo.git"], env=env, capture_output=True)
        assert done.returncode == expected, done.stderr
        assert known.read_text() == line
