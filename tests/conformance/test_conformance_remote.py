"""Sources that lie elsewhere, as git repositories and on the web, built by Coopery and by BuildKit: the same images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from conformance_compare import Known, differences, facts, unexplained
from conformance_peers import BUILDKIT

import plainregistry
from support.git_servers import Site, Work, git, site

_GITLINK = Known("/*/lib/.git:type", "says where git's files lay in BuildKit's own storage, and leads nowhere")


@dataclass(frozen=True, slots=True)
class Remote:
    """A build; `{web}` stands for the server's address."""

    name: str
    dockerfile: str = ""  # empty: that of the context
    context: str = ""  # empty: a directory with the Dockerfile alone
    contexts: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    known: tuple[Known, ...] = ()


CASES = [
    Remote("add", "FROM scratch\nADD {web}/repo.git /r\nADD {web}/repo.git#main:sub /s/\nADD {web}/repo.git#v1 /t\n"),
    Remote("add-to-the-root", "FROM scratch\nADD --chown=5:6 {web}/repo.git /\n"),
    Remote("add-with-modes", "FROM scratch\nADD --chown=5:6 --chmod=640 {web}/repo.git /r\n"),
    Remote("add-without", "FROM scratch\nADD --exclude=sub --exclude=l* {web}/repo.git /r\n"),
    Remote("add-linked", "FROM @base\nADD --link {web}/repo.git /home/r\n"),
    Remote("add-several", "FROM scratch\nADD {web}/repo.git {web}/file {web}/repo.git#main:sub /r/\n"),
    Remote(
        "add-to-a-directory-that-is-there",
        "FROM @base\nRUN mkdir -m 700 /d && chown 9:9 /d && touch /d/kept && ln -s d /l\n"
        "ADD {web}/repo.git /d\nADD --chown=7:8 {web}/repo.git#main:sub /l/\n",
    ),
    Remote(
        "add-submodules",
        "FROM scratch\nADD {web}/outer.git /with\nADD {web}/outer.git?submodules=false /without\n",
        known=(_GITLINK,),
    ),
    Remote("context", context="{web}/repo.git"),
    Remote("context-of-a-tag", context="{web}/repo.git#v1"),
    Remote("context-in-a-subdirectory", context="{web}/repo.git#main:sub"),
    Remote("context-with-another-dockerfile", context="{web}/repo.git?branch=main", file="sub/Dockerfile"),
    Remote("archive", context="{web}/context.tar.gz"),
    Remote("dockerfile", context="{web}/Dockerfile"),
    Remote(
        "named",
        "FROM three AS a\nFROM scratch\nCOPY --from=one / /one/\nCOPY --from=two / /two/\nCOPY --from=a / /a/\n",
        contexts={"one": "{web}/repo.git#main:sub", "two": "{web}/file", "three": "{web}/repo.git"},
    ),
]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("remote")
    work = Work.make(root / "work")
    work.commit(
        {"Dockerfile": "FROM scratch\nCOPY . /c/\n", "a": "first", "sub/Dockerfile": "FROM scratch\nCOPY . /d\n"}
    )
    git(work.path, "tag", "-a", "-m", "it", "v1")
    (work.path / "run").write_text("#!/bin/sh\n")
    (work.path / "run").chmod(0o755)
    (work.path / "link").symlink_to("sub")
    work.commit({"a": "second", ".dockerignore": "a\n", "x.bat": "a\n", ".gitattributes": "*.bat text eol=crlf\n"})
    work.publish(root / "served/repo.git")
    outer = Work.make(root / "outer")
    git(outer.path, "submodule", "--quiet", "add", str(root / "served/repo.git"), "lib")
    git(outer.path, "submodule", "set-url", "lib", "../repo.git")
    outer.commit({"x": "x"})
    outer.publish(root / "served/outer.git")
    (root / "served/file").write_text("file")
    (root / "served/Dockerfile").write_text("FROM scratch\nCOPY . /c/\n")
    (root / "served/context.tar.gz").write_bytes(archive())
    with site(root / "served") as served:
        yield served


def archive() -> bytes:
    """A context whose files belong to several users."""
    text = b"FROM scratch\nCOPY . /c/\nCOPY own /one\nCOPY --chown=1 own /two\n"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, kind, uid, mode, content in (
            (
                "Dockerfile",
                tarfile.REGTYPE,
                0,
                0o644,
                text,
            ),
            ("own", tarfile.REGTYPE, 1234, 0o640, b"data"),
            ("dir", tarfile.DIRTYPE, 77, 0o700, b""),
            ("dir/file", tarfile.REGTYPE, 78, 0o4755, b"x"),
            (".dockerignore", tarfile.REGTYPE, 0, 0o644, b"own\n"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.gid, member.mode = kind, uid, uid + 1, mode
            member.size, member.mtime = len(content), 1_000_000_000
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_image_is_buildkits(case, peer, names, shared_coopery, registry, web, tmp_path) -> None:
    builder = peer(BUILDKIT)

    def filled(text: str) -> str:
        return text.replace("{web}", web.url).replace("@base", names["base"])

    empty = tmp_path / "context"
    empty.mkdir()
    if case.dockerfile:
        (empty / "Dockerfile").write_text(filled(case.dockerfile))
    ours, theirs = (f"{registry.host}/{name}/remote-{case.name}:1" for name in ("ours", "buildkit"))
    options = [f"--build-context={name}={filled(where)}" for name, where in case.contexts.items()]
    options += ["-f", case.file] if case.file else []
    shared_coopery("build", "--push", "-t", ours, *options, filled(case.context) or empty)
    asked = {f"context:{name}": filled(where) for name, where in case.contexts.items()}
    asked |= {"context": filled(case.context)} if case.context else {}
    asked |= {"filename": case.file} if case.file else {}
    builder.export(empty, f"type=image,name={theirs},push=true,registry.insecure=true", asked)
    mine, other = (facts(plainregistry.pull(name)) for name in (ours, theirs))
    found = {name: text for name, text in differences(mine, other).items() if not name.startswith("history")}
    assert not unexplained(found, case.known, ())
