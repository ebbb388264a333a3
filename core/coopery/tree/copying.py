"""Plans a COPY, or the ADD of local files: what goes into the new layer, and under which names.

The rules are BuildKit's: frontend/dockerfile/dockerfile2llb/convert_copy.go, solver/llbsolver/file/backend.go, and
copy/copy.go of tonistiigi/fsutil, which does the work there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from coopery.errors import ContextError, IntegrityError
from coopery.tree.entry import WHITEOUT_PREFIX, Entry, Kind
from coopery.tree.node import Node, join, resolve
from coopery.tree.sources import Source, walk_source
from coopery.tree.tree import Tree

#: `--chmod`: permission bits for all, or what a symbolic mode makes of an entry's own, given whether it's a directory.
Mode = int | Callable[[int, bool], int] | None


class CopyItem(NamedTuple):
    """An entry of the new layer, and where a file's contents come from; None for directories that had to be made."""

    entry: Entry
    source: Node | None


def plan_sources(
    sources: Sequence[Source],
    destination: Tree,
    target: bytes,
    *,
    several: bool = False,
    owner: tuple[int, int] | None = None,
    mode: Mode = None,
    keep_owner: bool = False,
    linked: bool = False,
    created_ns: int = 0,
) -> list[CopyItem]:
    """The layer that copying `sources` to `target` makes on top of `destination`, parents first.

    `target` is absolute; with a slash at its end, or if the instruction names `several` sources, whatever they matched,
    it is a directory. Of several files that one wildcard matched the last one gets the name, as in BuildKit and
    Buildah: `COPY build/*.jar app.jar` is often written. `owner` is `--chown`; without it sources keep their ids if
    `keep_owner` says so (`--from`) and belong to root if not. Directories that have to be made are 0755, or `mode` if
    that is a number, belong to `owner` or root, and are of `created_ns`. Those that are there already aren't listed
    unless a copied one changes their attributes. Hard links among what one source holds are kept.

    A layer that is `linked` is made for an unknown root, with an empty one for `destination`: its directories are 0755
    whatever `mode` is, for they take the place of those that the root may have.

    ContextError if a source can't go where it should.
    """
    made_mode = mode & 0o777 if isinstance(mode, int) and not linked else 0o755
    planner = _Planner(destination, owner, mode, made_mode, keep_owner, created_ns)
    if several and not target.endswith(b"/"):
        target += b"/"
    for source in sources:
        planner.copy(source, target)
    return planner.items()


class _Place(NamedTuple):
    """Something in the destination as it will be: a real path, what is there, and the destination's own node."""

    path: bytes
    entry: Entry
    node: Node | None


