"""`RUN --mount=type=tmpfs`: an empty directory on memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coopery.mounts.spec import MountEnvironment, Options, Prepared
from coopery.ports import TmpfsMount


@dataclass(frozen=True, slots=True)
class TmpfsSpec:
    """An empty directory of at most `size` bytes, 0 for the kernel's default."""

    target: str
    size: int
    source: ClassVar[None] = None
    precedence: ClassVar[str] = ""

    def key_parts(self) -> Sequence[Any]:
        """Where it is and how large."""
        return ["tmpfs", self.target, self.size]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """The tmpfs."""
        yield Prepared((TmpfsMount(self.target, self.size),))


def parse(options: Options) -> TmpfsSpec:
    """The tmpfs mount that `options` describe."""
    return TmpfsSpec(options.directory(), options.size("size"))
