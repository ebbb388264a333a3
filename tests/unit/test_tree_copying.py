"""COPY's plan: what BuildKit would put into the layer."""

from __future__ import annotations

import hashlib

import pytest

from coopery.errors import ContextError
from coopery.tree.copying import CopyItem, plan_sources
from coopery.tree.entry import Entry, Kind
from coopery.tree.node import Node
from coopery.tree.pattern import match_path
from coopery.tree.sources import Source, content_key, match_sources, walk_source
from coopery.tree.tree import Tree


def d(path: str, mode: int = 0o755, uid: int = 0, **more) -> Entry:
    return Entry(path.encode(), Kind.DIRECTORY, mode, uid, uid, **more)


def f(path: str, mode: int = 0o644, uid: int = 0, **more) -> Entry:
    return Entry(path.encode(), Kind.FILE, mode, uid, uid, more.pop("size", 1), **more)


def ln(path: str, target: str) -> Entry:
    return Entry(path.encode(), Kind.SYMLINK, 0o777, 0, 0, link=target.encode())


def hard(path: str, target: str) -> Entry:
    return Entry(path.encode(), Kind.HARDLINK, 0o644, 0, 0, link=target.encode())


def tree(*entries: Entry) -> Tree:
    return Tree.empty().apply(entries)


CONTEXT = tree(
    f("a.txt", 0o600, 1000, mtime_ns=7, xattrs=((b"security.capability", b"cap"),)),
    f("b.txt"),
    f("[x].md"),
    d("app", 0o700, 1000, mtime_ns=5),
    f("app/main.py", 0o755, 1000),
    ln("app/link", "main.py"),
    d("app/sub", 0o711, 1000, mtime_ns=9),
    f("app/sub/c.txt", 0o640, 1000),
    ln("to-a", "a.txt"),
    ln("to-app", "/app"),
    ln("up", "../../app"),
    ln("nowhere", "missing"),
)


def copy(*patterns: str, to: str, source: Tree = CONTEXT, onto: Tree | None = None, **options) -> list[CopyItem]:
    names = [pattern.encode() for pattern in patterns]
    found = match_sources(source, names, options.pop("where", "the build context"))
    return plan_sources(found, onto or Tree.empty(), to.encode(), several=len(names) > 1, **options)


def shown(items: list[CopyItem]) -> list[str]:
    return [item.entry.path.decode() for item in items]


def at(items: list[CopyItem], path: str) -> Entry:
    (found,) = [item.entry for item in items if item.entry.path == path.encode()]
    return found


def test_a_file_to_a_name_and_into_a_directory() -> None:
    assert shown(copy("a.txt", to="/x")) == ["x"]
    assert shown(copy("a.txt", to="/x/")) == ["x", "x/a.txt"]
    assert shown(copy("a.txt", to="/x/.")) == ["x", "x/a.txt"]
    assert shown(copy("a.txt", to="/p/q/x")) == ["p", "p/q", "p/q/x"]
    assert shown(copy("a.txt", to="/x", onto=tree(d("x")))) == ["x/a.txt"]
    assert shown(copy("a.txt", "b.txt", to="/x")) == ["x", "x/a.txt", "x/b.txt"]
    assert shown(copy("a.txt", to="/")) == ["a.txt"]
    assert copy("a.txt", to="/x")[0].source is CONTEXT.lookup(b"a.txt")


def test_directories_give_their_contents() -> None:
    everything = ["x", "x/link", "x/main.py", "x/sub", "x/sub/c.txt"]
    for name in ("app", "app/", "app/.", "/app", "./app", "to-app", "up", "sub/../app"):
        for target in ("/x", "/x/"):
            assert shown(copy(name, to=target)) == everything, name
    items = copy("app", to="/x")
    assert at(items, "x") == d("x"), "a made root isn't the source directory"
    assert at(items, "x/sub") == d("x/sub", 0o711, mtime_ns=9)
    assert at(items, "x/link") == ln("x/link", "main.py"), "inner links are copied as links"


def test_ownership() -> None:
    assert at(copy("a.txt", to="/x"), "x")[2:5] == (0o600, 0, 0)
    assert at(copy("a.txt", to="/x", keep_owner=True), "x")[2:5] == (0o600, 1000, 1000)
    items = copy("app", to="/x/y", owner=(5, 6), keep_owner=True)
    assert {(item.entry.uid, item.entry.gid) for item in items} == {(5, 6)}
    assert at(copy("app", to="/x", keep_owner=True), "x").uid == 0


