"""Ways out of a sandbox, tried: the sentinel outside stays as it was, or isn't seen."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sandboxes import Driver, children, make_rootfs, tree, unavailable

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "available")


@pytest.fixture(scope="module", params=["mnt", "full", "single", "masked", "chroot"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    made = Driver(request.param)
    yield made
    made.close()


FORBIDDEN = (
    "mount -t tmpfs none /tmp",
    "mount -o bind /bin /tmp",
    "mount -o remount,rw /proc/sys",
    "umount /proc",
    "unshare -m true",
    "unshare -U true",
    "nsenter -t 1 -m true",
    "pivot_root /tmp /tmp",
    "hostname changed",
    "echo 1 > /proc/sys/vm/drop_caches",
    "echo h > /proc/sysrq-trigger",
    "cat /proc/kcore | grep -q .",
    "cat /proc/1/exe",
    "cat /proc/1/environ",
    "ls /proc/1/root/",
    "swapoff /bin/sh",
    "insmod /bin/sh",
)


def test_what_root_in_a_step_may_not(driver: Driver) -> None:
    script = "".join(f"({command}) >/dev/null 2>&1 && echo '{command}'; " for command in FORBIDDEN)
    assert driver.sh(script + "echo end")["stdout"] == "end\n"


def test_a_chroot_has_no_second_one(driver: Driver) -> None:
    if driver.mode == "chroot":
        assert "not permitted" in driver.sh("mkdir -p /tmp/x; chroot /tmp/x /bin/true")["stderr"]


def test_the_machines_devices_keep_their_modes(driver: Driver) -> None:
    before = [os.stat(f"/dev/{name}").st_mode for name in ("null", "zero", "tty")]
    driver.sh("chmod 0600 /dev/null /dev/zero /dev/tty /proc/keys /proc/timer_list; chown 7:7 /dev/null")
    assert [os.stat(f"/dev/{name}").st_mode for name in ("null", "zero", "tty")] == before
    assert os.stat("/dev/null").st_uid == 0


@pytest.mark.parametrize("number", (3, 4, 5, 7))
def test_no_descriptor_leads_out(driver: Driver, number: int) -> None:
    """CVE-2024-21626: a working directory by way of a descriptor that the runtime left open."""
    answer = driver.run("cat", "../../../../etc/hostname", cwd=f"/proc/self/fd/{number}")
    assert answer["status"] == 127
    assert "working directory" in answer["stderr"]


def test_the_spec_shows_nowhere(driver: Driver) -> None:
    """Nothing of a step's environment or of the job's is in what its ancestors show of themselves."""
    driver.send(
        ("sh", "-c", "echo ready; exec cat /wait"),
        env=["PATH=/bin", "TOKEN=very-secret"],
        live=True,
        cancel_on="again",
    )
    os.mkfifo(driver.rootfs / "wait", 0o666)
    (driver.rootfs / "wait").chmod(0o666)
    assert driver.answer() == {"live": "ready\n"}
    helpers = children(driver.process.pid)
    assert len(helpers) == 1
    seen = helpers + ([] if driver.mode in ("masked", "chroot") else children(helpers[0]))
    for pid in seen:
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"very-secret" not in shown
        assert b"of-the-job" not in shown
    (driver.rootfs / "wait").write_text("done")
    assert driver.answer() == {"live": "done"}
    assert driver.answer()["status"] == 0
    (driver.rootfs / "wait").unlink()


def test_symlinks_in_the_image_do_not_lead_mounts_out(driver: Driver) -> None:
    secret = driver.place / "secret"
    secret.write_text("hidden")
    secret.chmod(0o644)
    outside = driver.place / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text("sentinel")
    (driver.rootfs / "up").symlink_to("../../../../../.." + str(outside))
    (driver.rootfs / "absolute").symlink_to(outside)
    before = tree(outside)
    for link in ("up", "absolute"):
        inside = driver.sh(f"cat /{link}/file {outside}/file", mounts=[["bind", str(secret), f"/{link}/file", True]])
        assert inside["stdout"] == "hiddenhidden"
    assert tree(outside) == before
    for link in ("up", "absolute"):
        (driver.rootfs / link).unlink()


def test_clean_up_does_not_follow_what_the_step_swapped_in(driver: Driver) -> None:
    """CVE-2024-23652: the parent of a mount point becomes a symlink to a place outside."""
    secret = driver.place / "secret"
    secret.write_text("hidden")
    secret.chmod(0o644)
    outside = driver.place / "victims"
    (outside / "deep").mkdir(parents=True, exist_ok=True)
    (outside / "deep/stub").touch()
    up = "../../../../../.." + str(outside)
    driver.sh(
        f"mv /area /moved; ln -s {up} /area",
        mounts=[["bind", str(secret), "/area/deep/stub", True]],
    )
    assert (outside / "deep/stub").exists()
    driver.sh("rm -rf /area /moved")


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_kernel_places_that_are_symlinks_are_refused(driver: Driver, name: str) -> None:
    if driver.mode == "chroot":
        return
    root = make_rootfs(driver.place / f"linked-{name}", driver.rootfs.stat().st_uid)
    (root / name).symlink_to("tmp")
    answer = driver.run("true", rootfs=root)
    assert f"/{name}" in answer["error"]
    assert "symbolic link" in answer["error"]


def test_the_image_cannot_lend_code_to_the_helper(driver: Driver) -> None:
    """Python modules in the image, at the very paths where the helper found its own, are never imported."""
    root = make_rootfs(driver.place / "poisoned", driver.rootfs.stat().st_uid)
    for directory in {sysconfig.get_path("stdlib"), "/usr/lib/python3.11", str(Path(__file__).parents[2] / "core")}:
        library = root / directory.lstrip("/")
        library.mkdir(parents=True)
        for module in ("warnings", "traceback", "signal", "linecache", "tokenize", "codecs", "re"):
            (library / f"{module}.py").write_text("open('/hijacked', 'w').close()\n")
    for argv, fields in (
        (("missing",), {}),
        (("true",), {"cwd": "/missing"}),
        (("",), {}),
        (("a\0b",), {}),
        (("true",), {"env": ["A=\0"]}),
        (("true",), {"uid": 1 << 31}),
        (("true",), {"ulimits": [["nofile", 9, 1]]}),
    ):
        driver.run(*argv, rootfs=root, **fields)
    assert not (root / "hijacked").exists()


def test_secrets_of_a_run_are_not_in_the_next(driver: Driver) -> None:
    secret = driver.place / "secret"
    secret.write_text("hidden")
    secret.chmod(0o644)
    mounts = [["bind", str(secret), "/run/secrets/token", True]]
    assert driver.sh("cat /run/secrets/token", mounts=mounts)["stdout"] == "hidden"
    assert driver.sh("cat /run/secrets/token")["status"] != 0
