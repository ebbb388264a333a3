"""Contexts that aren't directories: git repositories, archives and Dockerfiles from the web and standard input."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Coopery
from support.git_servers import COMMITTED, Site, Work, git, site
from support.remote_builds import Builder, tar

COPY = "FROM scratch\nCOPY . /\n"


@pytest.fixture
def build(coopery: Coopery, tmp_path: Path) -> Builder:
    return Builder(coopery, tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with a few files, in two commits."""
    work = Work.make(tmp_path / "work")
    work.commit({"Dockerfile": COPY, "a": "first", "sub/Dockerfile": COPY, "sub/x": "x"})
    git(work.path, "tag", "v1")
    (work.path / "run").write_text("#!/bin/sh\n")
    (work.path / "run").chmod(0o700)
    (work.path / "link").symlink_to("a")
    work.commit({"a": "second", ".dockerignore": "a\n"})
    return work


@pytest.fixture
def web(tmp_path: Path, work: Work) -> Iterator[Site]:
    work.publish(tmp_path / "served/repo.git")
    with site(tmp_path / "served") as served:
        yield served


# ------------------------------------------------------------------------------------------------ git


def test_a_git_repository(build: Builder, web: Site) -> None:
    result = build(f"{web.url}/repo.git")
    # Its ignore file isn't looked at, as in BuildKit.
    assert result.names == {"Dockerfile", "a", "sub/Dockerfile", "sub/x", "run", "link", ".dockerignore"}
    assert result.contents["a"] == b"second"
    assert (result.members["run"].mode, result.members["a"].mode) == (0o755, 0o644)
    assert result.members["link"].linkname == "a"
    assert {member.mtime for name, member in result.members.items() if name in result.names} == {COMMITTED}
    assert {(member.uid, member.gid) for member in result.members.values()} == {(0, 0)}


@pytest.mark.parametrize("what", ["#v1", "#refs/tags/v1", "?tag=v1", "?ref=v1", "#{commit}", "?ref={commit}"])
def test_a_tag_or_commit(build: Builder, web: Site, work: Work, what: str) -> None:
    commit = git(work.path, "rev-parse", "v1")
    assert build(f"{web.url}/repo.git" + what.format(commit=commit)).contents["a"] == b"first"


def test_a_subdirectory(build: Builder, web: Site) -> None:
    assert build(f"{web.url}/repo.git#main:sub").names == {"Dockerfile", "x"}
    assert build(f"{web.url}/repo.git?subdir=sub&branch=main").names == {"Dockerfile", "x"}


def test_a_branch_comes_before_a_tag_of_its_name(build: Builder, web: Site, work: Work, tmp_path: Path) -> None:
    git(work.path, "branch", "v1", "main")
    git(work.path, "push", "--quiet", str(tmp_path / "served/repo.git"), "refs/heads/v1")
    assert build(f"{web.url}/repo.git#v1").contents["a"] == b"second"
    assert build(f"{web.url}/repo.git?tag=v1").contents["a"] == b"first"


def test_an_annotated_tag(build: Builder, web: Site, work: Work, tmp_path: Path) -> None:
    git(work.path, "tag", "-a", "-m", "it", "v2", "v1")
    work.publish(tmp_path / "served/repo.git")
    assert build(f"{web.url}/repo.git#v2").contents["a"] == b"first"
    # Its checksum is that of the commit or that of the tag, as in BuildKit.
    for which in ("v2", "v2^{}"):
        checksum = git(work.path, "rev-parse", which)
        assert build(f"{web.url}/repo.git?checksum={checksum[:12]}#v2").contents["a"] == b"first"


def test_a_wrong_checksum(build: Builder, web: Site, work: Work) -> None:
    done = build.fails(f"{web.url}/repo.git?checksum=00ff#main")
    assert done.returncode == 12
    assert git(work.path, "rev-parse", "main") in done.stderr
    assert "00ff" in done.stderr


