"""Hostile repositories and archives: nothing of them is run, and nothing outside of them is read or written."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Coopery
from support.git_servers import Site, Work, git, site
from support.remote_builds import Builder, tar

COPY = "FROM scratch\nCOPY . /\n"


@pytest.fixture
def build(coopery: Coopery, tmp_path: Path) -> Builder:
    return Builder(coopery, tmp_path)


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """A file of the machine's that nobody may read, and that stands in for one that nobody may make."""
    path = tmp_path / "outside/sentinel"
    path.parent.mkdir()
    path.write_text("secret of the machine")
    return path


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work.make(tmp_path / "work")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "served") as served:
        yield served


def tree_of(work: Work, *entries: tuple[str, str, str]) -> None:
    """Make `main` a commit whose tree has these entries (mode, name, hash), however wrong they are."""
    data = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(value) for mode, name, value in entries)
    command = ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    tree = subprocess.run(command, cwd=work.path, input=data, capture_output=True, check=True).stdout.decode().strip()
    git(work.path, "update-ref", "refs/heads/main", git(work.path, "commit-tree", "-m", "x", tree))


def blob(work: Work, text: str) -> str:
    command = ["git", "hash-object", "-w", "--stdin"]
    done = subprocess.run(command, cwd=work.path, input=text.encode(), capture_output=True, check=True)
    return done.stdout.decode().strip()


# ------------------------------------------------------------------------------------------------ subdirectories


@pytest.mark.parametrize("subdir", ["proj/etc", "proj", "near/d", "up/x", "../../etc", "file/x"])
def test_subdirectories_are_real_ones(build: Builder, work: Work, web: Site, sentinel: Path, subdir: str) -> None:
    """CVE-2026-33748."""
    (work.path / "proj").symlink_to("/")
    (work.path / "up").symlink_to("../../../..")
    (work.path / "near").symlink_to(".")
    work.commit({"d/Dockerfile": COPY, "file": "f"})
    work.publish(web.root / "repo.git")
    done = build.fails(f"{web.url}/repo.git#main:{subdir}")
    assert done.returncode == 4
    done = build.fails("-", stdin=f"FROM scratch\nADD {web.url}/repo.git#main:{subdir} /\n")
    assert done.returncode == 4


def test_links_that_lead_out_are_only_links(build: Builder, work: Work, web: Site, sentinel: Path) -> None:
    (work.path / "out").symlink_to(sentinel)
    (work.path / "dir").symlink_to(sentinel.parent)
    work.commit({"Dockerfile": COPY, "other": "FROM scratch\nCOPY out /x\n", "third": "FROM scratch\nCOPY dir/ /x\n"})
    work.publish(web.root / "repo.git")
    result = build(f"{web.url}/repo.git")
    assert result.members["out"].issym()
    assert result.members["dir"].issym()
    for name in ("other", "third", "out", "dir/sentinel"):
        done = build.fails("-f", name, f"{web.url}/repo.git")
        assert "secret of the machine" not in done.stderr


