"""`RUN --mount=type=cache`: a directory that later builds find again and the image never holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coopery.errors import did_you_mean
from coopery.mounts.spec import BadMount, MountEnvironment, Options, Prepared
from coopery.ports import BindMount

_SHARING = ("shared", "private", "locked")


@dataclass(frozen=True, slots=True)
class CacheMount:
    """BuildKit's options and defaults. As there, caches of one id that begin with other files, another owner or
    another mode are others."""

    id: str
    target: str
    sharing: str
    read_only: bool
    mode: int
    uid: int
    gid: int
    source: str | None = None  # what a new one is filled with
    namespace: str = ""

    @property
    def precedence(self) -> str:
        """Its id, with its namespace."""
        return f"{self.namespace}\0{self.id}"

    def key_parts(self) -> Sequence[Any]:
        """Where it is; neither its id nor its sharing, as in BuildKit."""
        return ["cache", self.target, self.read_only]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """The directory, with the owner, the mode and the files asked for when it is new."""
        parts = [self.id]
        if self.namespace:
            parts.append(f"namespace {self.namespace}")
        if environment.content:
            parts.append(f"content {environment.content}")
        if self._owned:
            parts.append(f"mode {self.mode:o} {self.uid}:{self.gid}")

        def make(path: str) -> None:
            if self.source is not None:
                environment.fill(path)
                if not self._owned:
                    return
            os.chown(path, self.uid, self.gid)
            os.chmod(path, self.mode)

        with environment.cache_directory("\0".join(parts), self.sharing, make) as path:
            yield Prepared((BindMount(path, self.target, self.read_only),))

    @property
    def _owned(self) -> bool:
        return (self.mode, self.uid, self.gid) != (0o755, 0, 0)


def parse(options: Options) -> CacheMount:
    """The cache mount that `options` describe."""
    target = options.directory()
    sharing = (options.text("sharing") or "shared").lower()
    if sharing not in _SHARING:
        hint = did_you_mean(sharing, _SHARING) or "leave it out for shared"
        raise BadMount(f"sharing={sharing!r} is none of {', '.join(_SHARING)}", hint)
    seeded, source = options.text("from"), options.text("source", "src")
    if source and not seeded:
        raise BadMount("the source of a cache mount is a path in its from=…", "name the stage or the image as well")
    return CacheMount(
        id=options.text("id") or target,
        target=target,
        sharing=sharing,
        read_only=options.read_only(default=False),
        mode=options.mode(0o755),
        uid=options.identity("uid"),
        gid=options.identity("gid"),
        source=(source or "/") if seeded else None,
        namespace=options.defaults.namespace,
    )
