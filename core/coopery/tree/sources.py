"""What a COPY takes: the matching of its sources, and a hash of what they hold for cache keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from coopery.errors import ContextError, IntegrityError
from coopery.tree.entry import Entry, Kind
from coopery.tree.node import Node, child, join
from coopery.tree.pattern import has_wildcards, match_path
from coopery.tree.tree import Tree


class Selection(Protocol):
    """What is copied of a directory, told by paths relative to it."""

    def takes(self, path: bytes) -> bool:
        """Whether `path` is copied."""

    def reaches(self, directory: bytes) -> bool:
        """Whether anything inside `directory`, which isn't copied itself, may be. True when in doubt."""


class Source(NamedTuple):
    """Something a COPY takes: how it was named, and what is there, symbolic links followed."""

    path: bytes
    node: Node
    selection: Selection | None = None  # of what a directory holds; None: all

    @property
    def name(self) -> bytes:
        """What a copy of it is called inside a directory: the last part of its path, not of what that links to."""
        return self.path.rpartition(b"/")[2]


def match_sources(source: Tree, patterns: Sequence[bytes], where: str = "the build context") -> list[Source]:
    """What `patterns` name in `source`, in their order, and within one in the order of a walk by names.

    A pattern's directories before its first wildcard are a plain path whose links are followed; the rest is matched
    against whole paths below, as `match_path` does, where no links are followed and nothing is looked for inside
    what matched. Wildcards may match nothing. As BuildKit does it (fsutil copy/copy.go, ResolveWildcards).

    ContextError, speaking of `where`, for a plain path that isn't there, and for a malformed pattern.
    """
    found: list[Source] = []
    for pattern in patterns:
        plain, wild = _split(pattern)
        if wild:
            top = source.lookup(plain)
            if top is None:
                raise _missing(source, plain, where)
            paths = [join(top.entry.path, below) for below in _matches(top, wild)]
        else:
            paths = [plain]
        for path in paths:
            node = source.lookup(path)
            if node is None:
                raise _missing(source, path, where)
            found.append(Source(path, node))
    return found


def match_tops(source: Tree, pivot: bytes, pattern: bytes, where: str = "the build context") -> list[Source]:
    """The directories that `pivot` names, to look in them for `pattern` (`COPY --parents`). Links in the pivot are
    followed, below it they aren't.

    ContextError, speaking of `where`, if neither has wildcards and what they name isn't there; for a malformed pivot.
    """
    tops = [top for top in match_sources(source, [pivot], where) if top.node.children is not None]
    if has_wildcards(pivot) or has_wildcards(pattern):
        return tops
    for top in tops:
        here: Node | None = top.node
        for part in pattern.split(b"/") if pattern else ():
            here = here and child(here, part)
        if here is not None:
            return tops
    path = join(pivot.strip(b"/"), pattern)
    if source.lookup(path) is not None:
        shown = path.decode(errors="backslashreplace")
        message = f"{shown!r} in {where} lies behind a link, and --parents copies links as links"
        raise ContextError(message, hint="name it by its real path, or put the link before a /./")
    raise _missing(source, path, where)


def exact_source(source: Tree, path: bytes, where: str = "the build context") -> tuple[bytes, Node]:
    """The one file or directory that `path` names in `source`, links followed inside it: its real path, and the node.

    ContextError, speaking of `where`, if there is none.
    """
    try:
        real, node = source.resolve(path)
    except IntegrityError as error:
        raise ContextError(f"{path.decode(errors='backslashreplace')!r} in {where}: {error.message}") from error
    if node is None:
        raise _missing(source, path.strip(b"/"), where)
    return real, node


def walk_source(top: Node, selection: Selection | None = None) -> Iterator[tuple[bytes, Node, bool]]:
    """What is copied of a directory, as paths relative to it, parents first and by name; and whether each is selected
    itself. A directory that isn't comes only as the parent of something that is."""
    todo: list[tuple[bytes, Node]] = [(b"", top)]
    above: list[tuple[bytes, Node]] = []  # directories on the way that aren't selected and didn't come yet
    while todo:
        path, node = todo.pop()
        while above and not path.startswith(above[-1][0] + b"/"):
            above.pop()
        if path and (selection is None or selection.takes(path)):
            for parent in above:
                yield *parent, False
            above.clear()
            yield path, node, True
        elif path:
            if node.entry.kind is not Kind.DIRECTORY or (selection is not None and not selection.reaches(path)):
                continue
            above.append((path, node))
        children = node.children
        if children:
            todo.extend([(join(path, name), children[name]) for name in sorted(children, reverse=True)])


