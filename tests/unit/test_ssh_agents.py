"""SSH agents as steps see them, asked by OpenSSH's own programs: who is there, who signs, and what is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from coopery.credentials.ssh_agent import answering
from coopery.engines.spelling import parse_ssh
from coopery.errors import UsageError
from coopery.request import SshAgent

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs openssh-client")

KINDS = {"ed25519": (), "rsa": ("-b", "2048"), "ecdsa": ("-b", "256"), "ecdsa384": ("-b", "384"), "pem": ("-m", "PEM")}
_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
TYPES = {"ecdsa384": "ecdsa", "pem": "rsa"}


def run(*command: str, env: dict[str, str] | None = None, data: str = "", check: bool = True) -> str:
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, input=data, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def make_key(path: Path, kind: str, passphrase: str = "") -> Path:
    run("ssh-keygen", "-q", "-t", TYPES.get(kind, kind), *KINDS[kind], "-N", passphrase, "-C", "me", "-f", str(path))
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("keys")
    return {kind: make_key(place / kind, kind) for kind in KINDS}


@pytest.fixture
def users_agent(keys: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """A real ssh-agent that has one key."""
    path = str(tmp_path / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        run("ssh-add", "-q", str(keys["ed25519"]), env={"SSH_AUTH_SOCK": path})
        yield path
        process.terminate()


def public(path: Path) -> str:
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def listed(sock: str) -> list[str]:
    said = run("ssh-add", "-L", env={"SSH_AUTH_SOCK": sock}, check=False)
    return [" ".join(line.split()[:2]) for line in said.splitlines()]


def signs(sock: str, key: Path, place: Path) -> None:
    """Have the agent sign for `key`, of which only the public part is at hand, and verify that."""
    alone = place / "alone.pub"
    alone.write_text(public(key) + "\n")
    (place / "text").write_text("to be signed")
    (place / "text.sig").unlink(missing_ok=True)
    run(
        "ssh-keygen",
        "-q",
        "-Y",
        "sign",
        "-n",
        "test",
        "-f",
        str(alone),
        str(place / "text"),
        env={"SSH_AUTH_SOCK": sock},
    )
    (place / "allowed").write_text(f"me {public(key)}\n")
    run("ssh-keygen", "-q", "-Y", "verify", "-f", str(place / "allowed"), "-I", "me", "-n", "test", "-s",
        str(place / "text.sig"), data="to be signed")  # fmt: skip


def test_keys_from_files_sign_and_are_listed(keys, tmp_path):
    agent = SshAgent(id="default", keys=tuple(map(str, keys.values())))
    with answering(agent, str(tmp_path / "socket"), 0o600, 0, 0) as sock:
        assert listed(sock) == [public(key) for key in keys.values()]
        for key in keys.values():
            signs(sock, key, tmp_path)
    assert not os.path.exists(sock)


def test_the_users_agent_signs_through_the_socket(keys, users_agent, tmp_path):
    with answering(SshAgent(id="x", socket=users_agent), str(tmp_path / "socket"), 0o640, 0, 0) as sock:
        assert listed(sock) == [public(keys["ed25519"])]
        assert stat.S_IMODE(os.stat(sock).st_mode) == 0o640
        signs(sock, keys["ed25519"], tmp_path)


def test_a_step_cannot_change_the_agent(keys, users_agent, tmp_path):
    with answering(SshAgent(id="x", socket=users_agent), str(tmp_path / "socket"), 0o600, 0, 0) as sock:
        for command in (
            ("-D",),
            ("-x",),
            ("-d", f"{keys['ed25519']}.pub"),
            ("-q", str(keys["rsa"])),
            ("-e", "/lib.so"),
        ):
            run(
                "ssh-add",
                *command,
                env={"SSH_AUTH_SOCK": sock, "SSH_ASKPASS_REQUIRE": "never"},
                check=False,
                data="x\nx\n",
            )
        assert listed(users_agent) == [public(keys["ed25519"])]
        assert listed(sock) == [public(keys["ed25519"])]


@pytest.mark.parametrize(
    "message",
    [b"\0\0\0\x01\x11", b"\0\0\0\x01\x1b", b"\0\0\0\x02\x0d\0", b"\0\0\0\x01\xff", b"\0\0\0\x05\x0d\xff\xff\xff\xff"],
)
def test_other_and_broken_requests_fail_and_the_connection_goes_on(keys, tmp_path, message):
    agent = SshAgent(id="x", keys=(str(keys["ed25519"]),))
    with answering(agent, str(tmp_path / "socket"), 0o600, 0, 0) as sock, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(sock)
        client.sendall(message)
        assert client.recv(64) == b"\0\0\0\x01\x05"
        client.sendall(b"\0\0\0\x01\x0b")
        assert client.recv(5)[4] == 12


def test_messages_that_are_too_long_end_the_connection(keys, tmp_path):
    agent = SshAgent(id="x", keys=(str(keys["ed25519"]),))
    with answering(agent, str(tmp_path / "socket"), 0o600, 0, 0) as sock, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(sock)
        client.sendall(b"\xff\xff\xff\xff\x0b")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(64) == b""
        assert listed(sock) == [public(keys["ed25519"])]


def test_long_places_and_an_agent_that_has_gone(keys, tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with answering(SshAgent(id="x", socket=str(tmp_path / "gone")), str(deep / "socket"), 0o600, 0, 0) as sock:
        assert os.path.exists(sock)
    agent = SshAgent(id="x", socket=str(tmp_path / "gone"))
    with answering(agent, str(tmp_path / "socket"), 0o600, 0, 0) as sock:
        assert listed(sock) != [public(keys["ed25519"])]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: make_key(path, "ed25519", "secret"), "has a passphrase"),
        (lambda path: make_key(path, "pem", "secret"), "has a passphrase"),
        (lambda path: path.write_text("nothing"), "not a private key"),
        (lambda path: path.write_text(f"{_BEGIN}\nAAAA\n{_BEGIN.replace('BEGIN', 'END')}\n"), "not a private"),
    ],
)
def test_keys_that_cannot_be_used(tmp_path, make, says):
    make(tmp_path / "key")
    with pytest.raises(UsageError, match=says) as caught:
        answering(SshAgent(id="x", keys=(str(tmp_path / "key"),)), str(tmp_path / "s"), 0o600, 0, 0).__enter__()
    assert caught.value.hint
    assert not (tmp_path / "s").exists()


def test_what_the_option_takes(keys, users_agent, tmp_path):
    first, second = str(keys["rsa"]), str(keys["ecdsa"])
    given = parse_ssh(["default", f"git={first},{second}", f"other={users_agent}"], {"SSH_AUTH_SOCK": users_agent})
    assert given == (
        SshAgent(id="default", socket=users_agent),
        SshAgent(id="git", keys=(first, second)),
        SshAgent(id="other", socket=users_agent),
    )
    for texts, says in (
        (["default"], "SSH_AUTH_SOCK isn't set"),
        (["default=/no/such"], "there is no /no/such"),
        ([f"a={users_agent},{first}"], "stands alone"),
        ([f"a={first}", f"a={second}"], "twice"),
        (["=x"], "no id"),
    ):
        with pytest.raises(UsageError, match=says):
            parse_ssh(texts, {})
