"""--parents and --exclude against a model of a few lines: every path, asked one by one."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopery.errors import ContextError
from coopery.plan.ops import CopyOp, SourceRef
from coopery.plan.selection import sources_in
from coopery.tree.copying import plan_sources
from coopery.tree.entry import Entry, Kind
from coopery.tree.sources import walk_source
from coopery.tree.tree import Tree

NAMES = ("a", "b", "c.txt", "d.txt")
names = st.sampled_from(NAMES)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
parts = st.sampled_from(["a", "b", "c.txt", "*", "**", "?", "*.txt", "[ab]"])
patterns = st.lists(parts, min_size=1, max_size=4).map("/".join)
trees = st.sets(paths, max_size=12)


def tree_of(files: set[str]) -> Tree:
    """A tree of these files; what is a directory of another isn't one of them."""
    inner = {str(above) for file in files for above in PurePosixPath(file).parents} - {"."}
    directories = [Entry(path.encode(), Kind.DIRECTORY, 0o755, 0, 0) for path in sorted(inner)]
    leaves = [Entry(path.encode(), Kind.FILE, 0o644, 0, 0) for path in sorted(files - inner)]
    return Tree.empty().apply([*directories, *leaves])


def everything(tree: Tree) -> dict[str, bool]:
    """All paths, and whether each is a directory."""
    return {path.decode(): node.children is not None for path, node, _ in walk_source(tree.root)}


def expression(pattern: str) -> str:
    text = re.sub(r"(\*\*/)+", "\0", pattern)
    table = {"\0": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", ".": r"\."}
    return re.sub(r"\0|\*\*|[*?.]", lambda found: table[found[0]], text)


def matches(pattern: str, path: str) -> bool:
    """Whether the pattern matches the path or something above it."""
    above = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    return any(re.fullmatch(expression(pattern), each) for each in above)


def excluded(rules: list[str], path: str) -> bool:
    result = False
    for rule in rules:
        if matches(rule.removeprefix("!"), path):
            result = not rule.startswith("!")
    return result


def model(files: dict[str, bool], wanted: str | None, rules: list[str]) -> set[str]:
    taken = {path for path in files if (wanted is None or matches(wanted, path)) and not excluded(rules, path)}
    return taken | {str(above) for path in taken for above in PurePosixPath(path).parents if str(above) != "."}


def copied(tree: Tree, op: CopyOp) -> set[str]:
    items = plan_sources(sources_in(op, tree), Tree.empty(), b"/x/")
    return {item.entry.path.decode()[2:] for item in items} - {""}


rules = st.lists(st.tuples(st.sampled_from(["", "", "!"]), patterns).map("".join), max_size=4)


@given(trees, rules)
def test_exclude(files, exclude):
    tree = tree_of(files)
    op = CopyOp(SourceRef("context"), (".",), "/x/", "", None, False, exclude=tuple(exclude))
    assert copied(tree, op) == model(everything(tree), None, exclude)


@given(trees, patterns, rules)
def test_parents(files, pattern, exclude):
    tree = tree_of(files)
    op = CopyOp(SourceRef("context"), (pattern,), "/x/", "", None, False, parents=True, exclude=tuple(exclude))
    there = everything(tree)
    if not set(pattern) & set("*?[") and pattern not in there:
        with pytest.raises(ContextError):
            copied(tree, op)
        return
    assert copied(tree, op) == model(there, pattern, exclude)


@given(trees, names, patterns, rules)
def test_a_pivot_is_where_paths_begin(files, pivot, pattern, exclude):
    inner = {f"{pivot}/{file}" for file in files} | {f"{pivot}/a/b/x"}
    tree = tree_of(inner | {"z"})
    start = f"{pivot}/"
    below = {path.removeprefix(start): kind for path, kind in everything(tree).items() if path.startswith(start)}
    op = CopyOp(
        SourceRef("context"), (f"{pivot}/./{pattern}",), "/x/", "", None, False, parents=True, exclude=tuple(exclude)
    )
    if not set(pattern) & set("*?[") and pattern not in below:
        with pytest.raises(ContextError):
            copied(tree, op)
        return
    assert copied(tree, op) == model(below, pattern, exclude)
