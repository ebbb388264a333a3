"""`RUN --mount=type=bind`: files of a build context, a stage or an image, seen for the time of the step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coopery.mounts.spec import MountEnvironment, Options, Prepared
from coopery.ports import BindMount


@dataclass(frozen=True, slots=True)
class BindSpec:
    """BuildKit's options and defaults (frontend/dockerfile/instructions/commands_runmount.go). What is written to a
    writable one is lost after the step."""

    target: str
    source: str
    read_only: bool
    precedence: ClassVar[str] = ""

    def key_parts(self) -> Sequence[Any]:
        """Where it is seen; what is seen there counts by its contents."""
        return ["bind", self.target, self.read_only]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """The source as it is, or with changes that are thrown away."""
        with environment.files() as path:
            yield Prepared((BindMount(path, self.target, self.read_only),))


def parse(options: Options) -> BindSpec:
    """The bind mount that `options` describe."""
    options.text("from")
    return BindSpec(
        target=options.directory(),
        source=options.text("source", "src") or "/",
        read_only=options.read_only(default=True),
    )
