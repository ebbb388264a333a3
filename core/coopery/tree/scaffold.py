"""What a root file system needs so that a sandbox can mount into it without changing it.

A snapshotter puts these, empty, into a layer below all others: then no mount point has to be made in the image, and
nothing of them ends in a layer. A removal that hides only such an entry is no change of the image's. Where there are
no layers (a plain directory) the sandbox makes what is missing and takes it away again before it returns; directories
listed here may then show a new ctime without having changed.

Paths are relative to the root, parents first, as in tree/entry.py.
"""

from __future__ import annotations

#: Directories of mode 0755, owned by root.
SCAFFOLD_DIRECTORIES: tuple[bytes, ...] = (b"dev", b"etc", b"proc", b"sys")
#: Empty files of mode 0644, owned by root.
SCAFFOLD_FILES: tuple[bytes, ...] = (b"etc/hosts", b"etc/resolv.conf")
