"""A directory as a build context: seen as a tree, read only where a COPY looks, hashed once."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import time
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Protocol

from coopery import kernel
from coopery.dockerfile.ignore import IgnoreRules
from coopery.errors import ContextError
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Node, Tree

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
}
#: A file changed this shortly before it was hashed may change again within the clock's grain: not remembered.
_RACY_NS = 100_000_000
_PIECE = 1 << 20

#: Size, times of contents and of attributes, inode: equal as long as a file stays the same.
Fingerprint = tuple[int, int, int, int]


class Memory(Protocol):
    """Keeps what is known of files between builds."""

    def load(self) -> Any:
        """The JSON value kept last, None if there is none."""

    def save(self, value: Any) -> None:
        """Keep a JSON value."""


class LocalContext:
    """The files below a directory, without those that the ignore rules leave out."""

    keep_owner = False

    def __init__(self, root: str, rules: IgnoreRules | None, memory: Memory, left_out: Iterable[str] = ()) -> None:
        """`left_out` are directories that are no part of any context, wherever they lie: caches. ContextError if
        `root` isn't a directory that can be read."""
        try:
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            hint = "the last argument of `coopery build` is a directory"
            raise ContextError(f"the build context {root} can't be used: {error.strerror}", hint=hint) from error
        self.root = root
        self._rules = rules
        self._memory = memory
        self._left_out = {found for path in left_out if (found := _identity(path))}
        self._inodes: dict[tuple[int, int], object] = {}
        self._stats: dict[bytes, Fingerprint] = {}
        known = memory.load()
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}
        self._seen: dict[str, list[Any]] = {}
        self.tree = Tree(Node(Entry(b"", Kind.DIRECTORY, 0o755, 0, 0), None, lambda: self._scan(b"")))

    def close(self) -> None:
        """Remember the digests for the next build."""
        if any(self._known.get(path) != value for path, value in self._seen.items()):
            self._memory.save({**self._known, **self._seen} if len(self._known) < 500_000 else self._seen)
        os.close(self._root)

    def _scan(self, directory: bytes) -> Mapping[bytes, Node]:
        try:
            handle = kernel.openat2(
                self._root,
                directory or b".",
                os.O_RDONLY | os.O_DIRECTORY,
                resolve=kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS,
            )
        except OSError as error:
            raise self._unreadable(directory, error) from error
        nodes: dict[bytes, Node] = {}
        try:
            with os.scandir(handle) as names:
                for found in names:
                    name = os.fsencode(found.name)
                    path = directory + b"/" + name if directory else name
                    node = self._node(path, found, handle)
                    if node is not None:
                        nodes[name] = node
        except OSError as error:
            raise self._unreadable(directory, error) from error
        finally:
            os.close(handle)
        return nodes

    def _node(self, path: bytes, found: os.DirEntry[str], directory: int) -> Node | None:
        """The node of a directory entry; None for what is ignored or left out, and for sockets."""
        info = found.stat(follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None or (kind is Kind.DIRECTORY and (info.st_dev, info.st_ino) in self._left_out):
            return None
        ignored = False
        if self._rules is not None:
            text = os.fsdecode(path)
            ignored = self._rules.ignored(text)
            if ignored and not (kind is Kind.DIRECTORY and self._rules.may_contain_exceptions(text)):
                return None
        entry = Entry(
            path,
            kind,
            stat.S_IMODE(info.st_mode),
            0,
            0,
            size=info.st_size if kind is Kind.FILE else 0,
            mtime_ns=info.st_mtime_ns,
            link=os.fsencode(os.readlink(found.name, dir_fd=directory)) if kind is Kind.SYMLINK else b"",
            device=(os.major(info.st_rdev), os.minor(info.st_rdev)) if kind in (Kind.CHARACTER, Kind.BLOCK) else (0, 0),
            xattrs=self._xattrs(path, kind),
        )
        if kind is Kind.DIRECTORY:
            return self._directory(entry, ignored)
        inode = None
        if info.st_nlink > 1:
            inode = self._inodes.setdefault((info.st_dev, info.st_ino), object())
        self._stats[path] = _fingerprint(info)
        return Node(entry, None, None, inode)

    def _directory(self, entry: Entry, ignored: bool) -> Node | None:
        """A directory, read when it is looked into; an ignored one is there only for the exceptions it holds."""
        if not ignored:
            return Node(entry, None, lambda: self._scan(entry.path))
        children = self._scan(entry.path)
        return Node(entry, None, children) if children else None

    def _xattrs(self, path: bytes, kind: Kind) -> tuple[tuple[bytes, bytes], ...]:
        """File capabilities and user attributes, which is what travels in layers."""
        if kind not in (Kind.FILE, Kind.DIRECTORY):
            return ()
        name = os.path.join(os.fsencode(self.root), path)
        try:
            names = os.listxattr(name, follow_symlinks=False)
            kept = sorted(key for key in names if key == "security.capability" or key.startswith("user."))
            return tuple((key.encode(), os.getxattr(name, key, follow_symlinks=False)) for key in kept)
        except OSError:
            return ()

    def open(self, node: Node) -> BinaryIO:
        """The file's contents; never through a symbolic link, whatever was put in its place meanwhile.

        Closing it raises ContextError if the file has changed since the context was looked through: what was read
        is then not what the cache key was made from.
        """
        path = node.entry.path
        resolve = kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS
        try:
            handle = kernel.openat2(self._root, path, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
        except OSError as error:
            raise self._unreadable(path, error) from error
        return _Steady(handle, self._stats[path], os.path.join(self.root, os.fsdecode(path)))

    def digest(self, node: Node) -> bytes:
        """The SHA-256 of the file's contents; remembered as long as its size, times and inode stay the same."""
        import hashlib

        path = os.fsdecode(node.entry.path)
        fingerprint = self._stats.get(node.entry.path)
        known = self._known.get(path)
        if fingerprint and isinstance(known, list) and tuple(known[:4]) == fingerprint:
            with contextlib.suppress(IndexError, TypeError, ValueError):
                remembered = bytes.fromhex(known[4])
                self._seen[path] = known
                return remembered
        hasher = hashlib.sha256()
        with self.open(node) as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        if fingerprint and time.time_ns() - fingerprint[2] > _RACY_NS:
            self._seen[path] = [*fingerprint, hasher.hexdigest()]
        return hasher.digest()

    def _unreadable(self, path: bytes, error: OSError) -> ContextError:
        shown = os.path.join(self.root, os.fsdecode(path))
        hint = "make it readable, or leave it out with a line in .dockerignore"
        return ContextError(f"can't read {shown} in the build context: {error.strerror}", hint=hint)


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a directory from others, whatever path leads to it; None if it isn't there."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _fingerprint(info: os.stat_result) -> Fingerprint:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


class _Steady(io.FileIO):
    """A file that must stay as it was when its fingerprint was taken, until it is closed."""

    def __init__(self, handle: int, fingerprint: Fingerprint, shown: str) -> None:
        super().__init__(handle, "rb")
        self._fingerprint = fingerprint
        self._shown = shown

    def close(self) -> None:
        if self.closed:
            return
        try:
            steady = _fingerprint(os.fstat(self.fileno())) == self._fingerprint
        finally:
            super().close()
        if not steady:
            raise ContextError(
                f"{self._shown} changed while the build was running",
                hint="build when nothing writes to the context, or leave the file out with a line in .dockerignore",
            )
