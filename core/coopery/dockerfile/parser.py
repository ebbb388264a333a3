"""From a Dockerfile's text to its stages: normalise, split (dockerfile-parse), build typed instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

from coopery.dockerfile.build import KEYWORDS, Common, From, Parts, build_from, build_instruction
from coopery.dockerfile.faults import Fault, did_you_mean
from coopery.dockerfile.flags import Flags
from coopery.dockerfile.instructions import Arg, Dockerfile, Instruction, Onbuild, Stage
from coopery.dockerfile.normalise import Source, Statement, normalise
from coopery.dockerfile.words import BLANK, SPACE, split_flags
from coopery.errors import DockerfileError, Location

#: Ends every statement that dockerfile-parse gets: its value is never empty, and no escape is the last on a line.
_END = "\0"


def parse(text: bytes | str, path: str = "Dockerfile") -> Dockerfile:
    """The whole file as values; `path` is only named in messages.

    Raises DockerfileError, with the place, for the first thing that is wrong in it.
    """
    source = normalise(text, path)
    global_args: list[Arg] = []
    stages: list[_Stage] = []
    for statement, keyword, args in _split(source):
        try:
            parts = _parts(source, statement, keyword, args)
            if keyword == "FROM":
                stages.append(_Stage(build_from(parts), parts.common))
                continue
            instruction = build_instruction(parts)
        except Fault as fault:
            raise fault.at(statement.location, source.lines) from None
        if stages:
            stages[-1].instructions.append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            early = Fault(f"{keyword} before the first FROM", hint="only ARG may stand there", near=statement.text[:1])
            raise early.at(statement.location, source.lines)
        if isinstance(instruction, Onbuild):
            # What would fail in every build on top of this image is an error here.
            parse_instruction(instruction.trigger, statement.location, source.lines)
    if not stages:
        raise _no_stage(source)
    return Dockerfile(
        path=path,
        lines=source.lines,
        escape=source.escape,
        directives=source.directives,
        global_args=tuple(global_args),
        stages=tuple(stage.value(index) for index, stage in enumerate(stages)),
    )


def parse_instruction(trigger: str, location: Location, source: Sequence[str] = ()) -> Instruction:
    """The instruction that an ONBUILD trigger's text spells; it and every error are placed at `location`.

    A trigger is read with the backslash as escape, whatever the file's own was: an image doesn't record that
    (BuildKit: initOnBuildTriggers in `dockerfile2llb/convert.go`). Raises DockerfileError if `trigger` is anything
    but one instruction that may stand in a stage.
    """
    try:
        return _triggered(trigger, location)
    except Fault as fault:
        raise Fault(f"ONBUILD: {fault.message}", hint=fault.hint, near=fault.near).at(location, source) from None
    except DockerfileError as error:
        message = error.message.removeprefix(f"{error.location}: ")
        raise Fault(f"ONBUILD: {message}", hint=error.hint).at(location, source) from None


def _triggered(trigger: str, location: Location) -> Instruction:
    inner = normalise(trigger, location.file)
    found = list(_split(inner))
    if len(found) != 1:
        raise Fault(f"a trigger is one instruction, this is {len(found)}")
    statement, keyword, args = found[0]
    if keyword in ("FROM", "MAINTAINER", "ONBUILD"):
        raise Fault(f"{keyword} isn't allowed as a trigger")
    return build_instruction(_parts(inner, statement._replace(location=location), keyword, args))


class _Stage:
    """A stage that is still growing."""

    def __init__(self, head: From, common: Common) -> None:
        self._head = head
        self._common = common
        self.instructions: list[Instruction] = []

    def value(self, index: int) -> Stage:
        head = self._head
        return Stage(
            index=index,
            name=head.name,
            base=head.base,
            platform=head.platform,
            instructions=tuple(self.instructions),
            **self._common,
        )


def _split(source: Source) -> Iterator[tuple[Statement, str, str]]:
    """Each statement with its keyword, in capitals, and its arguments. Raises DockerfileError at an unknown one."""
    from dockerfile_parse import DockerfileParser

    text = "".join(f"{statement.text} {_END}\n" for statement in source.statements)
    parser = DockerfileParser(fileobj=BytesIO(text.encode()), env_replace=False)
    by_line = {entry["startline"]: entry for entry in parser.structure}
    for number, statement in enumerate(source.statements):
        entry = by_line.get(number, {"instruction": "", "value": ""})
        keyword = entry["instruction"]
        written = statement.text[: len(keyword)]
        after = statement.text[len(keyword) : len(keyword) + 1]
        # Other white space than BuildKit's, such as a no-break space, doesn't end a keyword.
        known = keyword in KEYWORDS and written.isascii() and written.upper() == keyword and after in ("", *BLANK)
        if not known:
            raise _unknown(statement).at(statement.location, source.lines)
        yield statement, keyword, entry["value"].removesuffix(_END).strip(SPACE)


def _parts(source: Source, statement: Statement, keyword: str, args: str) -> Parts:
    given, rest = split_flags(args, source.escape)
    common = Common(location=statement.location, original=statement.text, doc="\n".join(statement.comments))
    return Parts(keyword, Flags(keyword, given), rest, source.escape, statement.bodies, common)


def _unknown(statement: Statement) -> Fault:
    words = statement.text.split(maxsplit=1)
    word = words[0] if words else ""
    if word.upper() in KEYWORDS:
        return Fault(f"{word} is followed by something that only looks like a space", hint="type the space anew")
    if not word:
        return Fault("a continued line with nothing in it")
    shown = word if len(word) <= 40 else f"{word[:40]}…"
    hint = did_you_mean(word.upper()[:40], KEYWORDS)
    return Fault(f"unknown instruction {shown!r}", hint=hint or "is a `\\` missing above?", near=word)


def _no_stage(source: Source) -> DockerfileError:
    if not source.statements:
        return DockerfileError("the file has no instructions", location=Location(source.path, 1, 1))
    return Fault("the file has no FROM: there is nothing to build").at(source.statements[-1].location, source.lines)
