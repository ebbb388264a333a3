"""One entry of a file tree: what a tar member says, apart from the bytes."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Kind(enum.StrEnum):
    """What an entry is; the values are the tar type flags (POSIX ustar) they travel as."""

    FILE = "0"
    HARDLINK = "1"
    SYMLINK = "2"
    CHARACTER = "3"
    BLOCK = "4"
    DIRECTORY = "5"
    FIFO = "6"


WHITEOUT_PREFIX = b".wh."
OPAQUE_WHITEOUT = b".wh..wh..opq"


class Entry(NamedTuple):
    """A file, directory, link or device of a layer.

    `path` is relative to the root, without leading, trailing or doubled slashes and without `.` or `..`;
    the root itself is the empty path. Whiteouts appear under their `.wh.` names, as in the tar
    (OCI image specification, layer.md#whiteouts).
    """

    path: bytes
    kind: Kind
    mode: int  # permission bits with setuid, setgid and sticky
    uid: int
    gid: int
    size: int = 0  # of a file's contents
    mtime_ns: int = 0
    link: bytes = b""  # a symlink's target as it stands; a hard link's target as a path from the root
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # sorted by name
    offset: int = -1  # where a file's contents start in the layer's uncompressed tar; -1 if in none

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.rpartition(b"/")[2]

    @property
    def parent(self) -> bytes:
        """The path of the directory this entry lies in."""
        return self.path.rpartition(b"/")[0]
