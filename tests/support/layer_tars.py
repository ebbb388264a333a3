"""Layers as tar files, made with the standard library: honest and hostile ones."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

from coopery.archive.extract import extract
from coopery.archive.tar_reader import scan_file
from coopery.tree.tree import Tree, normalise

DIRECTORY, FILE, SYMLINK, HARDLINK = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
FIFO, CHARACTER = tarfile.FIFOTYPE, tarfile.CHRTYPE


def member(name: str, kind: bytes = FILE, data: bytes = b"", link: str = "", **fields) -> tuple[tarfile.TarInfo, bytes]:
    """A member; `fields` set attributes of its TarInfo, `xattrs` a dict of extended attributes."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    info.mode = 0o755 if kind == DIRECTORY else 0o644
    for key, value in fields.pop("xattrs", {}).items():
        info.pax_headers[f"SCHILY.xattr.{key}"] = value
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, **fields) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, DIRECTORY, **fields)


def symlink(name: str, target: str, **fields) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, SYMLINK, link=target, **fields)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, HARDLINK, link=target)


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def apply_tars(root: Path, *tars: str, **options) -> Tree:
    """Unpack layers one on the other into `root`; the tree they make."""
    root.mkdir(exist_ok=True)
    tree = Tree.empty()
    for tar in tars:
        entries = scan_file(tar)
        extract(tar, normalise(entries, tree), str(root), **options)
        tree = tree.apply(entries)
    return tree


def on_disk(root: Path) -> dict[str, tuple]:
    """All that is in a directory, by path: type and mode, owner, mtime, and contents, target or device."""
    found: dict[str, tuple] = {}
    for where, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = os.path.join(where, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISCHR(status.st_mode):
                content = status.st_rdev
            mode = 0 if stat.S_ISLNK(status.st_mode) else status.st_mode
            key = os.path.relpath(path, root)
            found[key] = (mode, status.st_uid, status.st_gid, status.st_mtime_ns, content)
    return found
