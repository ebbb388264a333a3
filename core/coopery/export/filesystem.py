"""The root file system itself: as one tar, or as files in a directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import BinaryIO

from coopery.archive.removal import remove
from coopery.archive.tar_writer import TarWriter
from coopery.errors import IntegrityError
from coopery.export.blobs import CHUNK
from coopery.export.destination import BlobOpener, replacing, reporting, temporary_name
from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Node, Tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_tar(dest: str, trees: Mapping[str, Tree], tar: BlobOpener) -> None:
    """Write root file systems as a tar to the file `dest`, or to standard output for `-`: each in the directory that is
    its key, the one with an empty key directly.

    Owners, modes, times and extended attributes are the image's; names of one file are hard links. The root directory
    has no entry of its own, as with BuildKit's tar exporter. `tar` opens the layers' uncompressed, seekable tars.
    ExportError if `dest` can't be written, StorageError if there is no room, IntegrityError if a tar is too short.
    """
    with replacing(dest) as write, ExitStack() as stack:
        contents = _Contents(tar, stack)
        writer = TarWriter(write)
        for directory, tree in trees.items():
            _add_tree(writer, os.fsencode(directory), tree, contents)
        writer.close()


def _add_tree(writer: TarWriter, directory: bytes, tree: Tree, contents: _Contents) -> None:
    links = _Links()
    if directory:
        writer.add(Entry(directory, Kind.DIRECTORY, 0o755, 0, 0))
    for node in tree.walk():
        if not node.entry.path:
            continue
        entry = node.entry._replace(path=_within(directory, node.entry.path))
        first = links.first(node)
        if first is not None:
            link = _within(directory, first)
            writer.add(entry._replace(kind=Kind.HARDLINK, link=link, size=0, xattrs=()))
        elif entry.kind is Kind.FILE and entry.size:
            writer.add(entry, contents.at(node))
        else:
            writer.add(entry)


def _within(directory: bytes, path: bytes) -> bytes:
    return directory + b"/" + path if directory else path


def write_directory(dest: str, tree: Tree, tar: BlobOpener, warn: Callable[[str], None]) -> None:
    """Write the files of the root file system into the directory `dest`, over what is there.

    As with buildx everything belongs to the user who runs this; modes, times and what extended attributes that user
    may set are the image's. A directory joins one that is there; anything else takes the place of what has its name.
    Nothing is written through a symbolic link below `dest`, whoever put it there. Devices are left out, with a
    warning, where the user may not make them. Errors as of `write_tar`.
    """
    with reporting(dest), ExitStack() as stack:
        os.makedirs(dest, exist_ok=True)
        root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        _DirectoryWriter(root, _Contents(tar, stack), warn).fill(tree.root, root)


class _Contents:
    """Finds files' contents in the layers' tars, each opened once."""

    def __init__(self, tar: BlobOpener, stack: ExitStack) -> None:
        self._tar = tar
        self._stack = stack
        self._open: dict[Digest, BinaryIO] = {}

    def at(self, node: Node) -> BinaryIO:
        """A file that stands where the contents of `node` start."""
        if node.layer is None or node.entry.offset < 0:
            raise IntegrityError(f"the contents of {_shown(node.entry)} are in no layer")
        source = self._open.get(node.layer)
        if source is None:
            source = self._open[node.layer] = self._stack.enter_context(self._tar(node.layer))
        source.seek(node.entry.offset)
        return source

    def copy(self, node: Node, fd: int) -> None:
        """Write the contents of `node` to a descriptor."""
        left = node.entry.size
        if not left:
            return
        source = self.at(node)
        while left:
            data = source.read(min(left, CHUNK))
            if not data:
                raise IntegrityError(f"the layer ends inside {_shown(node.entry)}")
            left -= len(data)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]


class _Links:
    """Remembers under which name each file of several names was written first."""

    def __init__(self) -> None:
        self._seen: dict[int, bytes] = {}

    def first(self, node: Node) -> bytes | None:
        """The path this file was met under before; None if this is the first time."""
        if node.entry.kind is not Kind.FILE:
            return None
        first = self._seen.setdefault(id(node.inode), node.entry.path)
        return None if first is node.entry.path else first


class _DirectoryWriter:
    """Writes nodes by directory descriptor and name, so that no path is ever looked up by the kernel."""

    def __init__(self, root: int, contents: _Contents, warn: Callable[[str], None]) -> None:
        self._root = root
        self._contents = contents
        self._warn = warn
        self._links = _Links()

    def fill(self, top: Node, fd: int) -> None:
        """Write everything below the directory `top` into the directory `fd`."""
        # Depth first, with a stack of our own: images may nest deeper than Python calls.
        stack = [(top, fd, _sorted(top))]
        try:
            while stack:
                directory, parent, left = stack[-1]
                if left:
                    node = left.pop()
                    if node.entry.kind is Kind.DIRECTORY:
                        stack.append((node, self._enter(parent, node.entry), _sorted(node)))
                    else:
                        self._put(parent, node)
                    continue
                if len(stack) > 1:
                    _set_metadata(parent, directory.entry)
                    os.close(parent)
                stack.pop()
        finally:
            for _, open_fd, _ in stack[1:]:
                os.close(open_fd)

    @staticmethod
    def _enter(parent: int, entry: Entry) -> int:
        name = entry.name
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
            elif mode & 0o700 != 0o700:
                _chmod(parent, name, stat.S_IMODE(mode) | 0o700)
        return os.open(name, _DIRECTORY, dir_fd=parent)

    def _put(self, parent: int, node: Node) -> None:
        name = node.entry.name
        try:
            self._make(parent, name, node)
        except FileExistsError:
            self._replace(parent, name, node)

    def _replace(self, parent: int, name: bytes, node: Node) -> None:
        """Make `node` under another name first, so that there is the old or the new one at any time."""
        temporary = os.fsencode(temporary_name("x"))
        if not self._make(parent, temporary, node):
            return
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                remove(parent, name)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            # Still there after a failure, and after a renaming onto another name of the same file, which does nothing.
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent)

    def _make(self, parent: int, name: bytes, node: Node) -> bool:
        """Make what isn't there yet under `name`; False if it was left out."""
        entry = node.entry
        first = self._links.first(node)
        if first is not None and self._link(first, parent, name):
            return True
        if entry.kind is Kind.FILE:
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
            try:
                self._contents.copy(node, fd)
                _set_metadata(fd, entry)
            except BaseException:
                os.unlink(name, dir_fd=parent)
                raise
            finally:
                os.close(fd)
        elif entry.kind is Kind.SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)
        elif entry.kind is Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
            self._finish_special(parent, name, entry)
        else:
            kind = stat.S_IFCHR if entry.kind is Kind.CHARACTER else stat.S_IFBLK
            try:
                os.mknod(name, 0o600 | kind, os.makedev(*entry.device), dir_fd=parent)
            except PermissionError:
                self._warn(f"{_shown(entry)} is a device and was left out: making it needs root")
                return False
            self._finish_special(parent, name, entry)
        return True

    def _link(self, first: bytes, parent: int, name: bytes) -> bool:
        """Make `name` another name of the file written as `first`; False where that can't be."""
        directory = self._root
        *above, last = first.split(b"/")
        try:
            for part in above:
                inner = os.open(part, _DIRECTORY, dir_fd=directory)
                if directory != self._root:
                    os.close(directory)
                directory = inner
            os.link(last, name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False  # a file system without hard links, too many of them, or a device left out: a copy serves
        finally:
            if directory != self._root:
                os.close(directory)
        return True

    @staticmethod
    def _finish_special(parent: int, name: bytes, entry: Entry) -> None:
        _chmod(parent, name, entry.mode)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)


def _sorted(directory: Node) -> list[Node]:
    """What is in the directory, last name first: to be popped."""
    children = directory.children or {}
    return [children[name] for name in sorted(children, reverse=True)]


def _chmod(parent: int, name: bytes, mode: int) -> None:
    """Change the mode of what can't be opened, a link in its place excluded: fchmodat(2) would follow that."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _set_metadata(fd: int, entry: Entry) -> None:
    for key, value in entry.xattrs:
        with suppress(OSError):  # not every file system, nor every user, can keep every attribute
            os.setxattr(fd, key, value)
    os.fchmod(fd, entry.mode)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def _shown(entry: Entry) -> str:
    return "/" + os.fsdecode(entry.path)
