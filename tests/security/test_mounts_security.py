"""Ways out by `RUN --mount`, tried in whole builds: a sentinel outside stays as it was, and isn't seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import plainregistry
from plainoci import flatten
from support.command import Coopery
from support.sandboxes import Driver, tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")

WAYS = ("mnt", "full", "chroot")


@pytest.fixture
def outside(tmp_path):
    """A directory with a sentinel, which anybody could change."""
    path = tmp_path / "outside"
    (path / "deep").mkdir(parents=True)
    (path / "sentinel").write_text("the sentinel")
    for each in (path, path / "deep", path / "sentinel"):
        each.chmod(0o777)
    return path


@pytest.fixture(params=WAYS)
def build(request, coopery: Coopery, registry, base_image, tmp_path):
    """Builds a Dockerfile with an isolation; gives the command's end and the files of the image."""

    def run(dockerfile: str, context: Path | None = None, *args: str, check: bool = True, **options):
        context = context or tmp_path / "context"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile.replace("FROM base", f"FROM {base_image}"))
        name = f"{registry.host}/security/{tmp_path.name.lower()}:1"
        command = ["build", "--progress=plain", "--push", "-t", name, "--isolation", request.param, *args, str(context)]
        done = coopery(*command, check=check, **options)
        return done, flatten(plainregistry.pull(name).layers) if done.returncode == 0 else {}

    run.way = request.param
    return run


def test_links_in_a_source_stay_inside(build, outside, tmp_path):
    """CVE-2024-1753: the source of a bind mount, or something on the way to it, is a link to the machine's root."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "up").symlink_to("../outside")
    (context / "rootdir").symlink_to("/")
    (context / "dir").mkdir()
    before = tree(outside)
    for line in (
        f"RUN --mount=type=bind,source=/rootdir{outside},target=/m,rw touch /m/pwned; cat /m/sentinel",
        "RUN --mount=source=up,target=/m,rw touch /m/pwned; cat /m/sentinel",
        f"RUN --mount=from=evil,source=/rootdir{outside},target=/m,rw touch /m/pwned; cat /m/sentinel",
        f"RUN --mount=type=cache,from=evil,source=/rootdir{outside},target=/m touch /m/pwned; cat /m/sentinel",
        f"RUN --mount=from=evil,source=../../..{outside},target=/m,rw touch /m/pwned; cat /m/sentinel",
    ):
        dockerfile = f"FROM base AS evil\nRUN ln -s / /rootdir\nFROM base\n{line}\n"
        done, _ = build(dockerfile, context, check=False)
        assert done.returncode in (3, 4), line
        assert "the sentinel" not in done.stdout + done.stderr, line
        assert tree(outside) == before, line


def test_a_source_that_is_a_link_to_the_root_is_the_root_it_lies_in(build, outside):
    """Merged directories and links to `/` are honest things: they mean the source's own root."""
    _, files = build(
        "FROM base AS honest\nRUN ln -s / /rootdir && echo mine > /mark\nFROM base\n"
        "RUN --mount=from=honest,source=/rootdir,target=/m,rw cat /m/mark > /seen && rm /m/mark && touch /m/etc/x\n"
        "RUN --mount=from=honest,source=/rootdir/rootdir/../../etc,target=/m ls /m > /again\n"
    )
    assert files["seen"].data == b"mine\n"
    assert "x" not in files["again"].data.decode().split()


def test_names_of_caches_lead_nowhere(build, outside, coopery):
    """CVE-2024-9675: a cache's id is a path, and its source another."""
    before = tree(outside)
    done, _ = build(
        "FROM base\n"
        f"RUN --mount=type=cache,id=../../../../../../../..{outside},target=/m touch /m/pwned; ! cat /m/sentinel\n"
        f"RUN --mount=type=cache,id={outside},target=/m touch /m/pwned; ! cat /m/sentinel\n"
        "RUN --mount=type=cache,id=.,target=/m --mount=type=cache,id=..,target=/n ls -A /m /n\n"
    )
    assert "the sentinel" not in done.stdout + done.stderr
    assert tree(outside) == before
    failed, _ = build("FROM base\nRUN --mount=type=cache,source=../../..,target=/m ls /m\n", check=False)
    assert failed.returncode == 3
    assert "from=" in failed.stderr


def test_what_a_step_leaves_in_a_caches_place_is_no_way_out(build, outside):
    """A link in the place of a cache's own directory, which the next step then mounts."""
    before = tree(outside)
    attack = f"RUN --mount=type=cache,id=c,target=/m rm -rf /m; ln -s {outside} /m; ln -s {outside} /m/inner; true\n"
    done, _ = build(
        f"FROM base\n{attack}"
        "RUN --mount=type=cache,id=c,target=/m touch /m/pwned /m/inner/pwned; cat /m/sentinel /m/inner/sentinel; true\n"
        "RUN --mount=type=cache,id=c,target=/m --mount=target=/m/inner/new --mount=target=/m/inner/deep ls /m; true\n",
        check=False,
    )
    assert "the sentinel" not in done.stdout + done.stderr
    assert tree(outside) == before