@pytest.mark.parametrize("argument", ["query", "build-arg"])
def test_keeping_git_dir(build: Builder, web: Site, argument: str, tmp_path: Path) -> None:
    url = f"{web.url}/repo.git"
    if argument == "query":
        result = build(f"{url}?keep-git-dir=1")
    else:
        result = build("--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url)
    assert f"url = {url}\n" in result.contents[".git/config"].decode()
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "xf", tmp_path / "result.tar", "-C", out], check=True)
    assert git(out, "-c", "safe.directory=*", "status", "--porcelain") == ""
    assert git(out, "-c", "safe.directory=*", "log", "--format=%s", "main") == "change"


def test_what_is_not_there(build: Builder, web: Site) -> None:
    for url, expected in (
        ("/repo.git#nothing", "has no branch or tag 'nothing'"),
        ("/repo.git#0123456", "with all 40 digits"),
        ("/repo.git#main:nothing", "'nothing' isn't there"),
        ("/repo.git#main:a", "'a' is not a directory"),
        ("/other.git", "can't be fetched"),
        (f"/repo.git#{'0' * 40}", "no commit 0000"),
    ):
        done = build.fails(web.url + url)
        assert done.returncode == 4
        assert expected in done.stderr, done.stderr
        assert "hint:" in done.stderr.lower()


def test_no_server(build: Builder) -> None:
    assert build.fails("http://127.0.0.1:1/repo.git").returncode == 9


def test_only_the_commit_is_fetched(build: Builder, web: Site, work: Work, tmp_path: Path) -> None:
    import os

    for _ in range(3):
        work.commit({"big": os.urandom(300_000)})
    work.publish(tmp_path / "served/repo.git")
    build(f"{web.url}/repo.git")
    assert web.fetched() == 1
    assert web.sent < 600_000


def test_a_server_of_plain_files(build: Builder, web: Site, work: Work) -> None:
    web.dumb = True
    assert build(f"{web.url}/repo.git#v1").contents["a"] == b"first"


