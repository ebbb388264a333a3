"""Unpacking: what lands on the disk is what the tree says, by deleting and through a real overlay."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery.archive.extract import extract
from coopery.archive.tar_reader import scan_file
from coopery.errors import IntegrityError, StorageError
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Tree, normalise
from support.layer_tars import (
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    apply_tars,
    directory,
    hardlink,
    member,
    on_disk,
    write_tar,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files their owners and to mount")
TYPES = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.FIFO: stat.S_IFIFO,
}

names = st.lists(st.sampled_from(["a", "b", "c", "é"]), min_size=1, max_size=4).map("/".join)


@st.composite
def members(draw: st.DrawFn):
    name = draw(names)
    what = draw(st.sampled_from(["file", "file", "directory", "symlink", "hardlink", "fifo", "device", "gone", "new"]))
    head, _, tail = name.rpartition("/")
    if what == "gone":
        return member(f"{head}/.wh.{tail}".lstrip("/"))
    if what == "new":
        return member(f"{name}/.wh..wh..opq")
    kinds = {"file": FILE, "directory": DIRECTORY, "symlink": SYMLINK, "hardlink": HARDLINK, "fifo": FIFO}
    kind = kinds.get(what, CHARACTER)
    data = draw(st.sampled_from([b"", b"x", b"y" * 700])) if kind == FILE else b""
    link = draw(st.one_of(names, st.sampled_from(["..", "/a"]))) if kind in (SYMLINK, HARDLINK) else ""
    xattrs = {"user.k": "v"} if draw(st.booleans()) and kind in (FILE, DIRECTORY) else {}
    owner, mode = draw(st.integers(0, 70000)), draw(st.integers(0, 0o7777))
    return member(
        name, kind, data, link, mode=mode, uid=owner, gid=owner + 1, mtime=draw(st.integers(0, 99)), xattrs=xattrs,
        devmajor=1, devminor=3,
    )  # fmt: skip


def expected(tree: Tree, tars: dict[object, bytes]) -> dict[str, tuple]:
    """What `on_disk` would say of the tree."""
    found = {}
    for node in tree.walk():
        entry = node.entry
        if not entry.path:
            continue
        content: object = None
        if entry.kind is Kind.FILE:
            content = tars[node.layer][entry.offset : entry.offset + entry.size]
        elif entry.kind is Kind.SYMLINK:
            content = os.fsdecode(entry.link)
        elif entry.kind is Kind.CHARACTER:
            content = os.makedev(*entry.device)
        mode = 0 if entry.kind is Kind.SYMLINK else TYPES[entry.kind] | entry.mode
        found[os.fsdecode(entry.path)] = (mode, entry.uid, entry.gid, entry.mtime_ns, content)
    return found


def links(root: Path) -> set[frozenset[str]]:
    """Groups of names that are one file."""
    groups: dict[int, set[str]] = {}
    for name in on_disk(root):
        status = os.lstat(root / name)
        if not stat.S_ISDIR(status.st_mode):
            groups.setdefault(status.st_ino, set()).add(name)
    return {frozenset(group) for group in groups.values()}


def tree_links(tree: Tree) -> set[frozenset[str]]:
    groups: dict[int, set[str]] = {}
    for node in tree.walk():
        if node.children is None:
            groups.setdefault(id(node.inode), set()).add(os.fsdecode(node.entry.path))
    return {frozenset(group) for group in groups.values()}


@contextmanager
def overlay(lowers: list[Path], at: Path, options: str = "") -> Iterator[Path]:
    """A read-only overlay of `lowers`, lowest first, mounted at `at`."""
    libc = ctypes.CDLL(None, use_errno=True)
    at.mkdir()
    empty = at.with_name("empty")  # overlayfs wants two lower directories if there is no upper one
    empty.mkdir()
    data = "lowerdir=" + ":".join(str(lower) for lower in [*reversed(lowers), empty]) + options
    if libc.mount(b"overlay", str(at).encode(), b"overlay", 1, data.encode()):
        raise OSError(ctypes.get_errno(), "mount", data)
    try:
        yield at
    finally:
        libc.umount2(str(at).encode(), 2)


@needs_root
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(members(), max_size=10), min_size=1, max_size=3))
def test_disk_and_overlay_show_the_tree(layers: list[list]) -> None:
    with tempfile.TemporaryDirectory() as place:
        top, tree, lowers, tars = Path(place), Tree.empty(), [], {}
        (top / "merged").mkdir()
        below: dict[bytes, str] = {}
        for number, layer in enumerate(layers):
            tar = write_tar(top / f"{number}.tar", *layer)
            try:
                entries = scan_file(tar)
                result = normalise(entries, tree)
            except IntegrityError:
                return
            extract(tar, result, str(top / "merged"))
            lowers.append(top / f"lower{number}")
            lowers[-1].mkdir()
            lower_tree = tree

            def find(path: bytes, lower_tree: Tree = lower_tree) -> tuple[str, Entry] | None:
                node = lower_tree.lookup(path, follow=False)
                return (below[node.layer], node.entry) if node else None

            tree = tree.apply(entries, tar)
            extract(tar, result, str(lowers[-1]), whiteouts="overlay", lower=find)
            tars[tar], below[tar] = Path(tar).read_bytes(), tar
        wanted = expected(tree, tars)
        assert on_disk(top / "merged") == wanted
        assert links(top / "merged") == tree_links(tree)
        for node in tree.walk():
            if node.entry.kind in (Kind.FILE, Kind.DIRECTORY):
                path = top / "merged" / os.fsdecode(node.entry.path)
                assert [(k.encode(), os.getxattr(path, k)) for k in os.listxattr(path)] == list(node.entry.xattrs)
        with overlay(lowers, top / "mounted") as mounted:
            seen = on_disk(mounted)
        assert seen == wanted


@needs_root
def test_whiteouts_where_device_nodes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marked empty files instead, which Linux 6.7 and later take for whiteouts, with `userxattr` too."""
    base = write_tar(tmp_path / "0.tar", member("d/gone"), member("d/kept"), member("gone"), member("o/gone"))
    top = write_tar(tmp_path / "1.tar", member("d/.wh.gone"), member(".wh.gone"), member("o/.wh..wh..opq"))
    lowers, tree = [], Tree.empty()

    def refuse(*args: object, **more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refuse)
    for tar in (base, top):
        lowers.append(tmp_path / Path(tar).stem)
        lowers[-1].mkdir()
        entries = scan_file(tar)
        extract(tar, normalise(entries, tree), str(lowers[-1]), whiteouts="overlay", user_xattrs=True)
        tree = tree.apply(entries)
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 8):
        pytest.skip("needs Linux 6.8, whose overlayfs knows whiteouts made of attributes")
    with overlay(lowers, tmp_path / "m", ",userxattr") as mounted:
        assert sorted(on_disk(mounted)) == ["d", "d/kept", "o"]


