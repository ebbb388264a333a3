"""Places that COPY and ADD take files from, all of one shape: a tree, and its contents by node."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Node, Tree

_PIECE = 1 << 20


class FileSource(Protocol):
    """Where files are copied from."""

    @property
    def tree(self) -> Tree:
        """What is there."""

    @property
    def keep_owner(self) -> bool:
        """Whether what is copied from there belongs to whom it belongs there, not to root."""

    def open(self, node: Node) -> BinaryIO:
        """A file's contents, of `node.entry.size` bytes, from the reader's position on."""


class ContextFiles(FileSource, Protocol):
    """Files of a build context."""

    def digest(self, node: Node) -> bytes:
        """The SHA-256 of a file's contents."""


class LayerFiles:
    """Files of a stage or an image: their contents lie in the layers' tars, nothing is unpacked."""

    keep_owner = True

    def __init__(self, tree: Tree, tar_of: Callable[[Digest], str]) -> None:
        """`tar_of` gives the path of the tar with a diff ID."""
        self.tree = tree
        self._tar_of = tar_of

    def open(self, node: Node) -> BinaryIO:
        """The tar that holds the file, positioned at its contents."""
        if node.layer is None or node.entry.offset < 0:
            return io.BytesIO()
        file = open(self._tar_of(node.layer), "rb", buffering=0)  # noqa: SIM115 - the caller closes it
        file.seek(node.entry.offset)
        return file


class TarFiles(LayerFiles):
    """Files of a context that was put into a tar."""

    def __init__(self, tree: Tree, tar: str) -> None:
        """`tree` is of what the tar at that path holds."""
        super().__init__(tree, lambda _: tar)
        self._digests: dict[bytes, bytes] = {}

    def digest(self, node: Node) -> bytes:
        """The SHA-256 of a file's contents."""
        path = node.entry.path
        if path not in self._digests:
            hasher, left = hashlib.sha256(), node.entry.size
            with self.open(node) as file:
                while left and (piece := file.read(min(left, _PIECE))):
                    hasher.update(piece)
                    left -= len(piece)
            self._digests[path] = hasher.digest()
        return self._digests[path]


class InlineFiles:
    """Files written in the Dockerfile."""

    keep_owner = False

    def __init__(self, files: Mapping[bytes, bytes], mtime_ns: int) -> None:
        """`files` maps names to contents; `mtime_ns` is when they were written."""
        nodes = {
            name: Node(Entry(name, Kind.FILE, 0o644, 0, 0, size=len(content), mtime_ns=mtime_ns))
            for name, content in files.items()
        }
        self.tree = Tree(Node(Entry(b"", Kind.DIRECTORY, 0o755, 0, 0), None, nodes))
        self._files = files

    def open(self, node: Node) -> BinaryIO:
        """The content."""
        return io.BytesIO(self._files[node.entry.path])

    def digest(self, node: Node) -> bytes:
        """The SHA-256 of the content."""
        return hashlib.sha256(self._files[node.entry.path]).digest()


class DownloadedFile:
    """One file that was fetched from a URL; mode 0600 as ADD has it."""

    keep_owner = False

    def __init__(self, path: str, name: bytes, mtime_ns: int, digest: Digest) -> None:
        """`path` is where it lies, `name` what it is called, `mtime_ns` what the server said of its age."""
        entry = Entry(name, Kind.FILE, 0o600, 0, 0, size=os.stat(path).st_size, mtime_ns=mtime_ns)
        self.tree = Tree(Node(Entry(b"", Kind.DIRECTORY, 0o755, 0, 0), None, {name: Node(entry)}))
        self._path = path
        self._digest = digest

    def open(self, node: Node) -> BinaryIO:
        """The downloaded bytes."""
        return open(self._path, "rb", buffering=0)

    def digest(self, node: Node) -> bytes:
        """The SHA-256 of the file's contents."""
        return bytes.fromhex(self._digest.hex)