def test_a_dockerfile_elsewhere_for_a_repository(build: Builder, web: Site, tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY a /only\n"
    assert build("-f", "-", f"{web.url}/repo.git", stdin=text).names == {"only"}
    (tmp_path / "absolute").write_text(text)
    assert build("-f", tmp_path / "absolute", f"{web.url}/repo.git").names == {"only"}
    (web.root / "Dockerfile").write_text(text)
    assert build("-f", f"{web.url}/Dockerfile", f"{web.url}/repo.git").names == {"only"}
    assert "sub/x" in build("-f", "sub/Dockerfile", f"{web.url}/repo.git").names
    done = build.fails("-f", "Missing", f"{web.url}/repo.git")
    assert done.returncode == 3
    assert "there is Dockerfile" in done.stderr


def test_no_git(build: Builder, web: Site, tmp_path: Path) -> None:
    done = build.fails(f"{web.url}/repo.git", env={"PATH": str(tmp_path)})
    assert done.returncode == 10
    assert "git isn't installed" in done.stderr


def test_files_in_lfs_come_as_pointers_and_are_told_of(build: Builder, web: Site, work: Work, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    work.commit({"sub/.gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "sub/a.bin": pointer})
    work.publish(tmp_path / "served/repo.git")
    for _ in range(2):  # also when it comes from the cache
        result = build(f"{web.url}/repo.git")
        assert result.contents["sub/a.bin"].decode() == pointer
        assert "Git LFS" in result.done.stderr


def test_line_endings_as_attributes_say(build: Builder, web: Site, work: Work, tmp_path: Path) -> None:
    work.commit({".gitattributes": "*.bat text eol=crlf\n", "x.bat": "a\nb\n"})
    work.publish(tmp_path / "served/repo.git")
    assert build(f"{web.url}/repo.git").contents["x.bat"] == b"a\r\nb\r\n"


def test_a_repository_of_sha256(build: Builder, tmp_path: Path) -> None:
    work = Work.make(tmp_path / "new", **{"object-format": "sha256"})
    commit = work.commit({"Dockerfile": COPY})
    assert len(commit) == 64
    work.publish(tmp_path / "served/new.git")
    with site(tmp_path / "served") as web:
        assert build(f"{web.url}/new.git#{commit}").names == {"Dockerfile"}
        assert build(f"{web.url}/new.git").names == {"Dockerfile"}


# ------------------------------------------------------------------------------------------------ the web


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz", "zst"])
def test_an_archive_from_the_web(build: Builder, tmp_path: Path, compression: str) -> None:
    files = {"Dockerfile": COPY, "a": "content", ".dockerignore": "a\n", "d/x": "x"}
    data = tar(files, "" if compression == "zst" else compression, uid=7)
    if compression == "zst":
        import zstandard

        data = zstandard.compress(data)
    with site(tmp_path / "served") as web:
        (web.root / "whatever").write_bytes(data)
        result = build(f"{web.url}/whatever")
    assert result.names == set(files)
    assert result.contents["a"] == b"content"
    # What is in an archive keeps its owner, as in BuildKit.
    assert (result.members["a"].uid, result.members["a"].mtime) == (7, 1_000_000_000)


def test_a_dockerfile_from_the_web_as_context(build: Builder, tmp_path: Path) -> None:
    with site(tmp_path / "served") as web:
        (web.root / "x").write_text(COPY)
        result = build(f"{web.url}/x")
        assert result.contents == {"context": COPY.encode()}
        assert build.fails("-f", "y", f"{web.url}/x").returncode == 2
        assert build.fails(f"{web.url}/z").returncode == 4


def test_a_dockerfile_from_the_web_for_a_directory(build: Builder, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "a").write_text("a")
    (context / ".dockerignore").write_text(".dockerignore\n")
    with site(tmp_path / "served") as web:
        (web.root / "x").write_text(COPY)
        assert build("-f", f"{web.url}/x", context).names == {"a"}
        (web.root / "x").write_text("FROM scratch\nCOPY b /\n")
        done = build.fails("-f", f"{web.url}/x", context)
        assert f"{web.url}/x:2" in done.stderr


# ------------------------------------------------------------------------------------------------ standard input


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_an_archive_on_standard_input(build: Builder, compression: str) -> None:
    files = {"Dockerfile": COPY, "other": "FROM scratch\nCOPY a /b\n", "a": "content"}
    data = tar(files, compression)
    assert build("-", stdin=data).names == set(files)
    assert build("-f", "other", "-", stdin=data).names == {"b"}


def test_an_archive_with_the_same_files_is_found_in_the_cache(build: Builder) -> None:
    build("-", stdin=tar({"Dockerfile": COPY, "a": "content"}))
    assert "CACHED" in build("-", stdin=tar({"Dockerfile": COPY, "a": "content"}, "gz")).done.stderr
    assert "CACHED" not in build("-", stdin=tar({"Dockerfile": COPY, "a": "other"})).done.stderr


def test_a_dockerfile_on_standard_input(build: Builder, tmp_path: Path) -> None:
    assert build("-", stdin="FROM scratch\nCOPY <<x /here\nhello\nx\n").names == {"here"}
    (tmp_path / "context").mkdir()
    (tmp_path / "context/a").write_text("a")
    assert build("-f", "-", tmp_path / "context", stdin=COPY).names == {"a"}


@pytest.mark.parametrize(
    ("args", "stdin", "expected"),
    [
        (["-f", "-", "-"], COPY, "can't both come from standard input"),
        (["-f", "x", "-"], COPY, "leave --file out"),
        (["-"], b"\x1f\x8b garbage", "compressed, but holds no tar"),
    ],
)
def test_what_standard_input_can_not_be(build: Builder, args: list[str], stdin: str | bytes, expected: str) -> None:
    assert expected in build.fails(*args, stdin=stdin).stderr


# ------------------------------------------------------------------------------------------------ others


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("file:///srv/repo.git", "without file://"),
        ("ext::sh -c id", "no kind of build context"),
        ("ftp://example.com/x", "no kind of build context"),
        ("/nowhere", "is not a directory"),
    ],
)
def test_no_contexts(build: Builder, where: str, expected: str) -> None:
    assert expected in build.fails(where).stderr


def test_a_directory_whose_name_looks_like_an_address(build: Builder, tmp_path: Path) -> None:
    strange = tmp_path / "git@example.com:repo.git"
    strange.mkdir()
    (strange / "Dockerfile").write_text(COPY)
    assert build.coopery("build", "-o", f"type=tar,dest={tmp_path}/o", strange.name, cwd=tmp_path)
