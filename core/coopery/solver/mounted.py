"""Files of a context, a stage or an image as a RUN gets to see them by a mount: in trees of their own.

Paths are looked up in trees as values, links and all, and nothing of a build context is mounted as it lies there: what
a mount shows is made of layers. So whatever links a source holds, none leads out of it (CVE-2024-1753), and a context
shows what COPY would take: without what is ignored, and owned by root.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from coopery import kernel
from coopery.context.files import FileSource
from coopery.errors import ContextError, IntegrityError, UsageError
from coopery.plan.ops import SourceRef
from coopery.ports import Change, Snapshotter, StoredLayer
from coopery.solver.layers import Layers, Once
from coopery.tree.entry import WHITEOUT_PREFIX, Kind
from coopery.tree.node import Node
from coopery.tree.sources import exact_source, walk_source


@dataclass(frozen=True, slots=True)
class MountFiles:
    """What a mount's `from` names, ready to be read."""

    files: FileSource
    layers: Sequence[StoredLayer] | None  # which it consists of; None if it lies elsewhere

    def find(self, path: str) -> tuple[bytes, Node]:
        """The file or directory at `path`: its real path, and the node. ContextError if there is none."""
        where = "the build context" if self.layers is None else "what the mount is from"
        return exact_source(self.files.tree, path.encode("utf-8", "surrogateescape"), where)


class Mounted:
    """Makes trees for mounts out of layers. Safe to use from any thread."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._cut: Once[tuple[SourceRef, bytes], StoredLayer] = Once()

    @contextlib.contextmanager
    def seen(self, source: SourceRef, files: MountFiles, path: str, snapshotter: Snapshotter) -> Iterator[str]:
        """Where the file or directory at `path` of `source` lies as long as the block lasts, to be changed at will."""
        real, node = files.find(path)
        if files.layers is not None and snapshotter.mounts:
            stack, inside = files.layers, real
        else:
            stack, inside = [self._layer(source, files, real, node)], b"" if node.children is not None else _name(node)
        with snapshotter.checkout(stack, bare=True) as workspace:
            place = os.path.join(workspace.rootfs, os.fsdecode(inside)).rstrip("/")
            _check(workspace.rootfs, inside)
            yield place

    def copy(self, source: SourceRef, files: MountFiles, path: str, directory: str, snapshotter: Snapshotter) -> None:
        """Put what the directory at `path` of `source` holds into an empty directory. UsageError if it is a file."""
        real, node = files.find(path)
        if node.children is None:
            raise UsageError(f"a cache can't be filled from {path}, which is not a directory")
        snapshotter.unpack(self._layer(source, files, real, node), directory)

    def _layer(self, source: SourceRef, files: MountFiles, real: bytes, node: Node) -> StoredLayer:
        """A layer of the one file or directory; what holds it is its root."""
        return self._cut.get((source, real), lambda: self._layers.archive(_change(files.files, node)))


def _name(node: Node) -> bytes:
    return node.entry.name or b"file"


def _check(rootfs: str, path: bytes) -> None:
    """See that there are no links on the way to `path`, as the tree says."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolve = kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS
        os.close(kernel.openat2(root, path or b".", os.O_PATH, resolve=resolve))
    except OSError as error:
        raise IntegrityError(f"{os.fsdecode(path)} can't be mounted: {error.strerror}") from error
    finally:
        os.close(root)


def _change(files: FileSource, top: Node) -> Change:
    def opener(node: Node) -> Callable[[], BinaryIO]:
        return partial(files.open, node)

    entry = top.entry._replace(offset=-1)
    if top.children is None:
        yield entry._replace(path=_name(top)), opener(top) if entry.kind is Kind.FILE else None
        return
    yield entry._replace(path=b""), None
    names: dict[int, bytes] = {}
    for path, node, _ in walk_source(top):
        if node.entry.name.startswith(WHITEOUT_PREFIX):
            shown = node.entry.path.decode(errors="backslashreplace")
            hint = "rename the file, or list it in .dockerignore"
            raise ContextError(f"{shown!r} can't be mounted: names that begin with .wh. mean deletions", hint=hint)
        entry = node.entry._replace(path=path, offset=-1)
        if entry.kind is not Kind.FILE:
            yield entry, None
            continue
        first = names.setdefault(id(node.inode), path)
        if first == path:
            yield entry, opener(node)
        else:
            yield entry._replace(kind=Kind.HARDLINK, size=0, link=first), None
