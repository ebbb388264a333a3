"""The ladder of namespaces: what is refused, in which words, and that a refusal changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coopery.errors import UsageError
from coopery.ports import Process
from coopery.sandbox.enter import enter, find_program, subordinate_ranges
from coopery.sandbox.launch import hosts_file
from coopery.sandbox.probe import Fact, environment_facts, kernel_version, memory_limit

CORE = Path(__file__).resolve().parents[2] / "core"

NESTED = ("unshare", "--user", "--map-root-user", "--mount")
needs_user_namespaces = pytest.mark.skipif(
    subprocess.run([*NESTED, "true"], capture_output=True, check=False).returncode != 0,
    reason="needs user namespaces (unshare --user --map-root-user --mount)",
)

TRY = """
import os, sys
from coopery.errors import EnvironmentUnsuitable
from coopery.sandbox.enter import enter
def where():
    return [os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt")] + [os.geteuid(), os.getcwd()]
before = where()
try:
    entered = enter(sys.argv[1], {})
    print(entered.mode, *entered.refused, sep="|")
except EnvironmentUnsuitable as error:
    print("refused", error.message, sep="|")
print(where() == before)
"""


def attempt(isolation: str, prepare: str) -> list[str]:
    """Enter in a process of its own, after a shell's preparation as root of a new user namespace."""
    script = f'{prepare}\nexec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            sys.executable,
            "-c",
            TRY,
            isolation,
        ],
        env={"PYTHONPATH": str(CORE), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_unknown_isolation_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        enter("vm", {})
    assert "chroot" in raised.value.hint


@needs_user_namespaces
def test_with_rights_a_mount_namespace_is_enough() -> None:
    said, same = attempt("auto", "")
    assert (said, same) == ("mnt", "False")


@needs_user_namespaces
def test_chroot_asks_for_no_namespace() -> None:
    assert attempt("chroot", "") == ["none", "True"]


@needs_user_namespaces
def test_refusals_leave_the_process_where_it_was() -> None:
    said, same = attempt("single", "echo 0 > /proc/sys/user/max_user_namespaces")
    assert "max_user_namespaces" in said
    assert same == "True"


@needs_user_namespaces
def test_auto_without_anything_says_why_of_each_rung() -> None:
    prepare = "echo 0 > /proc/sys/user/max_user_namespaces; echo 0 > /proc/sys/user/max_mnt_namespaces"
    said, same = attempt("auto", prepare)
    assert same == "True"
    mode, *refused = said.split("|")
    assert mode == "none"
    assert [line.partition(":")[0] for line in refused] == ["mnt", "full", "sub", "single"]


def test_working_directory_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; from coopery.sandbox.enter import enter; "
         "print(enter('auto', os.environ).mode); print(os.getcwd())"],
        cwd="/usr/bin",
        env={"PYTHONPATH": str(CORE)},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[1] == "/usr/bin"


def test_subordinate_ranges(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text("ci:100000:65536\n# comment\n\nother:1:2\n1000:300000:10\nci:bad:1\nci:5\n")
    assert subordinate_ranges(str(path), ["ci", "1000"]) == [(100000, 65536), (300000, 10)]
    assert subordinate_ranges(str(tmp_path / "missing"), ["ci"]) == []


def test_find_program(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o755)
    (tmp_path / "data").touch(mode=0o644)
    environ = {"PATH": f"/missing:{tmp_path}"}
    assert find_program("tool", environ) == str(tmp_path / "tool")
    assert find_program("data", environ) == ""


def test_hosts_file_has_the_gateway_as_this_machine() -> None:
    hosts = hosts_file(Process(("x",), (), "/", hostname="h", add_hosts=(("a", "1.2.3.4"), ("b", "host-gateway"))))
    assert hosts.decode().splitlines()[0] == "127.0.0.1\tlocalhost h"
    assert hosts.decode().splitlines()[-2:] == ["1.2.3.4\ta", "127.0.0.1\tb"]


@pytest.mark.parametrize(
    ("release", "version"), [("6.1.0-18-amd64", (6, 1)), ("4.18-rc1", (4, 18)), ("6", (0, 0)), ("", (0, 0))]
)
def test_kernel_version(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version


def test_memory_limit_of_version_2_counts_groups_above(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    (tmp_path / "cg/job/step").mkdir(parents=True)
    (tmp_path / "cg/cgroup.controllers").write_text("memory\n")
    (tmp_path / "cg/job/memory.max").write_text("1048576\n")
    (tmp_path / "cg/job/step/memory.max").write_text("max\n")
    assert memory_limit(str(tmp_path / "proc"), str(tmp_path / "cg")) == ("v2", 1048576)


def test_memory_limit_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("5:cpu,cpuacct:/\n4:memory:/docker/x\n0::/\n")
    (tmp_path / "cg/memory").mkdir(parents=True)
    path = tmp_path / "cg/memory/memory.limit_in_bytes"
    path.write_text("9223372036854771712\n")
    assert memory_limit(str(tmp_path / "proc"), str(tmp_path / "cg")) == ("v1", None)
    path.write_text("536870912\n")
    assert memory_limit(str(tmp_path / "proc"), str(tmp_path / "cg")) == ("v1", 536870912)


def test_facts_have_a_hint_wherever_something_is_wrong() -> None:
    facts = environment_facts(os.environ)
    assert {"kernel", "capabilities", "isolation mnt", "isolation chroot"} <= {fact.name for fact in facts}
    assert not [fact for fact in facts if fact.ok is False and not fact.hint]
    assert all(isinstance(fact, Fact) for fact in facts)
