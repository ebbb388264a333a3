"""ADD of git repositories and named contexts of all kinds: what comes of them, and when they are found in the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Coopery
from support.git_servers import COMMITTED, Site, Work, git, git_daemon, site
from support.remote_builds import Builder, tar


@pytest.fixture
def build(coopery: Coopery, tmp_path: Path) -> Builder:
    return Builder(coopery, tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = Work.make(tmp_path / "work")
    work.commit({"a": "first", "sub/x": "x"})
    return work


@pytest.fixture
def web(tmp_path: Path, work: Work) -> Iterator[Site]:
    work.publish(tmp_path / "served/repo.git")
    with site(tmp_path / "served") as served:
        yield served


def cached(build: Builder, dockerfile: str, step: str = "ADD") -> bool:
    """Build; whether the step was found in the cache."""
    lines = build("-", stdin=dockerfile).done.stderr.splitlines()
    number = next(line.split()[0] for line in lines if f"] {step} " in line)
    return f"{number} CACHED" in lines


# ------------------------------------------------------------------------------------------------ ADD


def test_add(build: Builder, web: Site) -> None:
    result = build("-", stdin=f"FROM scratch\nADD {web.url}/repo.git /r\nADD {web.url}/repo.git#main:sub /s/\n")
    assert result.names == {"r/a", "r/sub/x", "s/x"}
    assert {result.members[name].mtime for name in result.names} == {COMMITTED}
    assert not result.done.stdout


def test_the_flags_of_add(build: Builder, web: Site) -> None:
    dockerfile = (
        f"FROM scratch\nARG REPO\nADD --chown=5:6 --chmod=0640 --exclude=sub {web.url}/$REPO /r\n"
        f"ADD --link {web.url}/repo.git /l\nADD --keep-git-dir=true {web.url}/repo.git /k\n"
    )
    result = build("--build-arg=REPO=repo.git", "-", stdin=dockerfile)
    entry = result.members["r/a"]
    assert (entry.uid, entry.gid, entry.mode) == (5, 6, 0o640)
    assert "r/sub/x" not in result.names
    assert {"l/a", "l/sub/x", "k/.git/HEAD", "k/.git/refs/heads/main", "k/a"} <= result.names
    assert f"url = {web.url}/repo.git\n" in result.contents["k/.git/config"].decode()


def test_several_sources(build: Builder, web: Site) -> None:
    (web.root / "file").write_text("f")
    result = build("-", stdin=f"FROM scratch\nADD {web.url}/repo.git {web.url}/file /r/\n")
    assert result.names == {"r/a", "r/sub/x", "r/file"}


def test_checksums(build: Builder, web: Site, work: Work) -> None:
    commit = git(work.path, "rev-parse", "main")
    dockerfile = "FROM scratch\nADD --checksum={} {} /r\n"
    assert build("-", stdin=dockerfile.format(commit[:10].upper(), f"{web.url}/repo.git"))
    wrong = ("0" * 40, "dead")
    for checksum in wrong:
        done = build.fails("-", stdin=dockerfile.format(checksum, f"{web.url}/repo.git"))
        assert done.returncode == 12
        assert commit in done.stderr
        assert checksum in done.stderr
        assert "Dockerfile:2" in done.stderr
    # One that is known by its hash isn't looked up: it is compared all the same.
    done = build.fails("-", stdin=dockerfile.format("dead", f"{web.url}/repo.git#{commit}"))
    assert done.returncode == 12


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ADD --keep-git-dir=true {}/file /", "for git repositories"),
        ("ADD --unpack=true {}/repo.git /", "not for git repositories"),
        ("ADD --checksum=xyz {}/repo.git /", "not the hash of a commit"),
        ("ADD --keep-git-dir=true {}/repo.git?keep-git-dir=false /", "contradict"),
        ("ADD --keep-git-dir=true {}/repo.git#main:sub /", "no .git can be kept"),
        ("ADD {}/repo.git#--upload-pack=id /", "no name of a branch"),
        ("ADD {}/repo.git?branches=x /", "did you mean branch?"),
        ("ADD {}/repo.git#none /", "has no branch or tag"),
        ("ADD {}/none.git /", "can't be fetched"),
        ("COPY {}/repo.git /", "write ADD"),
    ],
)
def test_lines_that_make_no_sense(build: Builder, web: Site, line: str, expected: str) -> None:
    done = build.fails("-", stdin="FROM scratch\n" + line.format(web.url) + "\n")
    assert expected in done.stderr
    assert "Dockerfile:2" in done.stderr


def test_submodules(build: Builder, web: Site, work: Work, tmp_path: Path) -> None:
    inner = Work.make(tmp_path / "inner")
    inner.commit({"in-it": "inner"})
    inner.publish(tmp_path / "served/inner.git")
    git(work.path, "submodule", "--quiet", "add", str(tmp_path / "served/inner.git"), "lib")
    git(work.path, "submodule", "set-url", "lib", "../inner.git")  # by way of the server
    work.commit({})
    inner.commit({"in-it": "moved on"})
    inner.publish(tmp_path / "served/inner.git")
    work.publish(tmp_path / "served/repo.git")
    dockerfile = (
        f"FROM scratch\nADD {web.url}/repo.git /with\nADD {web.url}/repo.git?submodules=false /without\n"
        f"ADD --keep-git-dir=true {web.url}/repo.git /kept\n"
    )
    for dumb in (False, True):
        web.dumb = dumb
        result = build("--no-cache", "-", stdin=dockerfile)
        assert result.contents["with/lib/in-it"] == b"inner"
        assert result.members["without/lib"].isdir()
        assert not [name for name in result.names if name.startswith("without/lib/")]
        # What only says where git's files lie on the machine that built it is no part of the files.
        assert "with/lib/.git" not in result.names
        assert "kept/lib/.git" in result.names


# ------------------------------------------------------------------------------------------------ the cache


def test_a_branch_that_moved_is_fetched_and_one_that_did_not_is_not(
    build: Builder, web: Site, work: Work, tmp_path: Path
) -> None:
    dockerfile = f"FROM scratch\nADD {web.url}/repo.git#main /r\n"
    assert not cached(build, dockerfile)
    before = web.fetched()
    assert cached(build, dockerfile)
    assert web.fetched() == before
    work.commit({"a": "second"})
    work.publish(tmp_path / "served/repo.git")
    assert not cached(build, dockerfile)
    assert build("-", stdin=dockerfile).contents["r/a"] == b"second"


def test_a_commit_needs_no_server_once_it_is_known(build: Builder, web: Site, work: Work) -> None:
    dockerfile = f"FROM scratch\nADD {web.url}/repo.git#{git(work.path, 'rev-parse', 'main')} /r\n"
    assert not cached(build, dockerfile)
    web.asked.clear()
    assert cached(build, dockerfile)
    assert not web.asked


def test_the_same_commit_by_another_name_is_the_same_step(build: Builder, web: Site, work: Work) -> None:
    git(work.path, "tag", "-a", "-m", "x", "v1")
    work.publish(web.root / "repo.git")
    work.publish(web.root / "mirror.git")
    assert not cached(build, f"FROM scratch\nADD {web.url}/repo.git /r\n")
    assert cached(build, f"FROM scratch\nADD {web.url}/repo.git#v1 /r\n")
    assert cached(build, f"FROM scratch\nADD {web.url}/mirror.git /r\n")
    assert not cached(build, f"FROM scratch\nADD {web.url}/repo.git#main:sub /r\n")
    assert not cached(build, f"FROM scratch\nADD --keep-git-dir=true {web.url}/repo.git /r\n")
    assert not cached(build, f"FROM scratch\nADD --keep-git-dir=true {web.url}/mirror.git /r\n")
    assert not cached(build, f"FROM scratch\nADD {web.url}/repo.git?submodules=false /r\n")


def test_no_file_is_fetched_for_what_another_step_has_cached(build: Builder, web: Site) -> None:
    build(f"--build-context=x={web.url}/repo.git", "-", stdin="FROM scratch\nCOPY --from=x / /\n")
    before = web.fetched()
    build(f"--build-context=x={web.url}/repo.git", "-", stdin="FROM scratch\nCOPY --from=x a /b\n")
    assert web.fetched() == before


def test_equal_commits_make_equal_images(coopery: Coopery, web: Site, tmp_path: Path) -> None:
    text = f"FROM scratch\nADD --keep-git-dir=true {web.url}/repo.git /r\n".encode()
    digests = set()
    for number in range(2):
        one = Coopery(tmp_path / f"home{number}")
        path = tmp_path / "metadata"
        epoch, output = "--build-arg=SOURCE_DATE_EPOCH=0", f"type=oci,dest={tmp_path}/image"
        one("build", epoch, "-o", output, "--metadata-file", path, "-", stdin=text)
        digests.add(json.loads(path.read_text())["containerimage.digest"])
    assert len(digests) == 1


def test_gits_own_protocol(build: Builder, web: Site) -> None:
    with git_daemon(web.root) as host:
        assert build("-", stdin=f"FROM scratch\nADD git://{host}/repo.git#main:sub /\n").names == {"x"}


# ------------------------------------------------------------------------------------------------ named contexts


def test_named_contexts(build: Builder, web: Site, tmp_path: Path) -> None:
    near = tmp_path / "near"
    near.mkdir()
    (near / "kept").write_text("k")
    (near / "left").write_text("l")
    (near / ".dockerignore").write_text("left\n.dockerignore\n")
    (web.root / "file").write_bytes(b"data")
    dockerfile = """\
