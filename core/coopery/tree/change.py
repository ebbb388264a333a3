"""A layer's change to a tree, collected entry by entry: the rules of OCI's layer.md, and what peers do beyond them."""

from __future__ import annotations

from collections.abc import Iterable

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.tree.entry import OPAQUE_WHITEOUT, WHITEOUT_PREFIX, Entry, Kind
from coopery.tree.node import Node, child, join, resolve

#: Longest name and path that Linux takes, in bytes (limits.h).
MAX_NAME = 255
MAX_PATH = 4096
#: Bytes of paths that directories without an entry of their own may take: a path of 4 KiB can imply 2,000 of them.
MAX_IMPLIED = 256 << 20

#: AUFS's own files; they mean nothing outside it and are passed over, as Docker does.
_AUFS_PREFIX = b".wh..wh."
#: Attributes by which an image would steer the overlay that mounts it.
_OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")


class _Directory:
    """A directory that the layer contains, or whose contents it changes."""

    __slots__ = ("entry", "kids", "lower", "node", "opaque", "path", "whiteouts")

    def __init__(self, path: bytes, lower: Node | None, opaque: bool = False) -> None:
        self.path = path
        self.entry: Entry | None = None  # None: the layer doesn't list it
        self.kids: dict[bytes, _Directory | Node] = {}
        self.whiteouts: set[bytes] = set()
        self.opaque = opaque  # and there is something that it hides
        self.lower = lower  # the directory that this one merges with, or hides the contents of
        self.node: Node | None = None

    def below(self, name: bytes) -> Node | None:
        """What the layers below show as `name` here, with this layer's whiteouts in effect."""
        if self.lower is None or self.opaque or name in self.whiteouts:
            return None
        return child(self.lower, name)

    def get(self, name: bytes) -> _Directory | Node | None:
        """What is visible as `name` here."""
        return self.kids.get(name) or self.below(name)

    def attributes(self) -> Entry:
        """Its own entry; else that of the directory below; else what mkdir(1) would make for root."""
        if self.entry is not None:
            return self.entry
        if self.lower is not None:
            return self.lower.entry
        return Entry(self.path, Kind.DIRECTORY, 0o755, 0, 0)


def _child(place: _Directory | Node, name: bytes) -> _Directory | Node | None:
    return place.get(name) if isinstance(place, _Directory) else child(place, name)


def _link(place: _Directory | Node) -> bytes | None:
    return place.entry.link if place.entry is not None and place.entry.kind is Kind.SYMLINK else None


