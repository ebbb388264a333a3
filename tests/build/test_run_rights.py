"""What RUN may and sees: networks, entitlements, its environment, limits; by whole builds in every way."""

from __future__ import annotations

import os
import re

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


@pytest.mark.parametrize("isolation", ["mnt", "full", "single", "chroot"])
def test_without_network_there_is_none(build, registry, isolation):
    """The registry on loopback, which the build itself pushes to, is there for other steps and not for this one."""
    host, port = registry.host.split(":")
    ask = f"nc -w 5 {host} {port} < /dev/null"
    built = build(
        f"FROM base\nRUN {ask}\nRUN --network=host {ask}\nRUN --network=default {ask}\n"
        f"RUN --network=none ! {ask} && test ! -s /etc/resolv.conf\n",
        *("--isolation", isolation),
    )
    assert built.done.returncode == 0
    again = build(f"FROM base\nRUN ! {ask}\n", "--network", "none", "--isolation", isolation)
    assert again.done.returncode == 0


def test_insecure_steps_need_leave_and_then_have_all_rights(build):
    text = (
        "FROM base\nRUN grep -E '^(Cap|Seccomp:)' /proc/self/status > /sandbox\n"
        "RUN --security=insecure grep -E '^(Cap|Seccomp:)' /proc/self/status > /insecure && mount -t tmpfs x /home"
        "  && test -w /proc/sys/vm/drop_caches && test -c /dev/kmsg\n"
        "USER app\nRUN --security=insecure grep Cap /proc/self/status > /tmp/app\n"
        "RUN grep Cap /proc/self/status > /tmp/back\n"
    )
    refused = build(text, check=False)
    assert refused.done.returncode == 3
    assert "Dockerfile:3: RUN --security=insecure is not allowed" in refused.done.stderr
    assert "--allow security.insecure" in refused.done.stderr
    tree = build(text, "--allow", "security.insecure").tree

    def capabilities(path):
        return {name: int(value, 16) for name, value in re.findall(r"(Cap\w+):\s*(\w+)", tree[path].data.decode())}

    own = {name: int(value, 16) for name, value in re.findall(r"(Cap\w+):\s*(\w+)", _own_status())}
    assert capabilities("insecure")["CapEff"] == own["CapEff"]
    assert capabilities("tmp/app")["CapEff"] == own["CapEff"]
    assert capabilities("sandbox")["CapEff"] & (1 << 21) == 0  # CAP_SYS_ADMIN
    assert capabilities("tmp/back")["CapEff"] == 0
    assert b"Seccomp:\t0" in tree["insecure"].data
    assert b"Seccomp:\t2" in tree["sandbox"].data


def _own_status() -> str:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return file.read()


def test_unknown_entitlements_and_control_groups_are_refused(build):
    for options, says in (
        (("--allow", "security.insecur"), "did you mean security.insecure?"),
        (("--allow", "device"), "there are network.host and security.insecure"),
        (("--cgroup-parent", "/x"), "steps get no control groups of their own"),
        (("--ssh", "default"), "SSH_AUTH_SOCK isn't set"),
    ):
        done = build("FROM base\nRUN true\n", *options, check=False).done
        assert done.returncode == 2
        assert says in done.stderr
    assert build("FROM base\nRUN true\n", "--allow", "network.host").done.returncode == 0


def test_the_builders_own_build_args_reach_the_steps(build):
    text = "FROM base\nRUN --mount=type=cache,id=x,target=/c hostname > /h; cat /etc/hosts > /hosts; "
    text += "cat /c/* > /c0; echo 1 > /c/f\n"
    first = build(text, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=maker", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=one")
    assert first.tree["h"].data == b"maker\n"
    assert b"localhost maker" in first.tree["hosts"].data
    plain = build(text)
    assert plain.tree["h"].data == b"buildkitsandbox\n"
    assert plain.tree["c0"].data == b""
    same = build(text, "--no-cache", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=one")
    assert same.tree["c0"].data == b"1\n"


def test_proxies_are_passed_on_and_change_no_key(build):
    text = "FROM base\nRUN env | grep -i _proxy | sort > /seen\n"
    first = build(text, "--build-arg", "HTTP_PROXY=http://one:1", "--build-arg", "no_proxy=here")
    assert first.tree["seen"].data.decode().split() == [
        "HTTP_PROXY=http://one:1",
        "NO_PROXY=here",
        "http_proxy=http://one:1",
        "no_proxy=here",
    ]
    assert not [text for text in first.config["config"]["Env"] if "proxy" in text.lower()]
    assert not [line for line in first.config["history"] if "proxy=" in line.get("created_by", "").lower()]
    second = build(text, "--build-arg", "HTTP_PROXY=http://two:2")
    assert "CACHED" in second.done.stderr
    assert second.image.digest == first.image.digest
