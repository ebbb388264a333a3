"""Rules about what single instructions say."""

from __future__ import annotations

from collections.abc import Iterator

from coopery.dockerfile.instructions import Cmd, Command, Entrypoint, Env, Expose, Healthcheck, Label, Workdir
from coopery.dockerfile.lint.rule import Found, Rule, Step
from coopery.dockerfile.words import split_flags, split_keyword, split_words


def _shell_form(step: Step) -> Iterator[Found]:
    command = step.instruction
    if isinstance(command, Command) and command.shell_form and not step.shell_set:
        yield step.found(f"{command.keyword} is not a JSON list: a shell stands between the signals and the program")


def _several(step: Step) -> Iterator[Found]:
    kind = type(step.instruction)
    earlier, step.memory.last[kind] = step.memory.last.get(kind), step.instruction.location
    if earlier:
        line, name = step.instruction.location.line, step.instruction.keyword
        yield Found(earlier, f"this {name} has no effect: there is another one on line {line}")


def _relative(step: Step) -> Iterator[Found]:
    workdir = step.instruction
    assert isinstance(workdir, Workdir)
    first, step.memory.workdir_set = not step.memory.workdir_set, True
    path = step.one(workdir.path)
    if first and not path.startswith("/"):
        yield step.found(f"WORKDIR {path} depends on where the base image's working directory is")


def _legacy(step: Step) -> Iterator[Found]:
    keyword, args = split_keyword(step.instruction.original)
    words = split_words(split_flags(args, step.escape)[1], step.escape)
    if words and "=" not in words[0]:
        shown = keyword.upper()
        yield step.found(f"{shown} {words[0]} … is the old way to write it", f"write {shown} {words[0]}=…")


def _ports(step: Step) -> Iterator[str]:
    from coopery.dockerfile.expand import expand_words

    assert isinstance(step.instruction, Expose)
    for text in step.instruction.ports:
        yield from expand_words(text, step.scope.get, step.escape) if "$" in text else (text,)


def _protocol(step: Step) -> Iterator[Found]:
    for port in _ports(step):
        protocol = port.rpartition(":")[2].partition("/")[2]
        if protocol != protocol.lower():
            yield step.found(f"the protocol in EXPOSE {port} is not in lower case")


def _mapping(step: Step) -> Iterator[Found]:
    for port in _ports(step):
        if port.rpartition(":")[0]:
            yield step.found(f"EXPOSE {port} names an address or a port of the host, which EXPOSE can't do")


JSON_ARGS_RECOMMENDED = Rule(
    "JSONArgsRecommended",
    "CMD and ENTRYPOINT are JSON lists, unless SHELL says which shell is meant",
    'write it as a list, such as CMD ["program", "argument"], or say with SHELL that a shell is wanted',
    _shell_form,
    (Cmd, Entrypoint),
)
MULTIPLE_INSTRUCTIONS_DISALLOWED = Rule(
    "MultipleInstructionsDisallowed",
    "a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK: the last one counts",
    "take out the earlier ones",
    _several,
    (Cmd, Entrypoint, Healthcheck),
)
WORKDIR_RELATIVE_PATH = Rule(
    "WorkdirRelativePath",
    "the first WORKDIR is an absolute path",
    "start the first WORKDIR with `/`",
    _relative,
    (Workdir,),
)
LEGACY_KEY_VALUE_FORMAT = Rule(
    "LegacyKeyValueFormat",
    "ENV and LABEL are written with `=`",
    "write name=value, with quotes around a value that has spaces",
    _legacy,
    (Env, Label),
)
EXPOSE_PROTO_CASING = Rule(
    "ExposeProtoCasing",
    "protocols in EXPOSE are in lower case",
    "write tcp, udp or sctp",
    _protocol,
    (Expose,),
)
EXPOSE_INVALID_FORMAT = Rule(
    "ExposeInvalidFormat",
    "EXPOSE names ports of the container only",
    "write the container's port alone; which port of the host it gets is said when a container is started",
    _mapping,
    (Expose,),
)
