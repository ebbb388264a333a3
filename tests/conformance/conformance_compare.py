"""An image as a flat list of facts, and what differs between two of them. Reads images by plainoci alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from conformance_case import RECENT

from plainoci import Node, flatten
from plainregistry import Pulled

Facts = dict[str, Any]


class Known(NamedTuple):
    """A difference that is right as it is: the facts it shows in (a glob), and why it is there."""

    facts: str
    reason: str


_TOP = ("architecture", "os", "variant", "author")


def facts(image: Pulled) -> Facts:
    """All that a user could notice of an image: `config.NAME` and `/path:attribute` → value."""
    result: Facts = {name: image.config[name] for name in _TOP if image.config.get(name)}
    for name, value in (image.config.get("config") or {}).items():
        if isinstance(value, dict) and name != "Healthcheck":
            result |= {f"config.{name}.{key}": inner for key, inner in value.items()}
        elif value not in (None, "", [], {}, False):
            result[f"config.{name}"] = value
    layers = sum(not entry.get("empty_layer", False) for entry in image.config["history"])
    for number, entry in enumerate(image.config["history"]):
        line = entry.get("created_by", "").removesuffix(" # buildkit")
        result[f"history.{number:02}"] = (line, entry.get("empty_layer", False))
    assert layers == len(image.layers) == len(image.config["rootfs"]["diff_ids"]), "history and layers disagree"
    return result | tree_facts(flatten(image.layers))


def tree_facts(tree: Mapping[str, Node]) -> Facts:
    """`/path:attribute` → value for everything in a tree. Times of directories, and recent ones, are left out."""
    names: dict[int, list[str]] = defaultdict(list)
    for path, node in tree.items():
        if node.type != "dir":
            names[node.inode].append(path)
    result: Facts = {}
    for path, node in tree.items():
        for attribute, value in _attributes(node, names):
            result[f"/{path}:{attribute}"] = value
    return result


def _attributes(node: Node, names: Mapping[int, list[str]]) -> Iterator[tuple[str, Any]]:
    yield "type", node.type
    yield "owner", (node.uid, node.gid)
    if node.type != "symlink":
        yield "mode", oct(node.mode & 0o7777)
    if node.type == "file":
        yield "content", (node.size, node.digest)
    if node.link and node.type == "symlink":
        yield "target", node.link
    if node.type in ("char", "block"):
        yield "device", node.device
    if node.xattrs:
        yield "xattrs", dict(node.xattrs)
    if node.type != "dir":
        if len(names[node.inode]) > 1:
            yield "names", sorted(names[node.inode])
        if node.mtime < RECENT:
            yield "mtime", node.mtime


def differences(ours: Facts, theirs: Facts) -> dict[str, str]:
    """The facts that two images don't share, with both values. A path that only one has is one difference."""
    result: dict[str, str] = {}
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) == theirs.get(name):
            continue
        path, colon, attribute = name.rpartition(":")
        if path.startswith("/") and colon and attribute != "type":
            kinds = {ours.get(f"{path}:type"), theirs.get(f"{path}:type")}
            if len(kinds) > 1:
                continue
        result[name] = f"{ours.get(name, '(none)')!r}, theirs {theirs.get(name, '(none)')!r}"
    return result


def unexplained(found: Mapping[str, str], known: Sequence[Known], everywhere: Sequence[Known]) -> list[str]:
    """What is wrong between the differences that were found and those that are known: nothing, if all is well.

    Each of `known` has to show; those of `everywhere` may.
    """
    faults = [
        f"{name}: ours {values}"
        for name, values in found.items()
        if not any(fnmatchcase(name, each.facts) for each in (*known, *everywhere))
    ]
    return faults + [
        f"{each.facts}: known to differ ({each.reason}), and doesn't"
        for each in known
        if not any(fnmatchcase(name, each.facts) for name in found)
    ]
