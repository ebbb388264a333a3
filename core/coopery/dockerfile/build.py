"""From a statement to a typed instruction (BuildKit: `frontend/dockerfile/instructions/parse.go`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypedDict

from coopery.dockerfile.faults import Fault
from coopery.dockerfile.flags import Flags
from coopery.dockerfile.heredocs import Body, parse_marker
from coopery.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from coopery.dockerfile.words import SPACE, json_list, split_blanks, split_keyword, split_words
from coopery.errors import Location

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
_RETRIES = re.compile(r"[+-]?[0-9]{1,10}")
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")
_MILLISECOND = 1_000_000


class Common(TypedDict):
    """What every instruction is made with."""

    location: Location
    original: str
    doc: str


class Parts(NamedTuple):
    """A statement, split: `args` is stripped and has no flags any more."""

    keyword: str
    flags: Flags
    args: str
    escape: str
    bodies: tuple[Body, ...]
    common: Common


def _required(parts: Parts) -> str:
    if not parts.args:
        raise Fault(f"{parts.keyword} needs an argument")
    return parts.args


def _command(parts: Parts) -> tuple[tuple[str, ...], bool]:
    """`argv` and `shell_form` of a command; an empty JSON list is an empty exec form."""
    if not parts.args:
        hint = f"{parts.keyword} [] clears it" if parts.keyword != "RUN" else ""
        raise Fault(f"{parts.keyword} needs a command", hint=hint)
    argv = json_list(parts.args)
    return ((parts.args,), True) if argv is None else (argv, False)


def _run(parts: Parts) -> Run:
    """The shell form keeps a heredoc's marker in its text; the plan puts marker and body together."""
    argv, shell_form = _command(parts)
    if not argv:
        raise Fault("RUN needs a command")
    network, security = parts.flags.text("network"), parts.flags.text("security")
    if network is not None and network not in _NETWORKS:
        raise Fault(f"--network is default, none or host, not {network!r}", near="--network")
    if security is not None and security not in _SECURITIES:
        raise Fault(f"--security is sandbox or insecure, not {security!r}", near="--security")
    return Run(
        argv=argv,
        shell_form=shell_form,
        mounts=parts.flags.values("mount"),
        network=network or "",
        security=security or "",
        heredocs=tuple(body.heredoc() for body in parts.bodies),
        **parts.common,
    )


def _cmd(parts: Parts) -> Cmd:
    argv, shell_form = _command(parts)
    return Cmd(argv=argv, shell_form=shell_form, **parts.common)


def _entrypoint(parts: Parts) -> Entrypoint:
    argv, shell_form = _command(parts)
    return Entrypoint(argv=argv, shell_form=shell_form, **parts.common)


def _shell(parts: Parts) -> Shell:
    argv = json_list(_required(parts))
    if argv is None:
        raise Fault("SHELL takes a JSON list", hint='for example SHELL ["/bin/bash", "-c"]', near=parts.args)
    if not argv:
        raise Fault("SHELL needs at least one word")
    return Shell(argv=argv, **parts.common)


def _sources(parts: Parts) -> tuple[tuple[str, ...], str, tuple[Heredoc, ...]]:
    """Sources, with the names of heredocs after the paths; the destination; the heredocs."""
    listed = json_list(parts.args)
    words = split_blanks(parts.args) if listed is None else list(listed)
    if len(words) < 2:
        raise Fault(f"{parts.keyword} needs a source and a destination", near=parts.args)
    *sources, destination = words
    if listed is None and _marker_name(destination):
        raise Fault(f"{parts.keyword} can't have a heredoc as its destination", near=destination)
    if listed is not None:
        return tuple(sources), destination, ()
    paths = [source for source in sources if not _marker_name(source)]
    names = [name for source in sources if (name := _marker_name(source))]
    if names != [body.marker.name for body in parts.bodies]:
        raise Fault(
            f"a heredoc of {parts.keyword} must be one word of its own",
            hint="write <<EOF without a space, as a source",
            near="<<",
        )
    return (*paths, *names), destination, tuple(body.heredoc() for body in parts.bodies)


def _marker_name(word: str) -> str:
    if "<<" not in word:
        return ""
    try:
        marker = parse_marker(word)
    except Fault:
        return ""
    return marker.name if marker else ""


def _copy(parts: Parts) -> Copy:
    sources, destination, heredocs = _sources(parts)
    flags = parts.flags
    return Copy(
        sources=sources,
        destination=destination,
        source_from=flags.text("from") or "",
        chown=flags.text("chown") or "",
        chmod=flags.text("chmod") or "",
        link=bool(flags.boolean("link")),
        parents=bool(flags.boolean("parents")),
        exclude=flags.values("exclude"),
        heredocs=heredocs,
        **parts.common,
    )


def _add(parts: Parts) -> Add:
    sources, destination, heredocs = _sources(parts)
    flags = parts.flags
    return Add(
        sources=sources,
        destination=destination,
        chown=flags.text("chown") or "",
        chmod=flags.text("chmod") or "",
        link=bool(flags.boolean("link")),
        exclude=flags.values("exclude"),
        checksum=flags.text("checksum") or "",
        keep_git_dir=flags.boolean("keep-git-dir"),
        unpack=flags.boolean("unpack"),
        heredocs=heredocs,
        **parts.common,
    )


