"""Trees: looking up, and what each kind of entry does to one."""

from __future__ import annotations

import pytest

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind
from coopery.tree.node import Node
from coopery.tree.tree import Tree, normalise

BASE, TOP = Digest.of(b"base"), Digest.of(b"top")


def d(path: str, mode: int = 0o755, uid: int = 0, **more) -> Entry:
    return Entry(path.encode(), Kind.DIRECTORY, mode, uid, uid, **more)


def f(path: str, size: int = 1, **more) -> Entry:
    return Entry(path.encode(), Kind.FILE, 0o644, 0, 0, size, **more)


def ln(path: str, target: str) -> Entry:
    return Entry(path.encode(), Kind.SYMLINK, 0o777, 0, 0, link=target.encode())


def hard(path: str, target: str) -> Entry:
    return Entry(path.encode(), Kind.HARDLINK, 0o644, 0, 0, link=target.encode())


def tree(*entries: Entry) -> Tree:
    return Tree.empty().apply(entries, BASE)


def names(tree: Tree) -> list[str]:
    return [node.entry.path.decode() for node in tree.walk()][1:]


def listed(entries: list[Entry]) -> list[str]:
    return [entry.path.decode() for entry in entries]


def test_lookup_follows_links_inside_the_root() -> None:
    t = tree(d("usr/lib"), f("usr/lib/x"), ln("lib", "usr/lib"), ln("usr/abs", "/lib/x"), ln("up", "../../../lib"))
    assert t.lookup(b"lib/x") is t.lookup(b"usr/lib/x") is t.lookup(b"/usr/abs") is t.lookup(b"up/x")
    assert t.lookup(b"../../usr/../lib/./x").entry.path == b"usr/lib/x"
    assert t.lookup(b"lib", follow=False).entry.kind is Kind.SYMLINK
    assert t.lookup(b"lib/", follow=False).entry.kind is Kind.DIRECTORY
    assert t.lookup(b"usr/lib/x/y") is None


def test_resolve_gives_the_real_path_of_what_is_not_there() -> None:
    t = tree(ln("a", "/b/c"), ln("dangling", "x/y"))
    assert t.resolve(b"a/d") == (b"b/c/d", None)
    assert t.resolve(b"dangling") == (b"x/y", None)
    assert t.resolve(b"no/../../no2") == (b"no2", None)


def test_loops_end() -> None:
    t = tree(ln("a", "b"), ln("b", "a"))
    assert t.lookup(b"a/x") is None
    with pytest.raises(IntegrityError, match="symbolic links"):
        t.resolve(b"a")


def test_walk_is_sorted_by_bytes_parents_first() -> None:
    t = tree(f("b/z"), f("a!"), f("a/x"), d("b"), f("é"))
    assert names(t) == ["a", "a/x", "a!", "b", "b/z", "é"]
    assert [n.entry.path for n in t.walk(b"b")] == [b"b", b"b/z"]
    assert list(t.walk(b"nothing")) == []


def test_children_are_loaded_once_and_only_when_wanted() -> None:
    calls = []

    def load() -> dict[bytes, Node]:
        calls.append(1)
        return {b"x": Node(f("lazy/x"))}

    t = Tree(Node(d(""), None, {b"lazy": Node(d("lazy"), None, load)}))
    assert t.lookup(b"lazy") is not None and not calls
    upper = t.apply([f("other/y")], TOP)
    assert not calls
    assert upper.lookup(b"lazy/x") is t.lookup(b"lazy/x") and len(calls) == 1


def test_attributes_and_layers() -> None:
    low = tree(d("etc", 0o700, 7), f("etc/a"))
    top = low.apply([f("etc/b")], TOP)
    assert top.lookup(b"etc").entry.mode == 0o700 and top.lookup(b"etc").entry.uid == 7
    assert (top.lookup(b"etc/a").layer, top.lookup(b"etc/b").layer) == (BASE, TOP)
    again = top.apply([d("etc", 0o755, 1)], TOP)
    assert again.lookup(b"etc").entry.mode == 0o755 and again.lookup(b"etc/a") is low.lookup(b"etc/a")


