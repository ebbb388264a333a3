"""What a file tree is made of, and the one way of following a path through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind

#: Symbolic links that one look-up follows before it is called a loop; Linux's limit (path_resolution(7)).
MAX_LINKS = 40

T = TypeVar("T")


class Node:
    """A name in a tree. Immutable by convention; subtrees are shared between trees.

    `entry` describes it; a hard-linked name carries the entry of the file itself under this name. `layer` is the
    diff ID of the layer whose tar holds the contents, at `entry.offset`; None if no tar does.
    """

    __slots__ = ("_children", "_inode", "entry", "layer")

    def __init__(
        self,
        entry: Entry,
        layer: Digest | None = None,
        children: Mapping[bytes, Node] | Callable[[], Mapping[bytes, Node]] | None = None,
        inode: object = None,
    ) -> None:
        """`children` by name, for directories only; a function of no arguments is called when they are first wanted.

        `inode` is shared by the names of one file; None makes this the only name, so far.
        """
        self.entry = entry
        self.layer = layer
        self._children = children
        self._inode = inode

    @property
    def children(self) -> Mapping[bytes, Node] | None:
        """The entries of a directory by name, in no particular order; None for anything else."""
        children = self._children
        if callable(children):
            # One slot for both forms: two threads may load twice, but neither sees a half-made state.
            children = self._children = children()
        return children

    @property
    def inode(self) -> object:
        """The same object for all names of one file, another one for every other file."""
        return self if self._inode is None else self._inode

    def __repr__(self) -> str:
        return f"Node({self.entry!r})"


def child(node: Node, name: bytes) -> Node | None:
    """The entry `name` of a directory; None if it isn't there or `node` is no directory."""
    children = node.children
    return None if children is None else children.get(name)


def link_target(node: Node) -> bytes | None:
    """Where a symbolic link points; None for anything else."""
    return node.entry.link if node.entry.kind is Kind.SYMLINK else None


def join(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in `directory`, which may be the root (the empty path)."""
    return directory + b"/" + name if directory else name


def resolve(
    path: bytes,
    root: T,
    get_child: Callable[[T, bytes], T | None],
    get_link: Callable[[T], bytes | None],
    follow: bool = True,
) -> tuple[bytes, T | None]:
    """The path without symbolic links, and what is there, as a process with its root directory at `root` finds it.

    Neither `..` nor an absolute link leads out. Where something is missing, the rest of the path counts as plain
    names and the second value is None. `follow` says whether a link as the last part is followed; a trailing slash
    does that too. IntegrityError for a loop of links.
    """
    trail: list[tuple[bytes, T | None]] = [(b"", root)]
    todo = path.split(b"/")
    todo.reverse()
    links = 0
    while todo:
        part = todo.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            if len(trail) > 1:
                trail.pop()
            continue
        directory, here = trail[-1]
        found = None if here is None else get_child(here, part)
        if found is not None and (todo or follow):
            target = get_link(found)
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise IntegrityError(f"too many levels of symbolic links in {path[:200]!r}")
                if target.startswith(b"/"):
                    del trail[1:]
                todo.extend(reversed(target.split(b"/")))
                continue
        trail.append((join(directory, part), found))
    return trail[-1]
