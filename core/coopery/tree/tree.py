"""File trees as values: a layer on top of one gives another, and what didn't change is shared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.tree.change import Change
from coopery.tree.entry import Entry, Kind
from coopery.tree.node import Node, child, link_target, resolve

__all__ = ["Node", "Tree", "normalise"]


@dataclass(frozen=True, slots=True)
class Tree:
    """A root directory and what is in it. Paths are relative to the root, whose own path is empty."""

    root: Node

    @classmethod
    def empty(cls) -> Tree:
        """A tree with nothing in it but its root, mode 0755 and owned by root."""
        return cls(Node(Entry(b"", Kind.DIRECTORY, 0o755, 0, 0), None, {}))

    def apply(self, entries: Iterable[Entry], layer: Digest | None = None) -> Tree:
        """This tree with a layer on top; `entries` in the order of its tar, `layer` None if it isn't stored as one.

        IntegrityError as for `normalise`.
        """
        return Tree(Change(self.root, entries, layer).root())

    def resolve(self, path: bytes, follow: bool = True) -> tuple[bytes, Node | None]:
        """The path with its symbolic links resolved inside the root, and the node there, None if there is none.

        With `follow`, a link in the last place is resolved as well. `..` never leads out of the root, a leading
        slash changes nothing. IntegrityError for a loop of links.
        """
        return resolve(path, self.root, child, link_target, follow)

    def lookup(self, path: bytes, follow: bool = True) -> Node | None:
        """The node at `path`, as `resolve` finds it; None if there is none or its links go round in circles."""
        try:
            return self.resolve(path, follow)[1]
        except IntegrityError:
            return None

    def walk(self, path: bytes = b"") -> Iterator[Node]:
        """The node at `path` and all below it: directories before what they hold, names in the order of their bytes.

        Nothing if there is no such path. Links are not followed, apart from those in `path`.
        """
        top = self.lookup(path)
        todo = [] if top is None else [top]
        while todo:
            node = todo.pop()
            yield node
            children = node.children
            if children:
                todo.extend([children[name] for name in sorted(children, reverse=True)])


def normalise(entries: Iterable[Entry], lower: Tree) -> list[Entry]:
    """A layer's entries as a list that can be applied blindly, name by name and without following any link.

    `lower` is the tree of the layers below. In the result
    - every path has its real parents: links in it are resolved inside the root, and each directory above it, the
      root included, is listed before it. One that the layer doesn't list has the attributes of the lower tree's
      directory, or 0755 0:0 where there is none;
    - each path appears once, the last entry of the layer having won (a directory keeps what is in it);
    - the first name of a hard-linked file is the file and the others link to it. Only where a link leads to a file
      that the layer doesn't contain does its target not precede it: it is the real path of a file of `lower`, which
      the layer leaves as it is;
    - whiteouts come directly after the directory they are in and before everything else there, an opaque one alone.
      Those that hide nothing are gone: overlayfs lists their names in directories that it has nothing to merge with.
      No name has both a whiteout and an entry: a file simply replaces, a directory holds an opaque whiteout;
    - `trusted.overlay.*` and `user.overlay.*` attributes and AUFS's own files are gone;
    - siblings are in the order of their names' bytes.
    IntegrityError for names with `..` or NUL or of more than 255 bytes, malformed whiteouts, files as parents, loops
    of links, and hard links to something other than a file.
    """
    return Change(lower.root, entries).entries()