def test_file_over_directory_and_back() -> None:
    low = tree(d("x"), f("x/a"), f("y"))
    assert names(low.apply([f("x")], TOP)) == ["x", "y"]
    assert names(low.apply([d("y"), f("y/b")], TOP)) == ["x", "x/a", "y", "y/b"]
    # In one layer: the file has hidden what was below, so the directory after it is new.
    both = [f("x"), d("x"), f("x/new")]
    assert names(low.apply(both, TOP)) == ["x", "x/new", "y"]
    assert listed(normalise(both, low)) == ["", "x", "x/.wh..wh..opq", "x/new"]


def test_whiteouts_hide_only_what_lies_below() -> None:
    low = tree(f("d/old"), f("d/keep"), f("gone/x"), f("o/1"), f("o/s/2"))
    change = [f("d/new"), f("d/.wh.old"), f("d/.wh.new"), f(".wh.gone"), f("o/new"), f("o/s/3"), f("o/.wh..wh..opq")]
    assert names(low.apply(change, TOP)) == ["d", "d/keep", "d/new", "o", "o/new", "o/s", "o/s/3"]
    assert listed(normalise(change, low)) == [
        *("", ".wh.gone", "d", "d/.wh.old", "d/new", "o", "o/.wh..wh..opq", "o/new", "o/s", "o/s/3"),
    ]


def test_whiteouts_that_hide_nothing_are_left_out() -> None:
    change = [f("d/.wh.x"), f("new/.wh.y"), f("new/.wh..wh..opq"), f(".wh.z"), d("z")]
    assert listed(normalise(change, tree(d("d"), f("z")))) == ["", "d", "new", "z"]


def test_whiteout_and_directory_of_one_name() -> None:
    low = tree(d("x", 0o700), f("x/old"))
    for change in ([f(".wh.x"), f("x/new")], [f("x/new"), f(".wh.x")]):
        assert names(low.apply(change, TOP)) == ["x", "x/new"]
        result = normalise(change, low)
        assert listed(result) == ["", "x", "x/.wh..wh..opq", "x/new"]
        assert result[1].mode == 0o755, "the old directory is gone, and its mode with it"


def test_merged_usr_lands_in_usr() -> None:
    low = tree(d("usr/bin", 0o711), f("usr/bin/bar"), ln("bin", "usr/bin"), ln("lib", "/usr/lib"))
    change = [d("bin/sub"), f("bin/foo"), f("lib/so"), f("bin/.wh.bar")]
    assert names(low.apply(change, TOP)) == [
        *("bin", "lib", "usr", "usr/bin", "usr/bin/foo", "usr/bin/sub", "usr/lib", "usr/lib/so"),
    ]
    result = normalise(change, low)
    assert listed(result) == [
        *("", "usr", "usr/bin", "usr/bin/.wh.bar", "usr/bin/foo", "usr/bin/sub", "usr/lib", "usr/lib/so"),
    ]
    assert result[2].mode == 0o711


def test_a_link_replaced_on_the_way_is_no_longer_followed() -> None:
    low = tree(d("usr/lib"), ln("lib", "usr/lib"))
    assert names(low.apply([f("lib/1"), d("lib"), f("lib/2")], TOP)) == ["lib", "lib/2", "usr", "usr/lib", "usr/lib/1"]
    assert names(low.apply([f("lib/1"), f(".wh.lib"), f("lib/2")], TOP)) == [
        *("lib", "lib/2", "usr", "usr/lib", "usr/lib/1"),
    ]
    assert names(tree(d("c"), f("c/1"), ln("c", "out"), f("c/2"))) == ["c", "out", "out/2"]


def test_duplicates_keep_the_last_and_links_keep_their_file() -> None:
    change = [f("dup", 1, offset=512), hard("link", "dup"), f("dup", 2, offset=2048)]
    result = normalise(change, Tree.empty())
    assert [(e.path, e.kind, e.size, e.offset) for e in result[1:]] == [
        (b"dup", Kind.FILE, 2, 2048),
        (b"link", Kind.FILE, 1, 512),
    ]
    t = tree(*change)
    assert t.lookup(b"dup").inode is not t.lookup(b"link").inode


