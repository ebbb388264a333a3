"""Writes an EROFS image that holds a layer's tree and leaves the contents of its files in the layer's tar.

The kernel mounts the pair, the tar as the image's extra device, so that a layer needs no unpacking:
`mount("layer.index", target, "erofs", MS_RDONLY, "device=layer.tar")`; Linux 6.12 or newer does it without loop
devices. Format: the kernel's Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. All numbers are
little-endian; a block has 512 bytes here, because that is how a tar aligns contents and EROFS addresses them by whole
blocks.

       0  zeros
    1024  superblock, 128 bytes
    1152  device table: one slot of 128 bytes
    1280  inodes, the root's first, each followed by its extended attributes and, if it fits into the same block, by
          the tail of its data (a directory's or a symlink's)
     ...  blocks of directories and symlinks that don't fit there
     end  where the tar's first block is counted from: a file at offset n of the tar begins at block end + n / 512

The superblock's checksum is left out, as mkfs.erofs does for this block size: it would cover 512 bytes, and fsck.erofs
1.8 crashes on it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence

from coopery.archive.erofs_nodes import BLOCK, Node, Unsupported, nodes_of, pack_xattrs
from coopery.tree.entry import Entry

__all__ = ["Unsupported", "build_index"]

_SUPERBLOCK_AT, _DEVICES_AT, _INODES_AT = 1024, 1152, 1280
_MAGIC = 0xE0F5E1E2
_COMPAT_MTIME = 2
_INCOMPAT_DEVICE_TABLE = 8
_FLAT_PLAIN, _FLAT_INLINE = 0, 2
_EXTENDED = 1  # the 64-byte inode, with 32-bit ids and an mtime

# magic, compatible features, block size as a power of two, the root's number, inodes, blocks, UUID, incompatible
# features, extra devices, the device table's slot
_SUPERBLOCK = struct.Struct("<I4xIBxHQ12xI8x16s16xI2xHH38x")
_DEVICE = struct.Struct("<64xII56x")  # blocks, first block
# format, units of extended attributes, mode, size, first block or device, number, uid, gid, mtime, nanoseconds, nlink
_INODE = struct.Struct("<HHH2xQIIIIqII16x")
_DIRENT = struct.Struct("<QHBx")  # inode, where the name is, type
_UNIT = 32  # an inode's number is its place in these units
_INODE_SIZE = 64
_DIRENT_SIZE = 12
_TYPES = {0o10: 1, 0o4: 2, 0o2: 3, 0o6: 4, 0o1: 5, 0o12: 7}  # by the mode's top bits; 6 would be a socket


def build_index(entries: Sequence[Entry], tar_size: int) -> bytearray:
    """The EROFS image for a layer whose uncompressed tar has `tar_size` bytes and holds `entries`.

    Every directory must come before what lies in it and every hard link after the file it names; a missing root gets
    mode 0755. Whiteouts become what overlayfs takes for them (kernel, Documentation/filesystems/overlayfs.rst): a
    character device 0/0, or `trusted.overlay.opaque=y` on the directory. A directory that is whited out in the layer
    that brings it is opaque; other entries win over their own whiteout. The image's own `trusted.overlay.*` attributes
    are dropped, lest it steer the overlay.

    Equal input gives equal bytes. Unsupported if EROFS can't show the layer; it must be unpacked then.
    """
    nodes = nodes_of(entries, tar_size)
    base, end = _place(nodes)
    tar_blocks = tar_size // BLOCK
    if end + tar_blocks > 0xFFFFFFFF:
        raise Unsupported("the layer is larger than 2 TiB")
    image = bytearray(end * BLOCK)
    for number, node in enumerate(nodes, 1):
        _write(image, node, number, base, end)
    _DEVICE.pack_into(image, _DEVICES_AT, tar_blocks, end)
    _SUPERBLOCK.pack_into(
        image,
        _SUPERBLOCK_AT,
        _MAGIC,
        _COMPAT_MTIME,
        BLOCK.bit_length() - 1,
        nodes[0].offset // _UNIT,  # has 16 bits only, so the root comes first
        len(nodes),
        end,
        hashlib.blake2b(image, digest_size=16).digest(),
        _INCOMPAT_DEVICE_TABLE,
        1,
        _DEVICES_AT // _DEVICE.size,
    )
    return image


def _place(nodes: Sequence[Node]) -> tuple[int, int]:
    """Give each node its place and its data's; returns the first block of data outside inodes and the one after all.

    What a directory's data is depends on where inodes are, but its size depends on the names alone.
    """
    offset, blocks = _INODES_AT, 0
    for node in nodes:
        head = _INODE_SIZE
        if node.xattrs:
            node.packed_xattrs = pack_xattrs(node.xattrs)
            head += len(node.packed_xattrs)
        if node.children is not None:
            node.size, node.names = _share_out(node.children)
        if node.in_tar:
            offset = -(-offset // _UNIT) * _UNIT
            node.offset = offset
            offset += head
            continue
        tail = node.size % BLOCK
        offset = -(-offset // _UNIT) * _UNIT
        if tail > BLOCK - head % BLOCK:
            tail = 0  # wouldn't fit behind the inode even at a block's start: a block of its own
        elif tail > BLOCK - (offset + head) % BLOCK:
            offset = -(-offset // BLOCK) * BLOCK
        node.offset, node.tail, node.block = offset, tail, blocks
        blocks += -(-(node.size - tail) // BLOCK)
        offset += head + tail
    base = -(-offset // BLOCK)
    return base, base + blocks


def _share_out(children: Iterable[bytes]) -> tuple[int, list[list[bytes]]]:
    """A directory's size, and its names block by block: the kernel bisects, so all of them ascend, the dots too."""
    names = [b".", b"..", *children]
    names.sort()
    used = _DIRENT_SIZE * len(names) + sum(map(len, names))
    if used <= BLOCK:
        return used, [names]
    blocks: list[list[bytes]] = [[]]
    used = 0
    for name in names:
        need = _DIRENT_SIZE + len(name)
        if used + need > BLOCK:
            blocks.append([])
            used = 0
        blocks[-1].append(name)
        used += need
    return (len(blocks) - 1) * BLOCK + used, blocks