def _pairs(parts: Parts) -> tuple[tuple[str, str], ...]:
    """`name=value …`, or the old form with one name and, after a space, all the rest as its value."""
    words = split_words(_required(parts), parts.escape)
    if not words or "=" not in words[0]:
        name, value = split_keyword(parts.args)
        if not value:
            raise Fault(f"{parts.keyword} needs a name and a value", hint=f"write {parts.keyword} {name}=…", near=name)
        return ((name, value),)
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Fault(f"{word!r} has no `=`", hint="a value with spaces needs quotes: name='a value'", near=word)
        if not name:
            raise Fault(f"{parts.keyword} needs a name before `=`", near=word)
        pairs.append((name, value))
    return tuple(pairs)


def _arg(parts: Parts) -> Arg:
    args: list[tuple[str, str | None]] = []
    for word in split_words(_required(parts), parts.escape):
        name, equals, value = word.partition("=")
        if not name:
            raise Fault("ARG needs a name before `=`", near=word)
        args.append((name, value if equals else None))
    return Arg(args=tuple(args), **parts.common)


def _volume(parts: Parts) -> Volume:
    listed = json_list(_required(parts))
    paths = tuple(path.strip(SPACE) for path in (split_blanks(parts.args) if listed is None else listed))
    if not paths or not all(paths):
        raise Fault("VOLUME needs a path", near=parts.args)
    return Volume(paths=paths, **parts.common)


def _onbuild(parts: Parts) -> Onbuild:
    inner = split_keyword(_required(parts))[0].upper()
    if inner == "ONBUILD":
        raise Fault("ONBUILD ONBUILD isn't allowed", near=parts.args)
    if inner in ("FROM", "MAINTAINER"):
        raise Fault(f"{inner} isn't allowed after ONBUILD", near=parts.args)
    trigger = parts.args + "".join(f"\n{body.content}{body.marker.name}" for body in parts.bodies)
    return Onbuild(trigger=trigger, **parts.common)


def _healthcheck(parts: Parts) -> Healthcheck:
    kind, command = split_keyword(_required(parts))
    if kind.upper() == "NONE":
        if command:
            raise Fault("HEALTHCHECK NONE takes no arguments", near=command)
        return Healthcheck(test=("NONE",), **parts.common)
    if kind.upper() != "CMD":
        raise Fault(f"HEALTHCHECK can't be {kind!r}", hint="write HEALTHCHECK CMD … or HEALTHCHECK NONE", near=kind)
    listed = json_list(command)
    if not command or listed == ():
        raise Fault("HEALTHCHECK CMD needs a command")
    return Healthcheck(
        test=("CMD-SHELL", command) if listed is None else ("CMD", *listed),
        interval=_interval(parts.flags, "interval"),
        timeout=_interval(parts.flags, "timeout"),
        start_period=_interval(parts.flags, "start-period"),
        start_interval=_interval(parts.flags, "start-interval"),
        retries=_retries(parts.flags.text("retries") or ""),
        **parts.common,
    )


def _interval(flags: Flags, name: str) -> int:
    from coopery.dockerfile.durations import parse_duration  # HEALTHCHECK is rare

    text = flags.text(name)
    duration = parse_duration(text) if text else 0
    if duration and duration < _MILLISECOND:
        raise Fault(f"--{name} can't be less than 1ms", near=f"--{name}")
    return duration


def _retries(text: str) -> int:
    if not text:
        return 0
    retries = int(text) if _RETRIES.fullmatch(text) else -1
    if not 0 <= retries < 1 << 31:
        raise Fault(f"--retries is a whole number from 0, not {text!r}", near="--retries")
    return retries


_BUILDERS: Mapping[str, Callable[[Parts], Instruction]] = MappingProxyType(
    {
        "ADD": _add,
        "ARG": _arg,
        "CMD": _cmd,
        "COPY": _copy,
        "ENTRYPOINT": _entrypoint,
        "ENV": lambda parts: Env(pairs=_pairs(parts), **parts.common),
        "EXPOSE": lambda parts: Expose(ports=tuple(split_blanks(_required(parts))), **parts.common),
        "HEALTHCHECK": _healthcheck,
        "LABEL": lambda parts: Label(pairs=_pairs(parts), **parts.common),
        "MAINTAINER": lambda parts: Maintainer(name=_required(parts), **parts.common),
        "ONBUILD": _onbuild,
        "RUN": _run,
        "SHELL": _shell,
        "STOPSIGNAL": lambda parts: Stopsignal(signal=_required(parts), **parts.common),
        "USER": lambda parts: User(user=_required(parts), **parts.common),
        "VOLUME": _volume,
        "WORKDIR": lambda parts: Workdir(path=_required(parts), **parts.common),
    }
)

#: Every instruction there is.
KEYWORDS = frozenset({"FROM", *_BUILDERS})


def build_instruction(parts: Parts) -> Instruction:
    """The instruction that `parts` spells, any but FROM. Raises Fault if its arguments are wrong."""
    return _BUILDERS[parts.keyword](parts)


class From(NamedTuple):
    """What a FROM line says."""

    base: str
    name: str  # lower case; empty without AS
    platform: str


def build_from(parts: Parts) -> From:
    """The arguments of FROM. Raises Fault if they are wrong."""
    words = split_blanks(_required(parts))
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise Fault(
                f"a stage can't be called {words[2]!r}",
                hint="names start with a letter and hold letters, digits, `-`, `_` and `.`",
                near=words[2],
            )
    elif len(words) != 1:
        raise Fault("FROM takes an image, or an image and a name", hint="write FROM image AS name", near=parts.args)
    return From(words[0], name, parts.flags.text("platform") or "")
