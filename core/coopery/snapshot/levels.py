"""Stacks of layers as a tree of levels: what is known of each layer on top of those below it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from coopery.oci.digest import Digest
from coopery.oci.image import chain_ids
from coopery.ports import StoredLayer
from coopery.tree.entry import Entry
from coopery.tree.tree import Tree, normalise

_UNNAMED = Digest("sha256", "")  # of a layer whose tar isn't there yet


class Level:
    """A layer, with all that lies below it. Levels of one snapshotter form a tree whose root is the empty stack.

    A layer that a step has just made has no diff ID until it was archived; until then `layer` is None and what it
    holds is read by `walk`.
    """

    def __init__(
        self,
        below: Level | None = None,
        layer: StoredLayer | None = None,
        walk: Callable[[], Sequence[Entry]] | None = None,
    ) -> None:
        self.below = below
        self.layer = layer
        self.directory = ""  # an overlay lower that holds this layer; empty until there is one
        self.making = threading.Lock()  # held while `directory` is being made
        self._lock = threading.RLock()  # a level's before that of the one below it
        self._walk = walk
        self._above: dict[Digest, Level] = {}
        self._tree: Tree | None = None
        self._key: Digest | None = None

    def child(self, layer: StoredLayer) -> Level:
        """The level of `layer` on this one."""
        with self._lock:
            found = self._above.get(layer.diff_id)
            if found is None:
                found = self._above[layer.diff_id] = Level(self, layer)
            return found

    def stored(self, layer: StoredLayer) -> None:
        """What this level holds is `layer`: whoever asks the level below for that layer gets this one."""
        assert self.below
        self.layer = layer
        self._walk = None
        with self.below._lock:
            self.below._above.setdefault(layer.diff_id, self)

    def stack(self) -> list[Level]:
        """This level and those below it, lowest first, without the empty root."""
        found: list[Level] = []
        level: Level | None = self
        while level and level.below:
            found.append(level)
            level = level.below
        return found[::-1]

    def tree(self) -> Tree:
        """The files of this level and all below, for look-ups of their attributes. Computed once."""
        with self._lock:
            if self._tree is None:
                layer = self.layer.diff_id if self.layer else _UNNAMED
                self._tree = self.below.tree().apply(self._entries(), layer) if self.below else Tree.empty()
            return self._tree

    def normalised(self) -> list[Entry]:
        """This layer's entries as one directory of an overlay must hold them."""
        assert self.below
        return normalise(self._entries(), self.below.tree())

    def key(self) -> Digest:
        """What things derived from this level are kept under.

        That is the chain ID. While a layer further down isn't archived, and has no diff ID, it is a digest over all
        that such a thing depends on instead.
        """
        stack = self.stack()
        diff_ids = [level.layer.diff_id for level in stack if level.layer]
        if len(diff_ids) == len(stack):
            return chain_ids(diff_ids)[-1]
        assert self.layer
        if self._key is None:
            own = set(self.layer.entries)
            added = [tuple(entry) for entry in self.normalised() if entry not in own]
            self._key = Digest.of(repr((str(self.layer.diff_id), added)).encode())
        return self._key

    def entry(self, path: bytes) -> Entry | None:
        """What is at `path`, links in its last place not followed; None if nothing is."""
        node = self.tree().lookup(path, follow=False)
        return node.entry if node else None

    def file_below(self, path: bytes) -> tuple[str, Entry] | None:
        """The tar that holds what the levels below have at `path`, and its entry; None if no tar holds it."""
        assert self.below
        node = self.below.tree().lookup(path, follow=False)
        for level in self.below.stack():
            if node and level.layer and level.layer.diff_id == node.layer:
                return level.layer.tar, node.entry
        return None

    def _entries(self) -> Sequence[Entry]:
        layer, walk = self.layer, self._walk
        if layer:
            return layer.entries
        assert walk
        return walk()
