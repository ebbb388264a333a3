"""File trees that lie in a directory, read as plainoci's nodes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import plainoci
from plainoci import Node

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def scan(root: Path) -> dict[str, Node]:
    """Everything below a directory, as `plainoci.flatten` gives an image."""
    tree: dict[str, Node] = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            tree[os.path.relpath(path, root)] = _node(path)
    return tree


def _node(path: str) -> Node:
    info = os.lstat(path)
    kind = _TYPES[stat.S_IFMT(info.st_mode)]
    data = Path(path).read_bytes() if kind == "file" else b""
    return Node(
        type=kind,
        mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
        mtime=info.st_mtime,
        link=os.readlink(path) if kind == "symlink" else "",
        device=(os.major(info.st_rdev), os.minor(info.st_rdev)) if kind in ("char", "block") else (0, 0),
        digest=plainoci.sha256(data) if kind == "file" else "",
        size=len(data),
        xattrs={
            name: os.getxattr(path, name, follow_symlinks=False).decode("utf-8", "surrogateescape")
            for name in os.listxattr(path, follow_symlinks=False)
        },
        inode=info.st_ino,
    )