@needs_root
def test_attributes_of_all_kinds(tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "x.tar",
        directory("d", mode=0o2751, uid=5, gid=6, mtime=1000, xattrs={"user.d": "dir"}),
        member("d/suid", data=b"s" * 300_000, mode=0o6755, uid=7, gid=8, mtime=2000, xattrs={"user.a": "b"}),
        member("d/pipe", FIFO, mode=0o622, uid=9, mtime=3000),
        member("d/null", CHARACTER, mode=0o666, devmajor=1, devminor=3),
        member("d/link", SYMLINK, link="suid", uid=3, gid=4, mtime=4000, xattrs={"trusted.l": "t"}),
        hardlink("d/suid2", "d/suid"),
    )
    apply_tars(tmp_path / "root", tar)
    root = tmp_path / "root" / "d"
    for name, mode, owner, mtime in (
        ("", stat.S_IFDIR | 0o2751, (5, 6), 1000),
        ("suid", stat.S_IFREG | 0o6755, (7, 8), 2000),
        ("suid2", stat.S_IFREG | 0o6755, (7, 8), 2000),
        ("pipe", stat.S_IFIFO | 0o622, (9, 0), 3000),
        ("null", stat.S_IFCHR | 0o666, (0, 0), 0),
        ("link", stat.S_IFLNK | 0o777, (3, 4), 4000),
    ):
        status = os.lstat(root / name)
        assert (status.st_mode, (status.st_uid, status.st_gid), status.st_mtime) == (mode, owner, mtime), name
    assert (root / "suid").read_bytes() == b"s" * 300_000
    assert os.getxattr(root / "suid", "user.a") == b"b" and os.getxattr(root, "user.d") == b"dir"
    assert os.getxattr(root / "link", "trusted.l", follow_symlinks=False) == b"t"


def test_without_owners_and_devices(tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "x.tar",
        directory("d", mode=0o555, uid=5),
        member("d/f", uid=7, data=b"1"),
        member("d/dev", CHARACTER, devmajor=1, devminor=3),
        hardlink("d/dev2", "d/dev"),
    )
    again = write_tar(tmp_path / "y.tar", member("d/g", data=b"2"))
    apply_tars(tmp_path / "root", tar, again, chown=False, devices=False)
    found = on_disk(tmp_path / "root")
    assert sorted(found) == ["d", "d/f", "d/g"]
    assert {item[1] for item in found.values()} == {os.geteuid()}
    assert stat.S_IMODE(found["d"][0]) == 0o555
    os.chmod(tmp_path / "root" / "d", 0o755)


def test_directories_too_deep_to_hold_open(tmp_path: Path) -> None:
    deep = "/".join("d" * 700)
    first = write_tar(tmp_path / "1.tar", member(deep + "/x", data=b"1"), member("d/y", data=b"2"), member("z"))
    apply_tars(tmp_path / "root", first, chown=False)
    assert (tmp_path / "root" / deep / "x").read_bytes() == b"1" and (tmp_path / "root/d/y").read_bytes() == b"2"
    apply_tars(tmp_path / "root", first, write_tar(tmp_path / "2.tar", member(".wh.d")), chown=False)
    assert os.listdir(tmp_path / "root") == ["z"]


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar", member("f", data=b"x" * 5000))
    entries = normalise(scan_file(tar), Tree.empty())
    (tmp_path / "root").mkdir()
    with pytest.raises(IntegrityError, match="follow"):
        extract(tar, [Entry(b"a/b", Kind.FILE, 0o644, 0, 0)], str(tmp_path / "root"), chown=False)
    with open(tar, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(IntegrityError, match="ends inside"):
        extract(tar, entries, str(tmp_path / "root"), chown=False)
    with pytest.raises(StorageError):
        extract(tar, entries, str(tmp_path / "nothing"), chown=False)
    missing = [entries[0], Entry(b"h", Kind.HARDLINK, 0o644, 0, 0, link=b"x")]
    shutil.rmtree(tmp_path / "root")
    (tmp_path / "root").mkdir()
    with pytest.raises(IntegrityError, match="hard link"):
        extract(tar, missing, str(tmp_path / "root"), whiteouts="overlay", chown=False)
