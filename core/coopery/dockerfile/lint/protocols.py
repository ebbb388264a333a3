"""Between the plan and the checks. Never imported when a program runs: it is for type checkers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from coopery.dockerfile.instructions import Instruction
from coopery.errors import Location


class Names(Protocol):
    """The variables at one point of a stage; `plan/scope.py` has them."""

    @property
    def args(self) -> Mapping[str, str | None]:
        """The declared ARGs."""

    @property
    def names(self) -> Iterable[str]:
        """Of all variables that have a value."""

    def get(self, name: str) -> str | None:
        """The value of a variable."""

    def is_given(self, name: str) -> bool:
        """Whether there is a build arg of this name."""


class Lint(Protocol):
    """What is told of a plan while it is made; `linter.Linter` is one."""

    def step(self, stage: int, base: int, instruction: Instruction, scope: Names, *, shell_set: bool) -> None:
        """An instruction of `stage`, made FROM the stage `base` (-1 for none), is about to take effect."""

    def image(self, name: str, wanted: str, got: str, location: Location) -> None:
        """The image `name`, `wanted` for one platform and `got` for one (`os/architecture`), is used at `location`."""