def test_modes() -> None:
    items = copy("app", to="/x/y", mode=0o4750)
    assert [oct(item.entry.mode) for item in items] == [
        *("0o750", "0o750"),  # made on the way: permissions only
        *("0o777", "0o4750", "0o4750", "0o4750"),  # a link, and what was copied
    ]
    items = copy("app", to="/x", mode=lambda mode, is_directory: mode | (0o007 if is_directory else 0o001))
    assert (at(items, "x").mode, at(items, "x/sub").mode, at(items, "x/main.py").mode) == (0o755, 0o717, 0o755)


def test_times_and_attributes_are_kept() -> None:
    entry = at(copy("a.txt", to="/x"), "x")
    assert (entry.mtime_ns, entry.xattrs) == (7, ((b"security.capability", b"cap"),))
    assert entry.offset == -1
    assert at(copy("a.txt", to="/n/x", created_ns=42), "n").mtime_ns == 42


def test_top_level_links_are_followed() -> None:
    (item,) = copy("to-a", to="/x")
    assert item.entry.kind is Kind.FILE and item.source is CONTEXT.lookup(b"a.txt")
    assert shown(copy("to-a", to="/x/")) == ["x", "x/to-a"], "under the link's own name"
    assert shown(copy("to-*", to="/x/")) == ["x", "x/to-a", "x/link", "x/main.py", "x/sub", "x/sub/c.txt"]


def test_what_is_not_there() -> None:
    with pytest.raises(ContextError, match=r"'a\.tx' is not in the build context") as error:
        copy("a.tx", to="/x")
    assert "'a.txt'" in error.value.hint
    with pytest.raises(ContextError, match="in the stage 'build'") as error:
        copy("app/sub/d.txt", to="/x", where="the stage 'build'")
    assert "'app/sub/c.txt'" in error.value.hint
    with pytest.raises(ContextError, match="is a link to 'missing'"):
        copy("nowhere", to="/x")
    with pytest.raises(ContextError, match="is not in"):
        copy("missing/*.txt", to="/x")
    for pattern in ("loop", "loop/x", "loop/*"):
        with pytest.raises(ContextError, match=r"loop"):
            copy(pattern, to="/x", source=tree(ln("loop", "loop")))


def test_wildcards() -> None:
    assert shown(copy("*.txt", to="/x/")) == ["x", "x/a.txt", "x/b.txt"]
    (last,) = copy("*.txt", to="/x")
    assert last.source is not None and last.source.entry.name == b"b.txt", "a name that all have goes to the last"
    assert shown(copy("?.txt", "none*", to="/x/")) == ["x", "x/a.txt", "x/b.txt"]
    assert copy("none*", to="/x/") == []
    assert shown(copy("[[]x].md", to="/x/")) == ["x", "x/[x].md"]
    assert shown(copy("ap*/sub", to="/x/")) == ["x", "x/c.txt"]
    assert shown(copy("app/*/c.txt", to="/x")) == ["x"]
    assert shown(copy("to-app/*.py", to="/x/")) == ["x", "x/main.py"], "links before the wildcard are followed"
    assert copy("to-*/main.py", to="/x/") == [], "links that a wildcard would have to go through aren't"
    for pattern in ("[", "a[", "[]a]", "x*\\", "[a-]"):
        with pytest.raises(ContextError, match="malformed pattern"):
            copy(pattern, to="/x/")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a?b", "a/b", False),
        ("a[^a]b", "a/b", True),  # as Go has it
        ("a?b", "aéb", True),
        ("[a-é]", "é", True),
        ("[z-a]", "m", False),
        ("[\\]a]", "]", True),
        ("[^\\]a]", "]", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("**.go", "x.go", True),
        ("[.]", ".", True),
        ("a.c", "abc", False),
        ("", "", True),
    ],
)
def test_patterns_are_those_of_go(pattern: str, path: str, matches: bool) -> None:
    assert match_path(pattern.encode(), path.encode()) is matches


