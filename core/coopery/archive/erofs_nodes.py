"""The inodes that an EROFS index is written from: a layer's entries as a tree, with overlay's kind of whiteouts."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence

from coopery.tree.entry import OPAQUE_WHITEOUT, WHITEOUT_PREFIX, Entry, Kind

BLOCK = 512

_META_PREFIX = b".wh..wh."  # the opaque marker, and AUFS's own files
_OPAQUE = (b"trusted.overlay.opaque", b"y")
_OVERLAY = b"trusted.overlay."
_XATTR = struct.Struct("<BBH")  # name length, prefix number, value length
# POSIX ACLs aren't among them: a kernel may be built without them in EROFS, and would then ignore them.
_XATTR_PREFIXES = ((b"user.", 1), (b"trusted.", 4), (b"security.", 6))
_MAX_NAME = 255
_MAX_TARGET = 4095  # a page, with its end
_FORMATS = {
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}


class Unsupported(Exception):
    """EROFS can't show this layer; unpack it instead. Not an error that a user sees."""


class Node:
    """An inode: its attributes, and where it goes in the image."""

    __slots__ = (
        "block",
        "children",
        "device",
        "gid",
        "in_tar",
        "links",
        "mode",
        "mtime_ns",
        "names",
        "offset",
        "packed_xattrs",
        "parent",
        "size",
        "tail",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(
        self, mode: int, uid: int, gid: int, mtime_ns: int, xattrs: tuple[tuple[bytes, bytes], ...], parent: Node | None
    ) -> None:
        self.mode = mode  # with the bits of the file type
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.xattrs = xattrs
        self.parent = parent or self
        self.children: dict[bytes, Node] | None = None
        self.links = 1
        self.size = 0
        self.target = b""
        self.device = 0
        self.in_tar = False  # regular files; `block` counts from the tar's start then
        self.block = 0  # of the data, counted from the first one outside inodes
        self.offset = 0  # in the image, in bytes
        self.tail = 0  # bytes of data behind the inode
        self.packed_xattrs = b""
        self.names: list[list[bytes]] = []  # of a directory, block by block


def nodes_of(entries: Sequence[Entry], tar_size: int) -> list[Node]:
    """The tree's inodes, the root first and then in the entries' order; `build_index` says what is asked of them."""
    root = Node(stat.S_IFDIR | 0o755, 0, 0, 0, (), None)
    root.children = {}
    root.links = 2
    nodes = [root]
    by_path: dict[bytes, Node] = {b"": root}
    whiteouts: list[tuple[Node, bytes]] = []
    file, directory, hard_link, symlink = Kind.FILE, Kind.DIRECTORY, Kind.HARDLINK, Kind.SYMLINK
    for path, kind, mode, uid, gid, size, mtime_ns, link, device, xattrs, offset in entries:
        if uid >> 32 or gid >> 32 or mtime_ns // 10**9 + (1 << 63) >> 64:
            raise Unsupported(f"{_shown(path)}: an id or a time is out of range")
        if xattrs:
            xattrs = tuple(pair for pair in xattrs if not pair[0].startswith(_OVERLAY))
        if not path:
            if kind is not directory:
                raise Unsupported("the root is no directory")
            root.mode, root.uid, root.gid = stat.S_IFDIR | mode & 0o7777, uid, gid
            root.mtime_ns, root.xattrs = mtime_ns, xattrs
            continue
        above, _, name = path.rpartition(b"/")
        parent = by_path.get(above)
        if parent is None or parent.children is None:
            raise Unsupported(f"{_shown(path)}: its directory isn't in the layer before it")
        if len(name) > _MAX_NAME or name in (b"", b".", b"..") or path in by_path:
            raise Unsupported(f"{_shown(path)}: a bad name, or one that comes twice")
        if name.startswith(WHITEOUT_PREFIX):
            if kind is directory or name[len(WHITEOUT_PREFIX) :] in (b"", b".", b".."):
                raise Unsupported(f"{_shown(path)}: a bad whiteout")
            whiteouts.append((parent, name))
            continue
        if kind is hard_link:
            target = by_path.get(link)
            if target is None or target.children is not None:
                raise Unsupported(f"{_shown(path)}: a hard link to what isn't a file of the layer before it")
            target.links += 1
            by_path[path] = parent.children[name] = target
            continue
        node = Node(mode & 0o7777, uid, gid, mtime_ns, xattrs, parent)
        if kind is file:
            node.mode |= stat.S_IFREG
            node.in_tar, node.size = True, size
            if size:
                if offset < 0 or offset % BLOCK or size < 0 or -(-(offset + size) // BLOCK) * BLOCK > tar_size:
                    raise Unsupported(f"{_shown(path)}: its contents aren't in whole blocks of the tar")
                node.block = offset // BLOCK
        elif kind is directory:
            node.mode |= stat.S_IFDIR
            node.children = {}
            node.links = 2
            parent.links += 1
        else:
            node.mode |= _FORMATS[kind]
            if kind is symlink:
                node.mode = stat.S_IFLNK | 0o777  # as symlink(2) makes them, whatever the tar says
                node.target, node.size = link, len(link)
                if not 0 < len(link) <= _MAX_TARGET:
                    raise Unsupported(f"{_shown(path)}: a link to a name of {len(link)} bytes")
            elif kind is not Kind.FIFO:
                node.device = _encode_device(path, device)
        nodes.append(node)
        by_path[path] = parent.children[name] = node
    nodes += _apply(whiteouts)
    return nodes


def _apply(whiteouts: Sequence[tuple[Node, bytes]]) -> list[Node]:
    """Turn whiteouts into overlay's; returns the inodes that are new."""
    new = []
    for parent, name in whiteouts:
        if name == OPAQUE_WHITEOUT:
            _make_opaque(parent)
        elif not name.startswith(_META_PREFIX):
            children = parent.children if parent.children is not None else {}
            hidden = name[len(WHITEOUT_PREFIX) :]
            node = children.get(hidden)
            if node is None:
                children[hidden] = Node(stat.S_IFCHR, 0, 0, 0, (), parent)
                new.append(children[hidden])
            elif node.children is not None:
                _make_opaque(node)
    return new


def _make_opaque(node: Node) -> None:
    if _OPAQUE not in node.xattrs:
        node.xattrs = (*node.xattrs, _OPAQUE)


def _encode_device(path: bytes, device: tuple[int, int]) -> int:
    """As the kernel's new_encode_dev."""
    major, minor = device
    if major >> 12 or minor >> 20:
        raise Unsupported(f"{_shown(path)}: device number {major}:{minor} is out of range")
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def pack_xattrs(xattrs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Extended attributes as they follow an inode: a header without filter and shared ones, then each padded to 4."""
    body = bytearray(12)
    for key, value in sorted(xattrs):
        prefix, number = next((known for known in _XATTR_PREFIXES if key.startswith(known[0])), (b"", 0))
        name = key[len(prefix) :]
        if not number or not 0 < len(name) <= _MAX_NAME or len(value) > 0xFFFF:
            raise Unsupported(f"extended attribute {_shown(key)} of {len(value)} bytes")
        body += _XATTR.pack(len(name), number, len(value)) + name + value
        body += bytes(-len(body) % 4)
    if len(body) > 12 + 4 * 0xFFFE:
        raise Unsupported("too many extended attributes")
    return bytes(body)


def _shown(name: bytes) -> str:
    return repr(os.fsdecode(name))