# ------------------------------------------------------------------------------------------------ submodules


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch {made}'",
        "--upload-pack=touch {made}",
        "-u./touch",
        "file://{outside}",
        "{outside}",
        "ssh://-oProxyCommand=touch${{IFS}}{made}/x",
        "git@-oProxyCommand=touch:x",
        "fd::17",
    ],
)
def test_submodules_from_strange_places(
    build: Builder, work: Work, web: Site, tmp_path: Path, sentinel: Path, url: str
) -> None:
    outside = Work.make(tmp_path / "outside-repository")
    commit = outside.commit({"sentinel": "secret of the machine"})
    made = tmp_path / "made"
    address = url.format(made=made, outside=outside.path)
    (work.path / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = "{address}"\n')
    git(work.path, "add", ".gitmodules")
    git(work.path, "update-index", "--add", "--cacheinfo", f"160000,{commit},x")
    git(work.path, "commit", "--quiet", "-m", "x")
    work.publish(web.root / "repo.git")
    done = build.fails("-", stdin=f"FROM scratch\nADD {web.url}/repo.git /r\n")
    assert "submodule" in done.stderr
    assert not made.exists()
    assert build("-", stdin=f"FROM scratch\nADD {web.url}/repo.git?submodules=0 /r\n").names == {"r/.gitmodules"}


def test_no_hook_and_no_update_command_runs(build: Builder, work: Work, web: Site, tmp_path: Path) -> None:
    made = tmp_path / "made"
    inner = Work.make(tmp_path / "inner")
    hook = f"#!/bin/sh\ntouch {made}\n"
    for name in ("post-checkout", "post-merge", "reference-transaction", "fsmonitor-watchman"):
        for place in ("hooks", ".githooks", "y/hooks"):
            (inner.path / place).mkdir(parents=True, exist_ok=True)
            (inner.path / place / name).write_text(hook)
            (inner.path / place / name).chmod(0o755)
    inner.commit({"x": "x"})
    inner.publish(web.root / "inner.git")
    git(work.path, "submodule", "--quiet", "add", str(web.root / "inner.git"), "x")
    git(work.path, "config", "-f", ".gitmodules", "submodule.x.url", f"{web.url}/inner.git")
    work.commit({".githooks/post-checkout": hook, ".gitattributes": "* filter=evil\n"})
    work.publish(web.root / "repo.git")
    # What git would take its hooks from, were it to look at the user's settings.
    home = build.coopery.home
    home.mkdir(parents=True, exist_ok=True)
    (tmp_path / "template/hooks").mkdir(parents=True)
    (tmp_path / "template/hooks/post-checkout").write_text(hook)
    (tmp_path / "template/hooks/post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {tmp_path}/template\n"
        f'[core]\n\thooksPath = {tmp_path}/template/hooks\n\tfsmonitor = "touch {made}; false"\n'
        f'[filter "evil"]\n\tsmudge = touch {made}\n\trequired = true\n'
    )
    env = {"GIT_TEMPLATE_DIR": str(tmp_path / "template")}
    assert "r/x/x" in build("-", stdin=f"FROM scratch\nADD {web.url}/repo.git /r\n", env=env).names
    assert not made.exists()
    git(work.path, "config", "-f", ".gitmodules", "submodule.x.update", f"!touch {made}")
    work.commit({})
    work.publish(web.root / "repo.git")
    done = build.fails("-", stdin=f"FROM scratch\nADD {web.url}/repo.git /r\n")
    assert "submodule" in done.stderr
    assert not made.exists()


# ------------------------------------------------------------------------------------------------ trees


@pytest.mark.parametrize("name", [".git", ".GIT", "..", ".", "../x", "a/.git"])
def test_trees_with_names_that_can_not_be(build: Builder, work: Work, web: Site, tmp_path: Path, name: str) -> None:
    work.commit({"config": f"[core]\n\tfsmonitor = touch {tmp_path}/made\n"})
    inner = git(work.path, "rev-parse", "HEAD^{tree}")
    tree_of(work, ("100644", "Dockerfile", blob(work, COPY)), ("40000", name, inner))
    work.publish(web.root / "repo.git")
    done = build.fails(f"{web.url}/repo.git")
    assert done.returncode == 4
    assert not (tmp_path / "made").exists()


def test_a_file_written_through_a_link(build: Builder, work: Work, web: Site, sentinel: Path) -> None:
    link = blob(work, str(sentinel.parent))
    work.commit({"sentinel": "overwritten"})
    inner = git(work.path, "rev-parse", "HEAD^{tree}")
    tree_of(work, ("100644", "Dockerfile", blob(work, COPY)), ("120000", "x", link), ("40000", "x", inner))
    work.publish(web.root / "repo.git")
    build.coopery("build", "-o", "type=tar,dest=/dev/null", f"{web.url}/repo.git", check=False)
    assert sentinel.read_text() == "secret of the machine"
    assert os.listdir(sentinel.parent) == ["sentinel"]


def test_names_that_mean_deletions(build: Builder, work: Work, web: Site) -> None:
    work.commit({"Dockerfile": COPY, ".wh.bin": ""})
    work.publish(web.root / "repo.git")
    assert "mean deletions" in build.fails(f"{web.url}/repo.git").stderr


# ------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=touch${{IFS}}{made}/x.git",
        "ssh://git@-oProxyCommand=touch/x.git",
        "git://-oProxyCommand=x/y",
        "{web}/repo.git#--upload-pack=touch {made}",
        "{web}/repo.git#--upload-pack=touch",
        "{web}/repo.git?ref=-x",
        "{web}/repo.git#a%0a--upload-pack=x",
        "--upload-pack=x@example.com:y",
    ],
)
def test_addresses_are_no_options(build: Builder, web: Site, tmp_path: Path, url: str) -> None:
    made = tmp_path / "made"
    address = url.format(web=web.url, made=made)
    done = build.fails("--", address) if address.startswith("-") else build.fails(address)
    assert done.returncode in (2, 4)
    assert build.fails(f"--build-context=x={address}", "-", stdin="FROM scratch\n").returncode == 2
    done = build.fails("-", stdin=f'FROM scratch\nADD ["{address}", "/"]\n')
    assert done.returncode in (2, 3, 4)
    assert not made.exists()
    assert not web.asked