def test_destination_links_are_followed_inside_the_root() -> None:
    image = tree(d("usr/bin", 0o700), ln("bin", "usr/bin"), ln("esc", "../../etc/x"), ln("file", "usr/f"))
    assert shown(copy("a.txt", to="/bin/", onto=image)) == ["usr/bin/a.txt"]
    assert shown(copy("app", to="/bin/new", onto=image))[:2] == ["usr/bin/new", "usr/bin/new/link"]
    assert shown(copy("a.txt", to="/esc/", onto=image)) == ["etc", "etc/x", "etc/x/a.txt"]
    assert shown(copy("a.txt", to="/esc", onto=image)) == ["etc", "etc/x"]
    assert shown(copy("a.txt", to="/file", onto=image)) == ["usr/f"]
    # A link inside the target directory is replaced, not followed.
    assert shown(copy("a.txt", to="/d/", onto=tree(ln("d/a.txt", "/etc/passwd")))) == ["d/a.txt"]


def test_existing_directories() -> None:
    image = tree(d("x", 0o700, 9, mtime_ns=1), d("x/sub", 0o700, 9, xattrs=((b"user.old", b"1"),)))
    items = copy("app", to="/x", onto=image)
    assert shown(items) == ["x/link", "x/main.py", "x/sub", "x/sub/c.txt"], "the root keeps its attributes"
    assert at(items, "x/sub") == d("x/sub", 0o711, mtime_ns=9, xattrs=((b"user.old", b"1"),))
    same = tree(d("x"), d("x/sub", 0o711, mtime_ns=9))
    assert shown(copy("app", to="/x", onto=same)) == ["x/link", "x/main.py", "x/sub/c.txt"]


def test_what_cannot_be_replaced() -> None:
    with pytest.raises(ContextError, match="which is not a directory"):
        copy("app", to="/x", onto=tree(f("x")))
    with pytest.raises(ContextError, match="which is not a directory"):
        copy("a.txt", to="/x/", onto=tree(f("x")))
    with pytest.raises(ContextError, match="'/x/sub', which is not a directory"):
        copy("app", to="/x", onto=tree(ln("x/sub", "/elsewhere"), d("elsewhere")))
    with pytest.raises(ContextError, match=r"'/x/main\.py', which is a directory"):
        copy("app", to="/x", onto=tree(d("x/main.py")))
    with pytest.raises(ContextError, match="is not a directory"):
        copy("a.txt", to="/f/x/y", onto=tree(f("f")))
    with pytest.raises(ContextError, match="symbolic links"):
        copy("a.txt", to="/l/x", onto=tree(ln("l", "l")))


def test_a_file_that_would_be_a_whiteout() -> None:
    odd = Tree(Node(d(""), None, {b".wh.x": Node(f(".wh.x"))}))
    with pytest.raises(ContextError, match=r"\.wh\."):
        copy(".", to="/x", source=odd)


def test_hard_links_within_one_source() -> None:
    source = tree(f("d/z", size=5), hard("d/a", "d/z"), hard("other", "d/z"))
    items = copy("d", to="/x", source=source)
    assert [(i.entry.path, i.entry.kind, i.entry.link) for i in items[1:]] == [
        (b"x/a", Kind.FILE, b""),
        (b"x/z", Kind.HARDLINK, b"x/a"),
    ]
    assert copy("other", to="/x", source=source)[0].entry.kind is Kind.FILE


def test_a_later_source_may_replace_what_others_link_to() -> None:
    source = tree(f("d/a", size=5), hard("d/b", "d/a"), hard("d/c", "d/a"), f("e/a", size=7))
    items = copy("d", "e", to="/x/", source=source)
    assert {(i.entry.path, i.entry.kind, i.entry.link, i.entry.size) for i in items[1:]} == {
        (b"x/a", Kind.FILE, b"", 7),
        (b"x/b", Kind.FILE, b"", 5),
        (b"x/c", Kind.HARDLINK, b"x/b", 0),
    }
    again = copy("d", "d", to="/x/", source=source)
    assert Tree.empty().apply([i.entry for i in again]).lookup(b"x/c").entry.size == 5


class Less:
    """All but what matches a pattern, one by one."""

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns

    def takes(self, path: bytes) -> bool:
        return not any(match_path(p.encode(), path) for p in self.patterns)

    def reaches(self, directory: bytes) -> bool:
        return directory != b"never"


def less(source: Tree, name: str, *patterns: str) -> list[Source]:
    return [found._replace(selection=Less(*patterns)) for found in match_sources(source, [name.encode()])]


def test_excluding() -> None:
    def items(*patterns: str) -> list[str]:
        return shown(plan_sources(less(CONTEXT, "app", *patterns), Tree.empty(), b"/x"))

    assert items("*.py") == ["x", "x/link", "x/sub", "x/sub/c.txt"]
    assert items("sub") == ["x", "x/link", "x/main.py", "x/sub", "x/sub/c.txt"], "what is inside is asked about itself"
    assert items("sub", "sub/*") == ["x", "x/link", "x/main.py"]
    assert items("*", "*/*") == ["x"]


