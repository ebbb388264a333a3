"""Who owns a file where the file system can't say: with one id alone, all files belong to whoever builds."""

from __future__ import annotations

from collections.abc import Callable

from coopery.snapshot.attributes import Owners
from coopery.tree.entry import Entry


def recall_owners(below: Callable[[bytes], Entry | None], only_uid: int, only_gid: int) -> Owners:
    """The Owners for where every file shows `only_uid` and `only_gid`.

    A path that the layers below have keeps the owner it has there, whatever wrote it; a new one is root's. So a file
    that a step deletes and makes again keeps its first owner: what chown would have done isn't seen here.
    """

    def owners(path: bytes, uid: int, gid: int) -> tuple[int, int]:
        if (uid, gid) != (only_uid, only_gid):
            return uid, gid
        old = below(path)
        return (old.uid, old.gid) if old else (0, 0)

    return owners