def content_key(
    sources: Iterable[Source],
    digest_of: Callable[[Node], bytes],
    *,
    keep_owner: bool = False,
) -> bytes:
    """A hash of all of `sources` that can show in a copy of them: 32 bytes, for cache keys.

    That is names, types, modes, sizes, link targets, devices, xattrs, which names are one file, `digest_of` each
    file's contents and, with `keep_owner`, user and group; not times (BuildKit's cache/contenthash/tarsum.go). A
    source's own name counts unless it is a directory, whose contents alone are copied. Every field is preceded by
    its length, so that no two lists of fields are the same bytes.
    """
    total = hashlib.sha256()
    for source in sources:
        part = hashlib.sha256()
        inodes: dict[int, bytes] = {}
        if source.node.children is None:
            _hash(part, source.name, source.node, digest_of, keep_owner, inodes)
        else:
            part.update(b"directory")
            for path, node, selected in walk_source(source.node, source.selection):
                if not selected:  # it shows, if less than others
                    part.update(b"above\n")
                _hash(part, path, node, digest_of, keep_owner, inodes)
        total.update(part.digest())
    return total.digest()


def _hash(
    into: hashlib._Hash,
    path: bytes,
    node: Node,
    digest_of: Callable[[Node], bytes],
    keep_owner: bool,
    inodes: dict[int, bytes],
) -> None:
    entry: Entry = node.entry
    numbers = b"%d %d %d %d %d %d" % (
        entry.mode,
        entry.uid if keep_owner else 0,
        entry.gid if keep_owner else 0,
        entry.size,
        *entry.device,
    )
    fields = [path, entry.kind.value.encode(), numbers, entry.link]
    if entry.kind is Kind.FILE:
        first = inodes.setdefault(id(node.inode), path)
        fields += [b"content", digest_of(node)] if first is path else [b"same", first]
    for name, value in entry.xattrs:
        fields += [name, value]
    into.update(b"%d\n" % len(fields))
    for field in fields:
        into.update(b"%d:" % len(field))
        into.update(field)


def _split(pattern: bytes) -> tuple[bytes, bytes]:
    """The parts of a pattern before its first wildcard, and those from it on; `.` and `..` taken out as Go does."""
    parts: list[bytes] = []
    for part in pattern.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    wild = next((place for place, part in enumerate(parts) if has_wildcards(part)), len(parts))
    return b"/".join(parts[:wild]), b"/".join(parts[wild:])


def _matches(top: Node, pattern: bytes) -> Iterator[bytes]:
    match_path(pattern, b"")  # malformed patterns are malformed in an empty directory, too
    # Only a set can match a slash: without one, nothing matches deeper than the pattern goes.
    depth = None if b"[" in pattern else pattern.count(b"/")
    todo: list[tuple[bytes, Node]] = [(b"", top)]
    while todo:
        path, node = todo.pop()
        if path and match_path(pattern, path):
            yield path
        elif depth is None or not path or path.count(b"/") < depth:
            children = node.children
            if children:
                todo.extend([(join(path, name), children[name]) for name in sorted(children, reverse=True)])


def _missing(source: Tree, path: bytes, where: str) -> ContextError:
    """The error for a path that isn't there, with names like it as the hint."""
    from difflib import get_close_matches

    shown = path.decode(errors="backslashreplace")
    parent, _, name = path.rpartition(b"/")
    directory = source.lookup(parent)
    names = [key.decode(errors="backslashreplace") for key in (directory.children or {})] if directory else []
    close = get_close_matches(name.decode(errors="backslashreplace"), sorted(names), 3, 0.6)
    there = parent.decode(errors="backslashreplace")
    similar = ", ".join(repr(f"{there}/{other}" if there else other) for other in close)
    link = source.lookup(path, follow=False)
    if link is not None:
        target = link.entry.link.decode(errors="backslashreplace")
        return ContextError(f"{shown!r} in {where} is a link to {target!r}, which isn't there")
    hint = f"did you mean {similar}?" if similar else "paths start at its root; an ignore file may leave it out"
    return ContextError(f"{shown!r} is not in {where}", hint=hint)