def test_hard_links_share_an_inode_and_follow_the_first_name() -> None:
    change = [f("z", 5, offset=512), hard("a", "z"), hard("d/b", "a")]
    t = tree(*change)
    assert len({id(t.lookup(p).inode) for p in (b"z", b"a", b"d/b")}) == 1
    assert t.lookup(b"d/b").entry == f("d/b", 5, offset=512)
    result = normalise(change, Tree.empty())
    assert [(e.path, e.kind, e.link, e.offset) for e in result if e.kind is not Kind.DIRECTORY] == [
        (b"a", Kind.FILE, b"", 512),
        (b"d/b", Kind.HARDLINK, b"a", -1),
        (b"z", Kind.HARDLINK, b"a", -1),
    ]


def test_hard_link_to_a_lower_file() -> None:
    low = tree(f("usr/bin/x", 3, offset=512), ln("bin", "usr/bin"))
    change = [hard("y", "bin/x")]
    top = low.apply(change, TOP)
    assert top.lookup(b"y").inode is low.lookup(b"bin/x").inode and top.lookup(b"y").layer == BASE
    (link,) = [e for e in normalise(change, low) if e.kind is not Kind.DIRECTORY]
    assert (link.kind, link.link) == (Kind.HARDLINK, b"usr/bin/x")


def test_overlay_attributes_and_aufs_files_are_dropped() -> None:
    marks = ((b"trusted.overlay.opaque", b"y"), (b"user.keep", b"1"), (b"user.overlay.redirect", b"/etc"))
    change = [d("", xattrs=marks), f("a", xattrs=marks), f(".wh..wh.plnk/1.2"), d(".wh..wh.aufs"), f("a.wh.b")]
    result = normalise(change, Tree.empty())
    assert listed(result) == ["", "a", "a.wh.b"]
    assert all(e.xattrs in ((), ((b"user.keep", b"1"),)) for e in result)


@pytest.mark.parametrize(
    "change",
    [
        [f("../x")],
        [f("a/../x")],
        [f("a/..")],
        [f("a\0b")],
        [f("a\0b/c")],
        [f("n" * 256)],
        [f("n" * 256 + "/x")],
        [f("")],
        [f(".wh.")],
        [f(".wh..")],
        [f(".wh...")],
        [f(".wh.x/y")],
        [f("f"), f("f/x")],
        [f("f"), d("f/x/y")],
        [hard("a", "nothing")],
        [d("d"), hard("a", "d")],
        [d("d"), hard("d/a", "../x")],
        [f("x"), hard("a", "d/../x")],
        [ln("l", "l"), f("l/x")],
        [f("/".join(["d" * 200] * 21))],
    ],
    ids=lambda change: repr(change[-1].path)[:30],
)
def test_malformed_layers_are_refused(change: list[Entry]) -> None:
    with pytest.raises(IntegrityError):
        normalise(change, Tree.empty())
    with pytest.raises(IntegrityError):
        tree(*change)


def test_a_hard_link_to_what_the_layer_deletes_is_refused() -> None:
    with pytest.raises(IntegrityError, match="hard link"):
        normalise([hard("b", "a"), f(".wh.a")], tree(f("a")))


def test_implied_directories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coopery.tree.change.MAX_IMPLIED", 10_000)
    deep = "/".join("d" * 300)
    with pytest.raises(IntegrityError, match="nests"):
        tree(*(f(f"{top}/{deep}") for top in range(10)))


def test_deep_trees_need_no_recursion() -> None:
    deep = "/".join("d" * 2000)
    t = tree(f(deep + "/x"))
    assert t.lookup(deep.encode() + b"/x") is not None
    assert len(normalise([f(deep + "/y")], t)) == 2002
    assert sum(1 for _ in t.walk()) == 2002
