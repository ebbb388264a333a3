"""The examples, built and pushed; pulled, unpacked and started by other tools, they answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance_peers import run

import plainregistry
from plainregistry import Registry
from support import bases
from support.command import Coopery

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MISSING = ", ".join(tool for tool in ("skopeo", "umoci", "runc") if shutil.which(tool) is None)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start containers"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}"),
]


@pytest.fixture(scope="module")
def languages_image(registry: Registry) -> str:
    """The reference of a Debian with Python, Node and npm in `registry`. Slow the first time on a machine."""
    if missing := bases.debian_missing():
        pytest.skip(missing)
    reference = f"{registry.host}/base/languages:1"
    plainregistry.push(bases.debian_image("ca-certificates", "nodejs", "npm", "python3", "python3-venv"), reference)
    return reference


@contextlib.contextmanager
def running(reference: str, place: Path, port: int) -> Iterator[None]:
    """The image pulled by skopeo, unpacked by umoci and started by runc, on the host's network, ready to answer.

    It listens on `port`: in the environment, and in place of the one that its command says.
    """
    run(
        [
            "skopeo",
            "copy",
            "--insecure-policy",
            "--src-tls-verify=false",
            f"docker://{reference}",
            f"oci:{place}/oci:it",
        ]
    )
    run(["umoci", "unpack", "--image", f"{place}/oci:it", f"{place}/bundle"])
    config = place / "bundle/config.json"
    spec = json.loads(config.read_bytes())
    process = spec["process"]
    process["terminal"] = False
    process["env"].append(f"PORT={port}")
    process["args"] = [arg.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for arg in process["args"]]
    spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != "network"]
    config.write_text(json.dumps(spec))
    command = ["runc", "--root", str(place / "state"), "run", "--bundle", str(place / "bundle"), f"coopery-test-{port}"]
    with (place / "output").open("wb") as output:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while not listening(port):
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(0.05)
                raise AssertionError(f"the container ended:\n{(place / 'output').read_text(errors='replace')}")
        yield
    finally:
        started.terminate()  # runc hands the signal on
        started.wait()


def listening(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 20):
        return True
    return False


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("example", "base", "says", "path"),
    [
        ("flask", "languages_image", "Served by Python", "/health"),
        ("express", "languages_image", "Served by Node", "/health"),
        ("c-multistage", "debian_image", "Served by C.", "/"),
    ],
)
def test_an_example_answers(example, base, says, path, request, registry, tmp_path, tmp_path_factory):
    base = request.getfixturevalue(base)
    coopery = Coopery(tmp_path_factory.getbasetemp() / "applications")  # one cache: two have the same base
    reference = f"{registry.host}/example/{example}:1"
    options = ["--progress=plain", "--push", "-t", reference, f"--build-arg=BASE={base}"]
    coopery("build", *options, EXAMPLES / example)
    port = free_port()
    with running(reference, tmp_path, port):
        assert get(port, "/")[0] == 200
        assert says in get(port, "/")[1]
        assert get(port, path)[0] == 200


def test_capabilities_that_a_step_gives_reach_the_image(debian_image, coopery, registry, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {debian_image} AS make\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin && rm -rf /var/lib/apt/lists/*\n"
        "RUN cp /bin/cat /bin/capable && setcap cap_net_raw=ep /bin/capable\n"
        "RUN getcap /bin/capable | grep cap_net_raw && touch /checked\n"
        f"FROM {debian_image}\n"
        "COPY --from=make /bin/capable /bin/capable\n"
        "COPY --from=make --chown=1:1 /bin/capable /bin/owned\n"
        "RUN chmod 700 /bin/capable\n"
    )
    reference = f"{registry.host}/test/capabilities:1"
    coopery("build", "--progress=plain", "--push", "-t", reference, tmp_path)
    tree = plainregistry.tree(reference)
    for name in ("bin/capable", "bin/owned", "usr/bin/capable", "usr/bin/owned"):
        if name in tree:
            # vfs_cap_data of linux/capability.h: revision 2 with the effective bit; permitted: 1 << CAP_NET_RAW.
            assert tree[name].xattrs["security.capability"].encode()[:8] == b"\x01\0\0\x02\0\x20\0\0"
    assert sum(name.endswith(("/capable", "/owned")) for name in tree) == 2
