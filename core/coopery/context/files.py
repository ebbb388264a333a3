"""Places that COPY and ADD take files from, all of one shape: a tree, and its contents by node."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Node, Tree


class FileSource(Protocol):
    """Where files are copied from."""

    @property
    def tree(self) -> Tree:
        """What is there."""

    def open(self, node: Node) -> BinaryIO:
        """A file's contents, of `node.entry.size` bytes, from the reader's position on."""


class LayerFiles:
    """Files of a stage or an image: their contents lie in the layers' tars, nothing is unpacked."""

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


class InlineFiles:
    """Files written in the Dockerfile."""

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


class DownloadedFile:
    """One file that was fetched from a URL; mode 0600 as ADD has it."""

    def __init__(self, path: str, name: bytes, mtime_ns: int) -> None:
        """`path` is where it lies, `name` what it is called, `mtime_ns` what the server said of its age."""
        entry = Entry(name, Kind.FILE, 0o600, 0, 0, size=os.stat(path).st_size, mtime_ns=mtime_ns)
        self.tree = Tree(Node(Entry(b"", Kind.DIRECTORY, 0o755, 0, 0), None, {name: Node(entry)}))
        self._path = path

    def open(self, node: Node) -> BinaryIO:
        """The downloaded bytes."""
        return open(self._path, "rb", buffering=0)
