"""`RUN --mount=type=ssh` with a real agent, a real `ssh-add` in the step, and every way of running steps."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights"),
    pytest.mark.skipif(not shutil.which("ssh-add"), reason="needs openssh-client"),
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """A directory with ssh-add and all libraries that it loads, started by their own loader."""
    place = tmp_path_factory.mktemp("tools")
    program = shutil.which("ssh-add")
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
    libraries = [word for line in lines for word in line.split() if word.startswith("/")]
    for path in (program, *libraries):
        shutil.copy(path, place)
    loader = next(os.path.basename(path) for path in libraries if os.path.basename(path).startswith("ld-linux"))
    wrapper = place / "list-keys"
    wrapper.write_text(f'#!/bin/sh\nexec /tools/{loader} --library-path /tools /tools/ssh-add -L "$@"\n')
    wrapper.chmod(0o755)
    return place


@pytest.fixture
def agent(tmp_path):
    """A real agent with one key: its socket, the key's file, and the public part."""
    path, key = str(tmp_path / "agent"), tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(key)], check=True)
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, "SSH_AUTH_SOCK": path}, check=True)
        yield path, key, " ".join((tmp_path / "key.pub").read_text().split()[:2])
        process.terminate()


@pytest.mark.parametrize("isolation", ["mnt", "full", "single", "chroot"])
def test_a_step_has_the_agents_it_asks_for(build, tools, agent, isolation):
    sock, key, public = agent
    list_keys = "--mount=from=tools,target=/tools /tools/list-keys"
    built = build(
        f"""\
        FROM base
        RUN --mount=type=ssh {list_keys.replace(" /", " echo $SSH_AUTH_SOCK > /where && /", 1)} > /default
        RUN --mount=type=ssh,id=file,target=/sock,mode=0666 {list_keys} > /file && stat -c %a:%F /sock > /socket
        RUN --mount=type=ssh --mount=type=ssh,id=file ls /run/buildkit > /both
        RUN --mount=type=ssh,id=none test -z "$SSH_AUTH_SOCK" && test ! -e /run/buildkit
        RUN test -z "$SSH_AUTH_SOCK" && test ! -e /run/buildkit && test ! -e /sock
        """.replace("        ", ""),
        "--ssh",
        "default",
        "--ssh",
        f"file={key}",
        "--build-context",
        f"tools={tools}",
        "--isolation",
        isolation,
        env={"SSH_AUTH_SOCK": sock},
    )
    tree = built.tree
    assert tree["where"].data == b"/run/buildkit/ssh_agent.0\n"
    assert tree["default"].data.decode().startswith(public)
    assert tree["file"].data.decode().startswith(public)
    assert tree["socket"].data == b"666:socket\n"
    assert tree["both"].data.split() == [b"ssh_agent.0", b"ssh_agent.1"]
    assert not [path for path in tree if path.startswith(("sock", "run/buildkit")) and path != "socket"]
    private = key.read_bytes().splitlines()[1]
    assert all(private not in node.data for node in tree.values() if node.data)


def test_an_agent_that_is_required_and_missing_is_an_error(build):
    failed = build("FROM base\nRUN --mount=type=ssh,required true\n", check=False)
    assert failed.done.returncode == 2
    assert "Dockerfile:2: the step requires the SSH agent 'default'" in failed.done.stderr
    assert "--ssh default" in failed.done.stderr
