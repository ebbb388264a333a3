"""A parsed Dockerfile as values. Words are kept as written: variables are expanded by the plan, in their scope.

Every class has a docstring of its own for speed too: without one, `dataclass` writes it, slowly, at each start.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from coopery.errors import Location


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document: `expand` is False when its delimiter was quoted, `chomp` True for `<<-`."""

    name: str
    content: str  # tabs already removed where `chomp`
    expand: bool
    chomp: bool
    fd: int = 0
    written: str = field(default="", compare=False)  # the content with its tabs, as a shell reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all instructions have: their place, and their text joined to one line, as history shows it."""

    location: Location
    original: str  # keyword and arguments as written, continuations joined
    doc: str = field(default="", compare=False)  # the comment directly above

    @property
    def keyword(self) -> str:
        """The instruction's name in capitals."""
        return type(self).__name__.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Instruction):
    """RUN, CMD and ENTRYPOINT's common part: the exec form is a JSON list, the shell form one string."""

    argv: tuple[str, ...]  # exec form: the list; shell form: one element
    shell_form: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Command):
    """RUN; `heredocs` stand in `argv` as their markers (`<<EOF`)."""

    mounts: tuple[str, ...] = ()  # the values of --mount, unparsed
    network: str = ""
    security: str = ""
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Command):
    """CMD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Command):
    """ENTRYPOINT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """COPY."""

    sources: tuple[str, ...]  # paths, then the names of `heredocs`
    destination: str
    source_from: str = ""  # --from
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Instruction):
    """ADD; None where a flag wasn't given."""

    sources: tuple[str, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs(Instruction):
    """ENV and LABEL's common part."""

    pairs: tuple[tuple[str, str], ...]  # quotes kept: expanding removes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Pairs):
    """ENV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Pairs):
    """LABEL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """ARG."""

    args: tuple[tuple[str, str | None], ...]  # name and default, None without one


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    """USER."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    """WORKDIR."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    """VOLUME."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """EXPOSE."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """ONBUILD."""

    trigger: str  # the instruction's text, parsed when it fires


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """HEALTHCHECK."""

    test: tuple[str, ...]  # ("NONE",), ("CMD", …) or ("CMD-SHELL", text)
    interval: int = 0  # nanoseconds; 0 means not set
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    """SHELL."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopsignal(Instruction):
    """STOPSIGNAL."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    """MAINTAINER, which is deprecated."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """FROM and what follows it."""

    index: int
    name: str  # lower case; empty without AS
    base: str  # an image, a stage's name or `scratch`, unexpanded
    platform: str  # --platform, unexpanded
    location: Location
    original: str
    instructions: tuple[Instruction, ...]
    doc: str = field(default="", compare=False)  # the comment directly above


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A whole file."""

    path: str  # as the user named it, for messages
    lines: tuple[str, ...]  # the source, for excerpts
    escape: str  # `\\` or a backtick
    directives: tuple[tuple[str, str], ...]
    global_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    broken: tuple[int, ...] = ()  # the last lines of instructions that are continued by an empty line