def test_a_cache_that_is_filled_follows_no_links(build, outside):
    before = tree(outside)
    _, files = build(
        f"FROM base AS seed\nRUN mkdir /s && ln -s {outside} /s/link && ln -s {outside}/new /s/new\n"
        "FROM base\nRUN --mount=type=cache,from=seed,source=/s,target=/m readlink /m/link > /seen;"
        " ! cat /m/link/sentinel\n"
    )
    assert files["seen"].data.decode().strip() == str(outside)
    assert tree(outside) == before


def test_clean_up_of_mount_points_follows_no_links(build, outside):
    """CVE-2024-23652: the parent of a mount point becomes a link to a place where something is called the same."""
    before = tree(outside)
    build(
        "FROM base\nRUN --mount=target=/area/deep --mount=type=cache,target=/area/sentinel"
        f" mv /area /moved; ln -s {outside} /area; true\n"
        f"RUN --mount=type=tmpfs,target=/other/deep mv /other /gone; ln -s {outside} /other; true\n"
    )
    assert tree(outside) == before


def test_mount_points_that_are_links_lead_nowhere(build, outside):
    before = tree(outside)
    build(
        f"FROM base\nRUN ln -s {outside} /abs && ln -s ../../../../../..{outside} /up && ln -s / /root-of-it\n"
        "RUN --mount=target=/abs/new --mount=target=/up/deep --mount=type=cache,target=/root-of-it/sentinel"
        " --mount=source=Dockerfile,target=/abs/sentinel touch /root-of-it/sentinel/x\n"
    )
    assert tree(outside) == before


def test_keys_and_agents_leave_no_trace(build, coopery, tmp_path):
    """A step that has an agent's socket sees no key, and finds none; nothing of it is kept."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    private = key.read_bytes().splitlines()[2]
    done, files = build(
        "FROM base\nRUN --mount=type=ssh,mode=0666 find / -xdev -type f -exec grep -l "
        "'OPENSSH PRIVATE' {} + > /found; find /run /proc/self/environ | sort > /shown; true\n"
        "RUN test ! -e /run/buildkit\n",
        None,
        "--ssh",
        f"default={key}",
    )
    assert files["found"].data == b""
    kept = [path.read_bytes() for path in coopery.home.rglob("*") if path.is_file()]
    assert not [data for data in (*kept, done.stderr.encode(), done.stdout.encode()) if private in data]


@pytest.mark.parametrize("mode", ["mnt", "full", "masked"])
def test_directories_swapped_for_links_while_they_are_mounted_on(mode, tmp_path):
    """CVE-2024-23651, CVE-2024-11218: two steps share a cache; one swaps a directory of it for a link, again and
    again, while the other has mounts made below that directory."""
    driver = Driver(mode)
    outside = driver.place / "victim"
    (outside / "deep").mkdir(parents=True)
    (outside / "sentinel").write_text("the sentinel")
    for path in (outside, outside / "deep"):
        path.chmod(0o777)
    cache, source = driver.place / "cache", driver.place / "source"
    for path in (cache, source):
        path.mkdir()
        os.chown(path, driver.rootfs.stat().st_uid, -1)
        path.chmod(0o777)
    (cache / "sub").mkdir()
    (cache / "link").symlink_to("../../../../../../../.." + str(outside))
    for path in (cache / "sub", cache / "link"):
        os.lchown(path, driver.rootfs.stat().st_uid, -1)
    before = tree(outside)
    # renameat2's exchange, as fast as it goes, from outside of any sandbox: faster than any step could.
    swapper = subprocess.Popen([sys.executable, "-c", _SWAP, str(cache)])
    try:
        for _ in range(60):
            answer = driver.sh(
                "touch /c/sub/deep/x /c/link/deep/x; cat /c/sub/sentinel /c/link/sentinel; true",
                mounts=[
                    ["bind", str(cache), "/c", False],
                    ["bind", str(source), "/c/sub/deep", False],
                    ["bind", str(source), "/c/sub/new", False],
                ],
            )
            assert "the sentinel" not in answer.get("stdout", "")
            assert tree(outside) == before
    finally:
        swapper.kill()
        swapper.wait()
        driver.close()


_SWAP = """
import ctypes, sys
libc = ctypes.CDLL(None)
a, b = (f"{sys.argv[1]}/{name}".encode() for name in ("sub", "link"))
while True:
    libc.renameat2(-100, a, -100, b, 2)
"""
