"""A directory as a build context: what is seen of it, what is read of it, what stays outside."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coopery.context.download import file_name
from coopery.context.files import DownloadedFile, InlineFiles
from coopery.context.local import LocalContext
from coopery.dockerfile.ignore import IgnoreRules
from coopery.errors import ContextError
from coopery.oci.digest import Digest
from coopery.tree.entry import Kind
from coopery.tree.sources import match_sources


class Memory:
    """A memory that forgets."""

    def load(self) -> Any:
        return None

    def save(self, value: Any) -> None:
        pass


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def context(root: Path, rules: str | None = None) -> LocalContext:
    return LocalContext(str(root), None if rules is None else IgnoreRules.parse(rules), Memory())


def names(root: Path, rules: str | None = None) -> set[str]:
    return {node.entry.path.decode() for node in context(root, rules).tree.walk() if node.entry.path}


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (None, {"a.log", "b.py", "sub", "sub/a.log", "sub/b.py", "sub/deep", "sub/deep/c.txt", "empty"}),
        ("*.log", {"b.py", "sub", "sub/a.log", "sub/b.py", "sub/deep", "sub/deep/c.txt", "empty"}),
        ("**/*.log\nempty", {"b.py", "sub", "sub/b.py", "sub/deep", "sub/deep/c.txt"}),
        ("sub\n!sub/b.py", {"a.log", "b.py", "sub", "sub/b.py", "empty"}),
        ("*\n!sub/deep", {"sub", "sub/deep", "sub/deep/c.txt"}),
        ("*\n!sub\nsub/deep", {"sub", "sub/a.log", "sub/b.py"}),
        # A directory that is ignored is there for what is excepted in it, and only then.
        ("*\n!**/*.py", {"b.py", "sub", "sub/b.py"}),
        ("*\n!**/*.txt", {"sub", "sub/deep", "sub/deep/c.txt"}),
        ("**", set()),
        ("*\n!nothing", set()),
        ("sub\n!sub/nothing", {"a.log", "b.py", "empty"}),
    ],
)
def test_ignore_rules(tmp_path, rules, left):
    write(tmp_path, "a.log", "b.py", "sub/a.log", "sub/b.py", "sub/deep/c.txt")
    (tmp_path / "empty").mkdir()
    assert names(tmp_path, rules) == left


def test_directories_are_read_only_where_one_looks(tmp_path, monkeypatch):
    write(tmp_path, "src/main.c", "huge/one/two/three", "huge/four")
    opened: list[str] = []
    real = os.scandir

    def scandir(place: Any) -> Any:
        opened.append(os.readlink(f"/proc/self/fd/{place}"))
        return real(place)

    monkeypatch.setattr("coopery.context.local.os.scandir", scandir)
    seen = context(tmp_path, "*.log")
    match_sources(seen.tree, [b"src/main.c"])
    assert opened == [str(tmp_path), str(tmp_path / "src")]
    match_sources(seen.tree, [b"src"])
    assert len(opened) == 2


def test_kinds_modes_and_owners(tmp_path):
    write(tmp_path, "file")
    (tmp_path / "file").chmod(0o4750)
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "dir").mkdir(mode=0o711)
    os.mkfifo(tmp_path / "fifo", 0o640)
    os.link(tmp_path / "file", tmp_path / "same")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        children = context(tmp_path).tree.root.children
        assert children is not None
    assert {name: node.entry.kind for name, node in children.items()} == {
        b"file": Kind.FILE,
        b"same": Kind.FILE,
        b"link": Kind.SYMLINK,
        b"dir": Kind.DIRECTORY,
        b"fifo": Kind.FIFO,
    }
    assert children[b"file"].inode is children[b"same"].inode
    assert children[b"link"].entry.link == b"/etc/passwd"
    assert (children[b"file"].entry.mode, children[b"dir"].entry.mode) == (0o4750, 0o711)
    assert {(node.entry.uid, node.entry.gid) for node in children.values()} == {(0, 0)}


def test_names_of_any_bytes(tmp_path):
    odd = b"\xff\n\x01 name"
    (tmp_path / os.fsdecode(odd)).write_bytes(b"x")
    files = context(tmp_path)
    node = files.tree.lookup(odd)
    assert node is not None
    with files.open(node) as file:
        assert file.read() == b"x"


@pytest.mark.parametrize(
    "link", ["/etc/passwd", "../outside", "sub/../../outside", "../../../../../../etc/passwd", "up/outside", "loop"]
)
def test_a_source_that_is_a_link_never_leads_out(tmp_path, link):
    root = tmp_path / "context"
    write(root, "sub/file")
    write(tmp_path, "outside")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "link").symlink_to(link)
    with pytest.raises(Exception, match=r"isn't there|is not in|too many levels"):
        match_sources(context(root).tree, [b"link"])


def test_a_link_is_followed_inside_the_context(tmp_path):
    write(tmp_path, "etc/passwd", "sub/file")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "far").symlink_to("../../../sub")
    seen = context(tmp_path)
    for name, content in ((b"absolute", b"etc/passwd"), (b"far/file", b"sub/file")):
        (source,) = match_sources(seen.tree, [name])
        with seen.open(source.node) as file:
            assert file.read() == content


def test_a_file_swapped_for_a_link_is_not_followed(tmp_path):
    root = tmp_path / "context"
    write(root, "file", "dir/file")
    write(tmp_path, "outside", "elsewhere/file")
    seen = context(root)
    nodes = [seen.tree.lookup(name) for name in (b"file", b"dir/file")]
    (root / "file").unlink()
    (root / "file").symlink_to("../outside")
    shutil.rmtree(root / "dir")
    (root / "dir").symlink_to("../elsewhere")
    for node in nodes:
        assert node is not None
        with pytest.raises(ContextError, match="can't read"):
            seen.open(node)
        with pytest.raises(ContextError, match="can't read"):
            seen.digest(node)


def test_a_directory_swapped_for_a_link_is_not_followed(tmp_path):
    root = tmp_path / "context"
    write(root, "dir/file")
    write(tmp_path, "elsewhere/secret")
    seen = context(root)
    node = seen.tree.lookup(b"dir")
    assert node is not None
    shutil.rmtree(root / "dir")
    (root / "dir").symlink_to("../elsewhere")
    with pytest.raises(ContextError, match=r"can't read .*/dir in the build context"):
        _ = node.children


def test_files_that_vanish_while_the_build_runs(tmp_path):
    write(tmp_path, "file")
    seen = context(tmp_path)
    node = seen.tree.lookup(b"file")
    assert node is not None
    (tmp_path / "file").unlink()
    with pytest.raises(ContextError, match="No such file"):
        seen.open(node)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_context_that_is_no_directory(tmp_path, name):
    write(tmp_path, "file")
    with pytest.raises(ContextError, match="can't be used") as caught:
        context(tmp_path / name)
    assert caught.value.hint


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory of nobody's, as nobody."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    place = Path(tempfile.mkdtemp())
    os.chmod(place, 0o755)
    os.seteuid(65534)
    try:
        yield place
    finally:
        os.seteuid(0)
        shutil.rmtree(place)


def test_what_cannot_be_read_is_told_with_a_hint(as_nobody):
    os.seteuid(0)
    write(as_nobody, "open", "closed", "dir/file")
    (as_nobody / "closed").chmod(0o600)
    (as_nobody / "dir").chmod(0o700)
    os.seteuid(65534)
    seen = context(as_nobody)
    closed, directory = seen.tree.lookup(b"closed"), seen.tree.lookup(b"dir")
    assert closed is not None
    assert directory is not None
    with pytest.raises(ContextError, match="Permission denied") as caught:
        seen.digest(closed)
    assert ".dockerignore" in caught.value.hint
    with pytest.raises(ContextError, match="Permission denied"):
        _ = directory.children
    # What isn't wanted needn't be readable.
    assert match_sources(seen.tree, [b"open"])
    assert names(as_nobody, "closed\ndir") == {"open"}


# ------------------------------------------------------------------------------------------- other places


def test_inline_files():
    files = InlineFiles({b"a": b"content", b"b": b""}, 7)
    node = files.tree.lookup(b"a")
    assert node is not None
    assert (node.entry.size, node.entry.mode, node.entry.mtime_ns) == (7, 0o644, 7)
    with files.open(node) as file:
        assert file.read() == b"content"


def test_downloads_are_private_files_with_the_servers_time(tmp_path):
    (tmp_path / "x").write_bytes(b"data")
    source = DownloadedFile(str(tmp_path / "x"), b"name", 5_000_000_000, Digest.of(b"data"))
    node = source.tree.lookup(b"name")
    assert node is not None
    assert (node.entry.mode, node.entry.size, node.entry.mtime_ns) == (0o600, 4, 5_000_000_000)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.tar.gz", "b.tar.gz"),
        ("/a/b%20c", "b c"),
        ("/a/b/", "b"),
        ("/", "__unnamed__"),
        ("", "__unnamed__"),
        ("/a/..", "__unnamed__"),
        ("/a/%2e%2e", "__unnamed__"),
        ("/a/x%2F..%2Fy", "y"),
        ("/a/x%00y", "__unnamed__"),
    ],
)
def test_names_of_downloads_are_plain_names(path, name):
    assert file_name(f"https://user:word@host:1{path}?query#fragment") == name


def test_a_file_that_changes_after_it_was_hashed_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("original")
    files = context(tmp_path)
    node = files.tree.lookup(b"f")
    assert node is not None
    files.digest(node)
    (tmp_path / "f").write_text("modified")
    with pytest.raises(ContextError, match="changed while the build was running"), files.open(node) as file:
        file.read()
