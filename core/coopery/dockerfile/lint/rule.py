"""What a rule is, what it looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from coopery.dockerfile.expand import expand
from coopery.dockerfile.instructions import Dockerfile, Instruction
from coopery.errors import Location

if TYPE_CHECKING:
    from coopery.dockerfile.ignore import IgnoreRules
    from coopery.dockerfile.lint.protocols import Names


class Found(NamedTuple):
    """A place where a rule isn't kept. `hint` is what helps here, if that is more than the rule's own advice."""

    location: Location
    message: str
    hint: str = ""


class Rule(NamedTuple):
    """A check: `look` gives the places in its subject where it isn't kept. What the subject is depends on the list in
    `linter.py` that the rule stands in: a Dockerfile, Bases, a Step or Pulled."""

    name: str
    description: str
    advice: str  # how to keep it
    look: Callable[[Any], Iterable[Found]]
    on: tuple[type[Instruction], ...] = ()  # the instructions that a rule about single ones is about
    experimental: bool = False  # only checked where it is asked for

    @property
    def url(self) -> str:
        """Where the rule is described, from the root of the repository."""
        return f"docs/lint.md#{self.name.lower()}"


class Bases(NamedTuple):
    """What rules about FROM lines look at."""

    dockerfile: Dockerfile
    values: Mapping[str, str]  # of the global and the predefined ARGs
    defaults: Mapping[str, str] | None  # the same without build args; None if they can't be had


class Pulled(NamedTuple):
    """A base image, and the platforms (`os/architecture`) that it was wanted for and is for."""

    name: str
    wanted: str
    got: str
    location: Location


class StageMemory:
    """What rules remember of a stage's earlier instructions."""

    def __init__(self, base: StageMemory | None = None) -> None:
        """`base` is that of the stage which this one is made FROM."""
        self.workdir_set: bool = base is not None and base.workdir_set
        self.last: dict[type[Instruction], Location] = {}


class Step(NamedTuple):
    """An instruction of a stage in its surroundings, before it has taken effect."""

    instruction: Instruction
    escape: str
    scope: Names
    shell_set: bool  # whether the image or a SHELL says which shell is used
    memory: StageMemory
    ignored: Callable[[], IgnoreRules | None]  # the main context's rules

    def one(self, text: str) -> str:
        """`text` expanded as one word. DockerfileError if it can't be."""
        return expand(text, self.scope.get, self.escape).text

    def found(self, message: str, hint: str = "") -> Found:
        """Something about this instruction."""
        return Found(self.instruction.location, message, hint)