FROM stage AS stage
FROM scratch
COPY --from=git / /git/
COPY --from=near / /near/
COPY --from=web / /web/
COPY --from=stage / /stage/
COPY --from=example.com/image / /image/
"""
    result = build(
        f"--build-context=git={web.url}/repo.git#main:sub",
        f"--build-context=near={near}",
        f"--build-context=web={web.url}/file",
        f"--build-context=stage={web.url}/repo.git",
        f"--build-context=example.com/image={near}",
        "-",
        stdin=dockerfile,
    )
    # As in BuildKit, what is downloaded is one file, called `context`.
    assert result.names == {"git/x", "near/kept", "web/context", "stage/a", "stage/sub/x", "image/kept"}
    assert result.contents["web/context"] == b"data"


def test_a_stage_from_a_named_context(build: Builder, web: Site, tmp_path: Path) -> None:
    near = tmp_path / "near"
    near.mkdir()
    (near / "kept").write_text("k")
    dockerfile = "FROM base AS one\nFROM one\nCOPY --from=base a /copy\nWORKDIR /w\n"
    result = build(f"--build-context=base={web.url}/repo.git", "-", stdin=dockerfile)
    assert result.names == {"a", "sub/x", "copy"}
    assert build(f"--build-context=base={near}", "-", stdin="FROM base\n").names == {"kept"}


def test_an_archive_as_a_named_context_is_one_file(build: Builder, web: Site) -> None:
    data = tar({"x": "x"})
    (web.root / "x.tar").write_bytes(data)
    context = f"--build-context=n={web.url}/x.tar"
    result = build(context, "-", stdin="FROM scratch\nCOPY --from=n context /x.tar\n")
    assert result.contents == {"x.tar": data}


@pytest.mark.parametrize("how", ["tag", "digest", "alone"])
def test_an_image_layout(build: Builder, tmp_path: Path, how: str) -> None:
    layout = tmp_path / "My Layout"
    name = {"tag": "v1", "alone": "whatever", "digest": "v1"}[how]
    build.coopery(
        "build", "-o", f'type=oci,tar=false,"dest={layout}"', "-t", f"example.com/x:{name}", "-",
        stdin=b"FROM scratch\nCOPY <<x /from-layout\nhello\nx\nENV FROM_LAYOUT=1\n",
    )  # fmt: skip
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    where = {"tag": ":v1", "alone": "", "digest": f"@{digest}"}[how]
    dockerfile = "FROM base\nCOPY --from=base /from-layout /copy-$FROM_LAYOUT\n"
    for _ in range(2):
        result = build(f"--build-context=base=oci-layout://{layout}{where}", "-", stdin=dockerfile)
        assert result.names == {"from-layout", "copy-1"}


def test_layouts_that_can_not_be(build: Builder, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    build.coopery("build", "-o", f"type=oci,tar=false,dest={layout}", "-t", "x:v1", "-", stdin=b"FROM scratch\n")
    for where, expected in (
        (f"{tmp_path}/nowhere:v1", "no image layout"),
        (f"{layout}:v2", "it has v1"),
        (f"{layout}@sha256:{'0' * 64}", "has no sha256:0000"),
        (f"{layout}@sha256:short", "sha256"),
        ("", "names no directory"),
    ):
        done = build.fails(f"--build-context=base=oci-layout://{where}", "-", stdin="FROM base\n")
        assert expected in done.stderr


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("target:other", "targets of other files"),
        ("input:other", "no such directory"),
        ("file:///tmp", "without file://"),
        ("/nowhere", "no such directory"),
        ("-", "no such directory"),
    ],
)
def test_no_named_contexts(build: Builder, where: str, expected: str) -> None:
    done = build.fails(f"--build-context=n={where}", "-", stdin="FROM scratch\n")
    assert done.returncode == 2
    assert expected in done.stderr