def test_a_branch_of_the_servers_that_is_no_name(build: Builder, work: Work, web: Site) -> None:
    work.commit({"Dockerfile": COPY})
    work.publish(web.root / "repo.git")
    (web.root / "repo.git/HEAD").write_text("ref: refs/heads/--upload-pack=x\n")
    done = build.fails(f"{web.url}/repo.git")
    assert "has no default branch" in done.stderr


# ------------------------------------------------------------------------------------------------ archives


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o777
    return made


@pytest.mark.parametrize("how", ["web", "stdin"])
@pytest.mark.parametrize(
    "data",
    [
        tar({"Dockerfile": COPY, "../escaped": "x"}),
        tar({"Dockerfile": COPY, "/../../escaped": "x"}),
        tar({"Dockerfile": COPY, "d/../../escaped": "x"}),
        tar({"Dockerfile": COPY, ".wh.etc": ""}),
        tar({"Dockerfile": COPY}, "", member("h", tarfile.LNKTYPE, "/etc/passwd")),
        tar({"Dockerfile": COPY}, "", member("h", tarfile.LNKTYPE, "../../../etc/passwd")),
        tar({"Dockerfile": COPY}, "", member("l", tarfile.SYMTYPE, "l"), member("l/x", tarfile.DIRTYPE)),
        tar({"Dockerfile": COPY, "a": "x" * 3000})[:2500],
    ],
    ids=["up", "absolute-up", "inner-up", "whiteout", "hard-link", "hard-link-up", "link-loop", "cut-off"],
)
def test_archives_that_can_not_be(build: Builder, web: Site, tmp_path: Path, data: bytes, how: str) -> None:
    (web.root / "x").write_bytes(data)
    done = build.fails(f"{web.url}/x") if how == "web" else build.fails("-", stdin=data)
    assert done.returncode == 4, done.stderr
    assert not list(tmp_path.rglob("escaped"))


def test_links_in_archives_stay_inside(build: Builder, sentinel: Path) -> None:
    links = [
        member("out", tarfile.SYMTYPE, str(sentinel.parent)),
        member("up", tarfile.SYMTYPE, "../" * 20 + str(sentinel.parent).lstrip("/")),
    ]
    files = {"Dockerfile": "FROM scratch\nCOPY out/sentinel /x\n", "up.d": "FROM scratch\nCOPY up/sentinel /x\n"}
    data = tar(files, "", *links)
    for name in ("Dockerfile", "up.d"):
        assert build.fails("-f", name, "-", stdin=data).returncode == 4
    # A link as Dockerfile leads to nothing that lies outside.
    away = tar({}, "", member("Dockerfile", tarfile.SYMTYPE, "/etc/passwd"))
    done = build.fails("-", stdin=away)
    assert "root:" not in done.stderr
    # Written through a link, a file stays inside as well.
    through = tar({"Dockerfile": COPY}, "", links[0], member("out/made", tarfile.DIRTYPE))
    build.coopery("build", "-o", "type=tar,dest=/dev/null", "-", stdin=through, check=False)
    assert os.listdir(sentinel.parent) == ["sentinel"]
