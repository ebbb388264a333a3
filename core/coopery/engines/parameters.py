"""What a build can be given: ARGs, secrets, SSH agents and cache directories (BuildKit, dockerfile2llb/outline.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coopery.dockerfile.expand import expand
from coopery.dockerfile.instructions import Arg, Instruction
from coopery.errors import DockerfileError, Location
from coopery.plan.ops import RunOp
from coopery.plan.outline import Outline
from coopery.plan.plan import Plan

if TYPE_CHECKING:
    from coopery.dockerfile.lint.protocols import Lint, Names


@dataclass(frozen=True, slots=True)
class Argument:
    """An ARG that counts for the target, with the value that it has."""

    name: str
    value: str
    description: str
    location: Location


@dataclass(frozen=True, slots=True)
class Wanted:
    """A secret, an SSH agent or a cache directory that steps mount."""

    id: str
    required: bool
    location: Location


@dataclass(frozen=True, slots=True)
class Parameters:
    """All of them, each in the order of the lines."""

    arguments: tuple[Argument, ...]
    secrets: tuple[Wanted, ...]
    agents: tuple[Wanted, ...]
    caches: tuple[Wanted, ...]


class Declarations:
    """Sees the ARGs of stages while they are planned (`lint.protocols.Lint`), and passes on what goes by."""

    def __init__(self, lint: Lint | None) -> None:
        self._lint = lint
        self.lines: dict[int, list[Arg]] = {}
        self.scopes: dict[int, Names] = {}  # as they are at the stages' ends, once there is a plan

    def step(self, stage: int, base: int, instruction: Instruction, scope: Names, *, shell_set: bool) -> None:
        """An instruction is about to take effect."""
        if isinstance(instruction, Arg):
            self.lines.setdefault(stage, []).append(instruction)
            self.scopes[stage] = scope
        if self._lint:
            self._lint.step(stage, base, instruction, scope, shell_set=shell_set)

    def image(self, name: str, wanted: str, got: str, location: Location) -> None:
        """An image is used."""
        if self._lint:
            self._lint.image(name, wanted, got, location)


def described(doc: str, name: str) -> str:
    """What the comment above an instruction says of `name`: the rest of the first line that starts with it."""
    start = f"{name} "
    return next((line.removeprefix(start) for line in doc.splitlines() if name and line.startswith(start)), "")


def parameters_of(lined: Outline, plan: Plan, declared: Declarations) -> Parameters:
    """What the target of `plan`, which was made of `lined`, takes. `declared` has seen the plan being made."""
    arguments = sorted(_arguments(lined, plan, declared), key=lambda argument: argument.location.line)
    secrets, agents, caches = _mounted(plan)
    return Parameters(tuple(arguments), secrets, agents, caches)


def _arguments(lined: Outline, plan: Plan, declared: Declarations) -> Iterator[Argument]:
    dockerfile = lined.dockerfile
    own = {name for line in dockerfile.global_args for name, _ in line.args}
    used = {
        name for stage in lined.stages.values() for name in _names_in([stage.stage.base, stage.stage.platform], lined)
    }
    # Of one name in several stages that counts which is nearest to the target.
    lineage = [stage.index for stage in reversed(plan.lineage)]
    seen: set[str] = set()
    for index in dict.fromkeys([*lineage, *plan.stages]):
        found: dict[str, Argument] = {}
        for line in declared.lines.get(index, ()):
            for name, default in line.args:
                if default is None and name in own:
                    used.add(name)
                elif default is not None or name not in lined.globals:
                    value = declared.scopes[index].args.get(name) or ""
                    found[name] = Argument(name, value, described(line.doc, name), line.location)
        yield from (argument for name, argument in found.items() if name not in seen)
        seen |= set(found)
    for line in reversed(dockerfile.global_args):
        for name, default in reversed(line.args):
            if name in used and name not in seen:
                seen.add(name)
                used |= _names_in([default or ""], lined)
                yield Argument(name, lined.globals.get(name, ""), described(line.doc, name), line.location)


def _names_in(texts: Sequence[str], lined: Outline) -> set[str]:
    """The variables that `texts` name, those of defaults in them only where they are needed."""
    names: set[str] = set()

    def get(name: str) -> str | None:
        names.add(name)
        return lined.globals.get(name)

    for text in texts:
        try:
            expand(text, get, lined.dockerfile.escape)
        except DockerfileError:
            continue  # a default that demands what isn't there, and isn't used
    return names


def _mounted(plan: Plan) -> tuple[tuple[Wanted, ...], tuple[Wanted, ...], tuple[Wanted, ...]]:
    from coopery.mounts.cache import CacheMount
    from coopery.mounts.secret import SecretMount
    from coopery.mounts.ssh import SshMount

    found: Mapping[type, dict[str, Wanted]] = {SecretMount: {}, SshMount: {}, CacheMount: {}}
    steps = [vertex for stage in plan.stages.values() for vertex in stage.vertices]
    for vertex in sorted(steps, key=lambda vertex: vertex.location.line):
        for mount in vertex.op.mounts if isinstance(vertex.op, RunOp) else ():
            spec = mount.spec
            if isinstance(spec, SecretMount | SshMount | CacheMount):
                kind = found[type(spec)]
                known = kind.get(spec.id)
                required = getattr(spec, "required", False) or (known is not None and known.required)
                kind[spec.id] = Wanted(spec.id, required, known.location if known else vertex.location)
    secrets, agents, caches = (tuple(kind.values()) for kind in found.values())
    return secrets, agents, caches
