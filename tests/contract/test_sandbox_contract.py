"""What every sandbox owes, asked of each with the rights it is made for."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.sandboxes import MODES, Driver, children, make_rootfs, running, tree, unavailable

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "available")


@pytest.fixture(scope="module", params=MODES)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    made = Driver(request.param)
    yield made
    made.close()


def test_mode_is_entered_and_probed(driver: Driver) -> None:
    expected = {"masked": "single", "chroot": "none"}.get(driver.mode, driver.mode)
    assert driver.entered == {"mode": expected, "refused": [], "probe": None}


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -9 $$", 137)],
)
def test_exit_status(driver: Driver, script: str, status: int) -> None:
    assert driver.sh(script)["status"] == status


def test_output_arrives_on_its_stream(driver: Driver) -> None:
    answer = driver.sh("echo out; echo err >&2")
    assert (answer["stdout"], answer["stderr"]) == ("out\n", "err\n")


def test_much_output_on_both_streams_is_complete(driver: Driver) -> None:
    answer = driver.sh("head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait", lengths=True)
    assert (answer["status"], answer["stdout"], answer["stderr"]) == (0, 10_000_000, 10_000_000)


def test_environment_is_exactly_as_given(driver: Driver) -> None:
    answer = driver.run("env", env=["PATH=/bin", "A=b=c", "EMPTY=", "UTF=ü"])
    assert sorted(answer["stdout"].encode("latin-1").decode().splitlines()) == ["A=b=c", "EMPTY=", "PATH=/bin", "UTF=ü"]


def test_standard_input_is_empty_and_nothing_else_is_open(driver: Driver) -> None:
    answer = driver.sh('cat; for i in 3 4 5 6 7 8 9; do (eval ": >&$i") 2>/dev/null && echo $i; done; true')
    assert (answer["status"], answer["stdout"]) == (0, "")


def test_working_directory(driver: Driver) -> None:
    assert driver.run("pwd", cwd="/bin")["stdout"] == "/bin\n"
    # As with BuildKit one that only the image's configuration knows is made.
    assert driver.sh("pwd; stat -c %a:%u .", cwd="/missing/inner")["stdout"] == "/missing/inner\n755:0\n"
    file = driver.run("pwd", cwd="/bin/busybox")
    assert file["status"] == 127
    assert "working directory /bin/busybox can't be entered" in file["stderr"]


def test_devices_that_a_step_makes_cannot_be_opened(driver: Driver) -> None:
    """Docker has a devices control group for this: here it is the mounts that forbid it, or the want of mknod."""
    for place in ("/node", "/dev/node", "/dev/shm/node"):
        opened = driver.sh(f"mknod {place} c 1 5 && head -c 1 {place} > /opened && echo opened")
        assert "opened" not in opened["stdout"], place
    assert driver.sh("head -c 1 /dev/zero | wc -c; echo x > /dev/null")["stdout"].strip() == "1"


def test_user_and_groups(driver: Driver) -> None:
    answer = driver.sh("id -u; id -g; id -G | tr ' ' '\\n' | sort -n", uid=1000, gid=1001, groups=[5, 6])
    if driver.entered["mode"] == "single":
        assert "only root exists" in answer["error"]
        assert "/etc/subuid" in answer["hint"]
    else:
        assert answer["stdout"].split() == ["1000", "1001", "5", "6", "1001"]


def test_other_users_may_write_to_dev_stdout(driver: Driver) -> None:
    if driver.entered["mode"] == "single" or driver.mode == "chroot":
        return  # no other users there; no /proc for /dev/stdout to lead to
    assert driver.sh("echo said > /dev/stdout", uid=1000, gid=1000)["stdout"] == "said\n"


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["missing"], 127, "missing: not found"),
        (["/bin/missing"], 127, "/bin/missing: not found"),
        (["/etc/passwd"], 126, "Permission denied"),
        (["/tmp"], 126, "Permission denied"),
        (["/bin/noformat"], 126, "exec format error"),
        (["noformat"], 126, "exec format error"),
        (["/bin/nointerpreter"], 127, "interpreter"),
        ([""], 127, "not found"),
    ],
)
def test_commands_that_cannot_be_started(driver: Driver, argv: list[str], status: int, says: str) -> None:
    for name, contents in (("noformat", b"plain text\n"), ("nointerpreter", b"#!/no/such\n")):
        path = driver.rootfs / "bin" / name
        path.write_bytes(contents)
        path.chmod(0o755)
    answer = driver.run(*argv)
    assert answer["status"] == status
    assert says in answer["stderr"]


def test_network_files(driver: Driver) -> None:
    answer = driver.sh(
        "cat /etc/hosts; echo --; cat /etc/resolv.conf",
        hostname="maker",
        add_hosts=[["db", "10.1.2.3"], ["me", "host-gateway"]],
    )
    hosts, _, resolv = answer["stdout"].partition("--\n")
    assert hosts.splitlines() == [
        "127.0.0.1\tlocalhost maker",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "10.1.2.3\tdb",
        "127.0.0.1\tme",
    ]
    assert resolv == Path("/etc/resolv.conf").read_text()


def test_no_network(driver: Driver) -> None:
    answer = driver.sh("ip -o link | cut -d: -f2; cat /etc/resolv.conf; ip -o addr show lo | grep -c 127.0.0.1",
                       network="none")  # fmt: skip
    if driver.mode == "chroot":
        assert "network namespace" in answer["error"]
    elif driver.mode == "masked":
        assert answer["stdout"].split()[0] == "lo"
    else:
        assert answer["stdout"].split() == ["lo", "1"]


def test_root_is_left_as_it_was(driver: Driver) -> None:
    before = tree(driver.rootfs)
    assert driver.run("true")["status"] == 0
    assert tree(driver.rootfs) == before


def test_dangling_resolv_conf_works_and_is_left_as_it_was(driver: Driver) -> None:
    link = driver.rootfs / "etc/resolv.conf"
    link.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    try:
        before = tree(driver.rootfs)
        assert driver.sh("cat /etc/resolv.conf")["stdout"] == Path("/etc/resolv.conf").read_text()
        assert tree(driver.rootfs) == before
    finally:
        link.unlink()


def test_own_network_files_of_the_image_come_back(driver: Driver) -> None:
    path = driver.rootfs / "etc/hosts"
    path.write_text("the image's own\n")
    os.chown(path, driver.rootfs.stat().st_uid, -1)
    try:
        before = tree(driver.rootfs)
        assert "localhost" in driver.sh("cat /etc/hosts; rm -f /etc/hosts; echo x >> /etc/hosts; true")["stdout"]
        after = tree(driver.rootfs)
        before.pop("etc")
        after.pop("etc")
        assert after == before
    finally:
        path.unlink()


def test_what_the_command_changes_stays(driver: Driver) -> None:
    script = "mkdir -m 750 /made; echo text > /made/file; umask"
    assert driver.sh(script)["stdout"] == "0022\n"
    made = driver.rootfs / "made"
    assert (made / "file").read_text() == "text\n"
    assert made.stat().st_mode & 0o7777 == 0o750
    assert (made / "file").stat().st_mode & 0o7777 == 0o644
    driver.sh("rm -r /made")


def test_read_only_file_at_a_new_place_leaves_no_trace(driver: Driver) -> None:
    secret = driver.place / "secret"
    secret.write_text("hidden")
    os.chown(secret, driver.rootfs.stat().st_uid, driver.rootfs.stat().st_gid)
    before = tree(driver.rootfs)
    mount = ["bind", str(secret), "/run/secrets/token", True]
    assert driver.sh("cat /run/secrets/token", mounts=[mount])["stdout"] == "hidden"
    assert tree(driver.rootfs) == before


def test_directory_and_tmpfs_mounts(driver: Driver) -> None:
    cache = driver.place / "cache"
    cache.mkdir(exist_ok=True)
    os.chown(cache, driver.rootfs.stat().st_uid, driver.rootfs.stat().st_gid)
    before = tree(driver.rootfs)
    tools = driver.place / "tools"
    tools.mkdir()
    (tools / "true").touch()
    script = (
        "echo kept > /var/cache/x/file; stat -c %a /scratch; echo gone > /scratch/file; touch /scratch/tools/x; "
        "ls /scratch/tools/true"
    )

    def run(size: int) -> dict[str, Any]:
        return driver.sh(
            script,
            mounts=[
                ["bind", str(tools), "/scratch/tools", True],
                ["bind", str(cache), "/var/cache/x", False],
                ["tmpfs", "/scratch", size, 0o700],
            ],
        )

    answer = run(1 << 20)
    if driver.mode == "chroot":
        assert "can't be limited in a chroot" in answer["error"]
        assert answer["hint"]
        answer = run(0)
    else:
        assert "Read-only file system" in answer["stderr"]
    assert answer["stdout"] == "700\n/scratch/tools/true\n"
    assert (cache / "file").read_text() == "kept\n"
    assert (tools / "true").exists()
    assert tree(driver.rootfs) == before


def test_places_of_mounts_come_back_whatever_the_step_does_to_them(driver: Driver) -> None:
    """What a mount hides is there again: under a removed, replaced or moved substitute, and below removed parents."""
    for way in ("true", "rm -rf /own/place; ln -s /etc /own/place", "mv /own/place /elsewhere", "rm -rf /own"):
        source = driver.place / "source"
        source.mkdir()
        (source / "file").write_text("lent")
        place = driver.rootfs / "own/place"
        place.mkdir(parents=True)
        (place / "kept").write_text("kept")
        for path in (source, source / "file", place.parent, place, place / "kept"):
            os.chown(path, driver.rootfs.stat().st_uid, -1)
        driver.sh(f"{way} 2>/dev/null", mounts=[["bind", str(source), "/own/place", False]])
        if way != "rm -rf /own":
            assert (place / "kept").read_text() == "kept", way
        assert source.is_dir()
        assert not [name for name in os.listdir(driver.place) if "aside" in name]
        shutil.rmtree(driver.rootfs / "own", ignore_errors=True)
        shutil.rmtree(driver.rootfs / "elsewhere", ignore_errors=True)
        shutil.rmtree(source)


def test_a_mount_stub_that_was_filled_in_another_way_is_kept(driver: Driver) -> None:
    if driver.mode == "chroot":
        return
    cache = driver.place / "cache"
    cache.mkdir(exist_ok=True)
    driver.sh("echo x > /stub-parent/file", mounts=[["bind", str(cache), "/stub-parent/deep", True]])
    assert sorted(os.listdir(driver.rootfs / "stub-parent")) == ["file"]
    driver.sh("rm -r /stub-parent")


def test_background_processes_are_gone_on_return(driver: Driver) -> None:
    mark = f"31{driver.process.pid}"
    answer = driver.sh(f"sleep {mark} & (setsid sleep {mark} &) ; (trap '' TERM HUP; sleep {mark}) & echo left")
    assert answer["stdout"] == "left\n"
    assert not running(mark)


def test_cancel_ends_everything(driver: Driver) -> None:
    mark = f"32{driver.process.pid}"
    answer = driver.sh(f"(setsid sleep {mark} &); echo ready; sleep {mark}", cancel_on="ready")
    assert answer["status"] == 137
    assert not running(mark)


def test_runs_at_the_same_time(driver: Driver) -> None:
    """Two runs that wait for each other by a pipe that both roots hold end only if both are running."""
    second = make_rootfs(driver.place / "second", driver.rootfs.stat().st_uid)
    os.mkfifo(driver.rootfs / "pipe")
    (driver.rootfs / "pipe").chmod(0o666)
    os.link(driver.rootfs / "pipe", second / "pipe")
    driver.send(("sh", "-c", "echo met > /pipe"), thread=True, id=1)
    driver.send(("sh", "-c", "cat /pipe"), thread=True, id=2, rootfs=second)
    answers = {answer["id"]: answer for answer in (driver.answer(), driver.answer())}
    assert (answers[1]["status"], answers[2]["stdout"]) == (0, "met\n")
    (driver.rootfs / "pipe").unlink()


def test_limits_and_hostname(driver: Driver) -> None:
    answer = driver.sh("ulimit -n; ulimit -Hn; hostname", ulimits=[["nofile", 77, 99]], hostname="maker")
    expected = ["77", "99"] + ([] if driver.mode == "chroot" else ["maker"])
    assert answer["stdout"].split()[: len(expected)] == expected


def test_a_limit_that_cannot_be_had_is_named(driver: Driver) -> None:
    answer = driver.run("true", ulimits=[["nofile", 100, 50]])
    assert "ulimit nofile=100:50" in answer["error"]


def test_a_source_that_is_missing_is_named(driver: Driver) -> None:
    before = tree(driver.rootfs)
    answer = driver.run("true", mounts=[["bind", "/no/such/source", "/here", True]])
    assert "/no/such/source" in answer["error"]
    assert tree(driver.rootfs) == before


def test_killing_the_main_process_ends_everything() -> None:
    for mode in ("mnt", "masked", "chroot"):
        driver = Driver(mode)
        mark = f"33{driver.process.pid}"
        # The one in the background says itself that it is there; both wait for what never comes.
        command = f"mkfifo /a /b; setsid sh -c 'echo ready; read x < /a' {mark} & read y < /b; echo {mark}"
        driver.send(("sh", "-c", command), live=True)
        assert driver.answer() == {"live": "ready\n"}
        pids = running(mark) + children(driver.process.pid)
        assert len(pids) >= 2
        watched = [os.pidfd_open(pid) for pid in pids]
        driver.process.kill()
        for fd in watched:
            assert select.select([fd], [], [], 20)[0], f"{mode}: a process is left"
            os.close(fd)
        assert str(driver.place) not in Path("/proc/self/mountinfo").read_text()
        driver.close()