def test_a_directory_on_the_way_changes_the_mode_of_the_one_there() -> None:
    source, there = tree(d("s", 0o700, 5, mtime_ns=3), f("s/f")), tree(d("x", 0o711), d("x/s", 0o755, 9, mtime_ns=4))
    (entry,) = [i.entry for i in plan_sources(less(source, "", "s"), there, b"/x") if i.entry.path == b"x/s"]
    assert (entry.mode, entry.uid, entry.mtime_ns) == (0o700, 9, 4)
    (entry,) = [i.entry for i in plan_sources(less(source, ""), there, b"/x") if i.entry.path == b"x/s"]
    assert (entry.mode, entry.uid, entry.mtime_ns) == (0o700, 0, 3)


def test_what_is_not_reached_is_not_looked_into() -> None:
    def bomb() -> dict[bytes, Node]:
        raise AssertionError("looked into")

    top = Node(d(""), None, {b"never": Node(d("never"), None, bomb)})
    assert list(walk_source(top, Less("never"))) == []


def digest(node: Node) -> bytes:
    return hashlib.sha256(b"%d" % node.entry.size).digest()


def key(source: Tree, *patterns: str, **options) -> bytes:
    return content_key(match_sources(source, [p.encode() for p in patterns]), digest, **options)


def test_keys_change_with_what_shows() -> None:
    base = [d("x"), f("x/a"), ln("x/l", "a"), d("x/s")]
    reference = key(tree(*base), "x")
    assert key(tree(*[e._replace(mtime_ns=99, uid=5, gid=6) for e in base]), "x") == reference
    assert key(tree(d("x", 0o700), *base[1:]), "x") == reference, "the source directory's own mode isn't copied"
    assert key(tree(*[e._replace(path=e.path.replace(b"x", b"y", 1)) for e in base]), "y") == reference
    changed = [
        [d("x"), f("x/a", 0o600), *base[2:]],
        [d("x"), f("x/a", size=2), *base[2:]],
        [d("x"), f("x/b"), *base[2:]],
        [d("x"), f("x/a"), ln("x/l", "b"), d("x/s")],
        [d("x"), f("x/a"), ln("x/l", "a"), d("x/s", 0o700)],
        [d("x"), f("x/a"), ln("x/l", "a"), f("x/s")],
        [d("x"), f("x/a", xattrs=((b"user.a", b"b"),)), *base[2:]],
        [*base, hard("x/h", "x/a")],
        [*base, f("x/h")],
    ]
    keys = [reference, *[key(tree(*entries), "x") for entries in changed]]
    assert len(set(keys)) == len(keys)
    assert key(tree(*base), "x", keep_owner=True) != key(tree(*[e._replace(uid=5) for e in base]), "x", keep_owner=True)


def test_keys_know_names_and_borders() -> None:
    assert key(tree(f("a"), f("b")), "a") != key(tree(f("a"), f("b")), "b")
    assert key(tree(ln("p", "x"), f("x")), "p") != key(tree(ln("q", "x"), f("x")), "q")
    assert key(tree(f("d/a"), f("e/b")), "d", "e") != key(tree(f("d/a"), f("d/b"), d("e")), "d", "e")
    one = tree(f("d/a", xattrs=((b"user.a", b"1"), (b"user.b", b"2"))))
    two = tree(f("d/a", xattrs=((b"user.a", b"16:user.b1:2"),)))
    assert key(one, "d") != key(two, "d")


def test_excluded_files_do_not_count() -> None:
    one, two = tree(f("d/a"), f("d/x.log")), tree(f("d/a"), f("d/y.log", size=8))
    first, second = (content_key(less(source, "d", "*.log"), digest) for source in (one, two))
    assert first == second == key(tree(f("d/a")), "d") != key(one, "d")


def test_directories_on_the_way_count_by_what_shows_of_them() -> None:
    def of(*entries: Entry) -> bytes:
        return content_key(less(tree(d("d"), *entries), "d", "s"), digest)

    plain = of(d("d/s"), f("d/s/a"))
    assert plain != of(d("d/s", 0o700), f("d/s/a"))
    assert plain != content_key(match_sources(tree(d("d"), d("d/s"), f("d/s/a")), [b"d"]), digest)
    assert of(d("d/s")) == of(), "it holds nothing that is copied"
