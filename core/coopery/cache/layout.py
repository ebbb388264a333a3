"""Where the local cache lies, and what lies where in it.

    lock              shared by running builds, exclusive for pruning
    blobs/sha256/H    blobs as transported: compressed layers, manifests, configs
    tars/H.tar        uncompressed layers by diff ID; H.entries beside each lists what it holds
    erofs/H           EROFS indexes by chain ID
    trees/MAP/H/      unpacked layers by chain ID, one family for each id mapping
    coded/NAME        which blob a layer became under a codec
    records/H         what a step's cache key gave
    images/H          what a reference was last resolved to
    files/H           digests of context files by their stat
    mounts/H/         directories of RUN --mount=type=cache
    steps/H           locks: one build at a time runs a step of this key
    tmp/X/            of one running build; X.lock beside it is held while that build lives

Everything but `mounts` is written under tmp/ and renamed into place: what has its name is whole. A reader never
sees a half-written entry, whenever a writer was killed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: Raised when the meaning of anything below changes: other versions are left alone.
VERSION = "v1"

KINDS = ("blobs/sha256", "tars", "erofs", "trees", "coded", "records", "images", "files", "mounts", "steps", "tmp")


def cache_root(environ: Mapping[str, str]) -> str:
    """The cache's directory: $COOPERY_CACHE, else coopery under $XDG_CACHE_HOME or ~/.cache."""
    if given := environ.get("COOPERY_CACHE"):
        return os.path.abspath(given)
    base = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the XDG base directory specification demands
        base = os.path.join(environ.get("HOME") or "/", ".cache")
    return os.path.join(os.path.abspath(base), "coopery")
