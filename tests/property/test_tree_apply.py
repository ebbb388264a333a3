"""Layers on trees: against a plain dict, and what must hold for any entries at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Tree, normalise

LAYER = Digest.of(b"layer")
NAMES = [b"a", b"b", b"c", b"-", b"\xff"]

Model = dict[bytes, Entry]


def entry(path: bytes, what: int) -> Entry:
    kind = (Kind.DIRECTORY, Kind.FILE, Kind.SYMLINK)[what % 3]
    link = b"a/b" if kind is Kind.SYMLINK else b""
    return Entry(path, kind, 0o700 + what % 8, what, what, what if kind is Kind.FILE else 0, what, link)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A tree as a dict, every parent a directory."""
    model: Model = {b"": entry(b"", 0)}
    for _ in range(draw(st.integers(0, 12))):
        parent = draw(st.sampled_from(sorted(p for p, e in model.items() if e.kind is Kind.DIRECTORY)))
        path = (parent + b"/" if parent else b"") + draw(st.sampled_from(NAMES))
        model.setdefault(path, entry(path, draw(st.integers(0, 50))))
    return model


def is_directory(model: Model, path: bytes) -> bool:
    return path in model and model[path].kind is Kind.DIRECTORY


def diff(old: Model, new: Model, opaque: bool) -> tuple[list[Entry], list[Entry]]:
    """The whiteouts and the entries of a layer that leads from one to the other."""
    gone = []
    for path, item in old.items():
        if path not in new and is_directory(new, item.parent):
            gone.append(Entry((item.parent + b"/" if item.parent else b"") + b".wh." + item.name, Kind.FILE, 0, 0, 0))
    changed = [item for path, item in sorted(new.items()) if old.get(path) != item]
    if opaque:  # one directory gets its whole contents anew
        for path in sorted(p for p in new if p and is_directory(new, p) and is_directory(old, p))[:1]:
            gone.append(Entry(path + b"/.wh..wh..opq", Kind.FILE, 0, 0, 0))
            changed = sorted(set(changed) | {item for p, item in new.items() if p.startswith(path + b"/")})
    return gone, changed


def as_model(tree: Tree) -> Model:
    return {node.entry.path: node.entry for node in tree.walk()}


@given(models(), models(), st.booleans(), st.randoms(use_true_random=False))
def test_a_diff_applied_gives_the_other_tree(old: Model, new: Model, opaque: bool, random) -> None:
    gone, changed = diff(old, new, opaque)
    # Whiteouts hide what lies below wherever they are in the tar.
    for item in gone:
        changed.insert(random.randint(0, len(changed)), item)
    lower = Tree.empty().apply(old.values(), LAYER)
    assert as_model(lower) == old
    before = dict(as_model(lower))
    assert as_model(lower.apply(changed, LAYER)) == new
    assert as_model(lower.apply(normalise(changed, lower), LAYER)) == new
    assert as_model(lower) == before, "applying must not change the tree below"


@given(models(), models())
def test_what_did_not_change_is_shared(old: Model, new: Model) -> None:
    lower = Tree.empty().apply(old.values(), LAYER)
    gone, changed = diff(old, new, False)
    upper = lower.apply(gone + changed, LAYER)
    touched = {item.path for item in changed} | {item.parent for item in gone}
    for node in upper.walk():
        path = node.entry.path
        if node.children is None and path not in touched and old.get(path) == node.entry:
            assert lower.lookup(path, follow=False) is node


paths = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b"/".join)
targets = st.sampled_from([b"a", b"b", b"/", b"..", b"../..", b"../b", b"/a/b", b"/c", b".", b"c/../a"])
wild_entries = st.one_of(
    st.builds(lambda p, w: entry(p, w * 3), paths, st.integers(0, 9)),
    st.builds(lambda p, w: entry(p, w * 3 + 1), paths, st.integers(0, 9)),
    st.builds(lambda p, t: Entry(p, Kind.SYMLINK, 0o777, 0, 0, link=t), paths, targets),
    st.builds(lambda p, t: Entry(p, Kind.HARDLINK, 0o644, 0, 0, link=t), paths, paths),
    st.builds(
        lambda p: Entry((p.rpartition(b"/")[0] + b"/.wh." + p.rpartition(b"/")[2]).lstrip(b"/"), Kind.FILE, 0, 0, 0),
        paths,
    ),
    st.builds(lambda p: Entry(p + b"/.wh..wh..opq", Kind.FILE, 0, 0, 0), paths),
)


def shape(tree: Tree) -> list[tuple[Entry, int]]:
    """All entries, each with a number that names of one file share."""
    numbers: dict[int, int] = {}
    return [(n.entry, numbers.setdefault(id(n.inode), len(numbers))) for n in tree.walk() if n.children is None] + [
        (n.entry, -1) for n in tree.walk() if n.children is not None
    ]


@given(st.lists(wild_entries, max_size=12), st.lists(wild_entries, max_size=12))
def test_any_entries_are_refused_or_become_a_list_to_apply_blindly(first: list[Entry], second: list[Entry]) -> None:
    try:
        lower = Tree.empty().apply(first, LAYER)
        result = normalise(second, lower)
    except IntegrityError:
        return
    seen: dict[bytes, Entry] = {}
    for item in result:
        name = item.name
        assert item.path not in seen
        if item.path:
            assert seen[item.parent].kind is Kind.DIRECTORY
        if item.kind is Kind.HARDLINK:
            if item.link in seen:
                assert seen[item.link].kind not in (Kind.DIRECTORY, Kind.HARDLINK)
            else:
                kept = lower.lookup(item.link, follow=False)
                assert kept is not None and kept.children is None and kept.entry.path == item.link
                assert not any(item.link == other.path for other in result)
        if name.startswith(b".wh.") and name != b".wh..wh..opq":
            hidden = (item.parent + b"/" if item.parent else b"") + name[4:]
            assert not any(other.path == hidden for other in result)
        seen[item.path] = item
    upper = lower.apply(second, LAYER)
    assert shape(lower.apply(result, LAYER)) == shape(upper)
    assert normalise(result, lower) == result
    for node in upper.walk():  # real paths lead to themselves
        assert upper.resolve(node.entry.path, follow=False) == (node.entry.path, node)
