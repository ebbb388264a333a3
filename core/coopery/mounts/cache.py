"""`RUN --mount=type=cache`: a directory that later builds find again and the image never holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coopery.mounts.spec import BadMount, MountEnvironment, Options, Prepared
from coopery.ports import BindMount


@dataclass(frozen=True, slots=True)
class CacheMount:
    """BuildKit's options and defaults, but for `from` and `source`, which seed a cache from another stage."""

    id: str
    target: str
    sharing: str
    read_only: bool
    mode: int
    uid: int
    gid: int

    def key_parts(self) -> Sequence[Any]:
        """Where it is; neither its id nor its sharing, as in BuildKit."""
        return ["cache", self.target, self.read_only]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """The directory, with the owner and mode asked for when it is new."""
        with environment.cache_directory(self.id, self.sharing) as path:
            if not os.listdir(path):
                os.chown(path, self.uid, self.gid)
                os.chmod(path, self.mode)
            yield Prepared((BindMount(path, self.target, self.read_only),))


def parse(options: Options, cwd: str) -> CacheMount:
    """The cache mount that `options` describe."""
    target = options.needed_target(cwd)
    sharing = options.text("sharing", default="shared").lower()
    if sharing not in ("shared", "private", "locked"):
        raise BadMount(f"sharing={sharing!r} is none of shared, private and locked", "leave it out for shared")
    read_only = options.flag("ro", "readonly")
    writable = options.flag("rw", "readwrite")
    if options.text("from") or options.text("source", "src"):
        raise BadMount("a cache mount can't be filled from another stage", "leave out from= and source=")
    return CacheMount(
        id=options.text("id") or target,
        target=target,
        sharing=sharing,
        read_only=bool(read_only) or writable is False,
        mode=options.mode(0o755),
        uid=options.identity("uid"),
        gid=options.identity("gid"),
    )