class Change:
    """Entries of one layer on top of `lower`, the root directory of the layers below.

    Entries are taken in the order of the tar. What a path means is decided when its entry arrives: its parent is
    resolved through symbolic links, scoped to the root, in the tree as it is by then (containerd's archive/tar.go).
    Whiteouts hide what the layers below have, whatever the order (OCI layer.md#whiteouts).
    """

    def __init__(self, lower: Node, entries: Iterable[Entry], layer: Digest | None = None) -> None:
        """IntegrityError for entries that can't be: names with `..` or NUL, links to nothing, files as parents."""
        self._root = _Directory(b"", lower)
        self._layer = layer
        self._made: dict[bytes, _Directory] = {b"": self._root}  # by the path as written
        self._linked: set[int] = set()  # ids of inodes with several names
        self._borrowed: dict[int, tuple[bytes, Node]] = {}  # by id of inode: files below that a name here links to
        self._implied = 0
        add = self._add
        for entry in entries:
            add(entry)
        for path, node in self._borrowed.values():
            if self._find(path)[1] is not node:
                raise IntegrityError(
                    f"the layer replaces or deletes {_show(path)}, to which it also makes a hard link",
                    hint="rebuild the image that this layer belongs to",
                )

    def entries(self) -> list[Entry]:
        """The change as a list to apply blindly; see `coopery.tree.tree.normalise`."""
        out: list[Entry] = []
        first: dict[int, bytes] = {}
        linked, borrowed = self._linked, self._borrowed
        todo: list[_Directory | Node] = [self._root]
        while todo:
            item = todo.pop()
            if isinstance(item, Node):
                entry = item.entry
                if linked and (key := id(item.inode)) in linked:
                    target = borrowed[key][0] if key in borrowed else first.setdefault(key, entry.path)
                    if target != entry.path:
                        entry = entry._replace(kind=Kind.HARDLINK, size=0, link=target, device=(0, 0), offset=-1)
                out.append(entry)
                continue
            out.append(item.attributes())
            kids = item.kids
            if item.opaque:
                out.append(_whiteout(join(item.path, OPAQUE_WHITEOUT)))
            elif item.lower is not None:
                for name in sorted(item.whiteouts):
                    hidden = child(item.lower, name)
                    hider = kids.get(name)
                    if hidden is None:
                        continue
                    if hider is None:
                        out.append(_whiteout(join(item.path, WHITEOUT_PREFIX + name)))
                    elif isinstance(hider, _Directory):
                        hider.opaque = hidden.entry.kind is Kind.DIRECTORY
            todo.extend([kids[name] for name in sorted(kids, reverse=True)])
        return out

    def root(self) -> Node:
        """The root directory of the tree with the change applied; what didn't change is shared with the lower one."""
        order = [self._root]
        for directory in order:  # grows: every directory comes after the one it lies in
            order.extend([kid for kid in directory.kids.values() if isinstance(kid, _Directory)])
        for directory in reversed(order):
            shown: dict[bytes, Node] = {}
            if directory.lower is not None and not directory.opaque:
                shown.update(directory.lower.children or {})
                for name in directory.whiteouts:
                    shown.pop(name, None)
            for name, kid in directory.kids.items():
                made = kid.node if isinstance(kid, _Directory) else kid
                if made is not None:
                    shown[name] = made
            directory.node = Node(directory.attributes(), self._layer, shown)
        return self._root.node or Node(self._root.attributes(), None, {})

    def _add(self, entry: Entry) -> None:
        path = entry.path
        parent, _, name = path.rpartition(b"/")
        if b".wh." in path and self._marker(path):
            return
        if len(name) > MAX_NAME or len(path) > MAX_PATH or name in (b"", b".", b"..") or b"\0" in path:
            if not path and entry.kind is Kind.DIRECTORY:
                self._root.entry = _without_overlay_xattrs(entry)
                return
            raise IntegrityError(f"the layer has an entry with the name {_show(path)}")
        here = self._made.get(parent)
        if here is None:
            here = self._directory(parent)
        real = path if here.path == parent else _checked(join(here.path, name))
        if entry.xattrs:
            entry = _without_overlay_xattrs(entry)
        old = here.kids.get(name)
        kind = entry.kind
        if kind is Kind.DIRECTORY:
            if not isinstance(old, _Directory):
                old = self._make(here, name, real)
                self._made[path] = old
            old.entry = entry if real is path else entry._replace(path=real)
            return
        if kind is Kind.HARDLINK:
            new = self._hard_link(entry, real)
        else:
            new = Node(entry if real is path else entry._replace(path=real), self._layer)
        if here.lower is not None or old is not None:
            self._forget(old or here.below(name))
        here.kids[name] = new

    def _marker(self, path: bytes) -> bool:
        """Take `path` if it is a whiteout; False if it is an ordinary entry."""
        *parents, name = path.split(b"/")
        for part in parents:
            if part.startswith(_AUFS_PREFIX):
                return True
            if part.startswith(WHITEOUT_PREFIX):
                raise IntegrityError(f"the layer has an entry below a whiteout, {_show(path)}")
        if not name.startswith(WHITEOUT_PREFIX):
            return False
        if name.startswith(_AUFS_PREFIX) and name != OPAQUE_WHITEOUT:
            return True
        hidden = name[len(WHITEOUT_PREFIX) :]
        if hidden in (b"", b".", b"..") or b"\0" in name or len(name) > MAX_NAME:
            raise IntegrityError(f"the layer has a malformed whiteout, {_show(path)}")
        parent = path[: -len(name) - 1]
        here = self._made.get(parent) or self._directory(parent)
        if name == OPAQUE_WHITEOUT:
            here.opaque = here.opaque or here.lower is not None
            covered = [kid for kid in here.kids.values() if isinstance(kid, _Directory)]
            self._made = {b"": self._root}
        else:
            self._forget(here.below(hidden))
            here.whiteouts.add(hidden)
            kid = here.kids.get(hidden)
            covered = [kid] if isinstance(kid, _Directory) else []
        for directory in covered:  # grows: what lies below a hidden directory is hidden as well
            directory.lower, directory.opaque = None, False
            covered.extend([kid for kid in directory.kids.values() if isinstance(kid, _Directory)])
        return True

    def _hard_link(self, entry: Entry, real: bytes) -> Node:
        path, found = self._find(entry.link)
        if found is None or not isinstance(found, Node) or found.entry.kind is Kind.DIRECTORY:
            what = "is not there" if found is None else "is a directory"
            raise IntegrityError(
                f"the layer has a hard link from {_show(entry.path)} to {_show(entry.link)}, which {what}"
            )
        inode = found.inode
        self._linked.add(id(inode))
        parent, _, name = path.rpartition(b"/")
        owner = self._find(parent)[1]
        if not isinstance(owner, _Directory) or name not in owner.kids:
            self._borrowed.setdefault(id(inode), (path, found))
        return Node(found.entry._replace(path=real), found.layer, None, inode)

    def _find(self, path: bytes) -> tuple[bytes, _Directory | Node | None]:
        """What `path` names, the last part not followed; IntegrityError if it tries to climb."""
        parent, _, name = path.rpartition(b"/")
        here = self._made.get(parent)
        if here is not None and name not in (b"", b".", b".."):
            return join(here.path, name), here.get(name)
        _check_parts(path)
        root: _Directory | Node = self._root
        return resolve(path, root, _child, _link, follow=False)

    def _directory(self, path: bytes) -> _Directory:
        """The directory at `path`, links followed; made, with those above it, where there is none."""
        _check_parts(path)
        root: _Directory | Node = self._root
        real = _checked(resolve(path, root, _child, _link)[0])
        here = self._root
        for name in real.split(b"/") if real else ():
            kid = here.kids.get(name)
            if kid is None:
                below = here.below(name)
                if below is None or below.entry.kind is Kind.DIRECTORY:
                    kid = self._make(here, name, join(here.path, name))
                    self._implied += len(kid.path) + 1
            if not isinstance(kid, _Directory) or self._implied > MAX_IMPLIED:
                what = "nests too many directories, as in" if isinstance(kid, _Directory) else "has a file as parent of"
                raise IntegrityError(f"the layer {what} {_show(path)}")
            here = kid
        self._made[path] = here
        return here

    def _make(self, here: _Directory, name: bytes, path: bytes) -> _Directory:
        """A new directory in `here`, in place of what this layer may have there."""
        old, below = here.kids.get(name), here.below(name)
        self._forget(old or below)
        merges = below is not None and below.entry.kind is Kind.DIRECTORY
        # A file that this layer had here before has hidden what is below for good.
        new = _Directory(path, below if merges and old is None else None, opaque=merges and old is not None)
        here.kids[name] = new
        return new

    def _forget(self, replaced: _Directory | Node | None) -> None:
        """Drop the memory of resolved paths if what is being replaced may have been part of one."""
        if replaced is not None and (isinstance(replaced, _Directory) or replaced.entry.kind is Kind.SYMLINK):
            self._made = {b"": self._root}


def _whiteout(path: bytes) -> Entry:
    return Entry(path, Kind.FILE, 0o600, 0, 0)


def _without_overlay_xattrs(entry: Entry) -> Entry:
    if any(name.startswith(_OVERLAY_XATTRS) for name, _ in entry.xattrs):
        return entry._replace(xattrs=tuple([x for x in entry.xattrs if not x[0].startswith(_OVERLAY_XATTRS)]))
    return entry


def _check_parts(path: bytes) -> None:
    for part in path.split(b"/"):
        if part == b".." or len(part) > MAX_NAME or b"\0" in part:
            raise IntegrityError(f"the layer has an entry with the name {_show(path)}")


def _checked(real: bytes) -> bytes:
    if len(real) > MAX_PATH:
        raise IntegrityError(f"the layer has a path of {len(real)} bytes, {_show(real)}")
    return real


def _show(path: bytes) -> str:
    text = path.decode(errors="backslashreplace")
    return repr(text if len(text) <= 200 else text[:200] + "…")