class _Planner:
    def __init__(
        self,
        destination: Tree,
        owner: tuple[int, int] | None,
        mode: Mode,
        made_mode: int,
        keep_owner: bool,
        created_ns: int,
    ) -> None:
        self._root = destination.root
        self._owner = owner
        self._mode = mode
        self._made_mode = made_mode
        self._keep_owner = keep_owner
        self._created_ns = created_ns
        self._items: dict[bytes, CopyItem] = {}
        self._names: dict[bytes, list[bytes]] = {}  # further names of files that have several, by the first

    def items(self) -> list[CopyItem]:
        return list(self._items.values())

    def copy(self, source: Source, target: bytes) -> None:
        """Plan the copy of one source."""
        is_directory = source.node.children is not None
        wants_directory = target.endswith((b"/", b"/."))
        path, place = self._resolve(target)
        if wants_directory and place is None:
            place = self._make(path)
        if place is not None and place.entry.kind is not Kind.DIRECTORY and (is_directory or wants_directory):
            raise ContextError(
                f"cannot copy {_show(source.path)} into {_show(path)}, which is not a directory",
                hint="delete it first, or copy to another place",
            )
        if is_directory:
            self._directory(source, place or self._make(path))
            return
        if place is not None and place.entry.kind is Kind.DIRECTORY:
            path = join(path, source.name)
            place = self._child(place, source.name)
        else:
            self._make(path.rpartition(b"/")[0])
        self._put(path, place, source.node, {})

    def _directory(self, source: Source, into: _Place) -> None:
        """Plan the copy of what is in a directory; `into` itself keeps its attributes."""
        inodes: dict[int, bytes] = {}
        open_places = [(b"", into)]  # the directory of the source being copied, and those above it
        for path, node, selected in walk_source(source.node, source.selection):
            while not _holds(open_places[-1][0], path):
                open_places.pop()
            here = open_places[-1][1]
            if node.children is not None:
                open_places.append((path, self._merge(here, node, selected)))
                continue
            self._put(join(here.path, node.entry.name), self._child(here, node.entry.name), node, inodes)

    def _merge(self, here: _Place, node: Node, selected: bool) -> _Place:
        """Plan a copied directory inside `here`: one that is there takes its attributes, or its mode alone if it isn't
        selected but has something in it that is."""
        path = join(here.path, node.entry.name)
        there = self._child(here, node.entry.name)
        new = self._entry(path, node.entry)
        if there is None:
            self._add(path, new, node)
            return _Place(path, new, None)
        if there.entry.kind is not Kind.DIRECTORY:
            raise ContextError(
                f"cannot copy the directory {_show(node.entry.path)} onto {_show(path)}, which is not a directory",
                hint="delete it first, or copy to another place",
            )
        if not selected:
            new = there.entry._replace(mode=node.entry.mode, offset=-1)
        elif there.entry.xattrs:
            new = new._replace(xattrs=tuple(sorted({**dict(there.entry.xattrs), **dict(new.xattrs)}.items())))
        if new != there.entry._replace(offset=-1):
            self._add(path, new, node)
        return _Place(path, new, there.node)

    def _put(self, path: bytes, there: _Place | None, node: Node, inodes: dict[int, bytes]) -> None:
        """Plan the copy of anything but a directory to `path`, in place of what may be `there`."""
        if there is not None and there.entry.kind is Kind.DIRECTORY:
            raise ContextError(
                f"cannot copy {_show(node.entry.path)} onto {_show(path)}, which is a directory",
                hint="end the destination with a slash to copy into it",
            )
        entry = self._entry(path, node.entry)
        if path in self._names:
            self._promote(path)
        if entry.kind is Kind.FILE:
            first = inodes.setdefault(id(node.inode), path)
            if first != path:
                self._names.setdefault(first, []).append(path)
                entry = entry._replace(kind=Kind.HARDLINK, size=0, link=first)
        self._add(path, entry, node)

    def _promote(self, path: bytes) -> None:
        """`path` is about to be replaced: the next name of its file becomes the one that the others link to."""
        first = self._items[path]
        names = [n for n in self._names.pop(path) if self._items[n].entry.link == path and n != path]
        if names:
            heir = self._items[names[0]]
            self._items[names[0]] = CopyItem(
                heir.entry._replace(kind=Kind.FILE, size=first.entry.size, link=b""), heir.source
            )
            for name in names[1:]:
                item = self._items[name]
                self._items[name] = CopyItem(item.entry._replace(link=names[0]), item.source)
            self._names[names[0]] = names[1:]

    def _add(self, path: bytes, entry: Entry, source: Node | None) -> None:
        if entry.name.startswith(WHITEOUT_PREFIX):
            raise ContextError(
                f"cannot copy to {_show(path)}: in a layer, names that begin with .wh. mean deletions",
                hint="rename the file, or list it in .dockerignore",
            )
        if entry.kind is not Kind.DIRECTORY:
            self._items.pop(path, None)  # to come after what it may link to
        self._items[path] = CopyItem(entry, source)

    def _entry(self, path: bytes, entry: Entry) -> Entry:
        """A source's entry as the layer will have it."""
        mode, wanted = entry.mode, self._mode
        if wanted is not None and entry.kind is not Kind.SYMLINK:
            mode = wanted if isinstance(wanted, int) else wanted(mode, entry.kind is Kind.DIRECTORY)
        uid, gid = self._owner or ((entry.uid, entry.gid) if self._keep_owner else (0, 0))
        return Entry(
            path, entry.kind, mode, uid, gid, entry.size, entry.mtime_ns, entry.link, entry.device, entry.xattrs
        )

    # ------------------------------------------------------------------------------------ the destination, as it'll be

    def _child(self, here: _Place, name: bytes) -> _Place | None:
        path = join(here.path, name)
        children = here.node.children if here.node is not None else None
        node = children.get(name) if children else None
        item = self._items.get(path)
        if item is not None:
            return _Place(path, item.entry, node)
        return None if node is None else _Place(path, node.entry, node)

    def _resolve(self, path: bytes) -> tuple[bytes, _Place | None]:
        try:
            return resolve(path, _Place(b"", self._root.entry, self._root), self._child, _link)
        except IntegrityError as error:
            raise ContextError(f"cannot copy to {_show(path)}: {error.message}") from error

    def _make(self, path: bytes) -> _Place:
        """The directory at `path`, which has no links in it; made, with those above it, where there is none."""
        here = _Place(b"", self._root.entry, self._root)
        uid, gid = self._owner or (0, 0)
        for name in path.split(b"/") if path else ():
            there = self._child(here, name)
            if there is None:
                inner = join(here.path, name)
                entry = Entry(inner, Kind.DIRECTORY, self._made_mode, uid, gid, mtime_ns=self._created_ns)
                self._add(inner, entry, None)
                there = _Place(inner, entry, None)
            elif there.entry.kind is not Kind.DIRECTORY:
                raise ContextError(f"cannot copy to {_show(path)}: {_show(there.path)} is not a directory")
            here = there
        return here


def _holds(directory: bytes, path: bytes) -> bool:
    return not directory or path.startswith(directory + b"/")


def _link(place: _Place) -> bytes | None:
    return place.entry.link if place.entry.kind is Kind.SYMLINK else None


def _show(path: bytes) -> str:
    return repr("/" + path.decode(errors="backslashreplace").lstrip("/"))