def _write(image: bytearray, node: Node, number: int, base: int, end: int) -> None:
    if node.children is not None:
        data = _directory(node)
        start = base + node.block
    elif node.in_tar:
        data = b""
        start = end + node.block
    elif node.size:
        data = node.target
        start = base + node.block
    else:
        data = b""
        start = node.device
    layout = _FLAT_INLINE if node.tail else _FLAT_PLAIN
    xattrs = node.packed_xattrs
    seconds, nanoseconds = divmod(node.mtime_ns, 10**9)
    head = _INODE.pack(
        layout << 1 | _EXTENDED,
        (len(xattrs) - 8) // 4 if xattrs else 0,
        node.mode,
        node.size,
        start,
        number,
        node.uid,
        node.gid,
        seconds,
        nanoseconds,
        node.links,
    )
    at = node.offset
    if not data:
        image[at : at + _INODE_SIZE + len(xattrs)] = head + xattrs
        return
    whole = len(data) - node.tail
    image[at : at + _INODE_SIZE + len(xattrs) + node.tail] = head + xattrs + data[whole:]
    image[start * BLOCK : start * BLOCK + whole] = data[:whole]


def _directory(node: Node) -> bytes:
    """Each block holds its entries, then their names; all but the last are filled up with zeros."""
    children = node.children or {}
    blocks = []
    pack = _DIRENT.pack
    for names in node.names:
        at = _DIRENT_SIZE * len(names)
        entries = []
        for name in names:
            child = children.get(name)
            if child is None:
                child = node if name == b"." else node.parent
            entries.append(pack(child.offset // _UNIT, at, _TYPES[child.mode >> 12]))
            at += len(name)
        blocks.append(b"".join(entries) + b"".join(names))
    return b"".join([block.ljust(BLOCK, b"\0") for block in blocks[:-1]]) + blocks[-1]
