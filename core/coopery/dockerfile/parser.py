"""From a Dockerfile's text to its stages: normalise, split (dockerfile-parse), build typed instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import NamedTuple

from coopery.dockerfile.build import KEYWORDS, Common, From, Parts, build_from, build_instruction
from coopery.dockerfile.faults import Fault, UnknownFault
from coopery.dockerfile.flags import Flags
from coopery.dockerfile.instructions import Arg, Dockerfile, Instruction, Onbuild, Stage
from coopery.dockerfile.normalise import Source, Statement, normalise
from coopery.dockerfile.words import BLANK, SPACE, split_flags
from coopery.errors import DockerfileError, Location, did_you_mean, together

#: Ends every statement that dockerfile-parse gets: its value is never empty, and no escape is the last on a line.
_END = "\0"


class Parsed(NamedTuple):
    """What could be read of a file, and what is wrong with the rest."""

    dockerfile: Dockerfile | None  # without the instructions that are wrong; None if no stage is left
    errors: tuple[DockerfileError, ...]
    sound: bool  # whether what is left means what it would mean with the errors mended


#: An error in one of these changes what other instructions mean.
_CARRYING = frozenset({"ARG", "ENV", "FROM"})


def parse(text: bytes | str, path: str = "Dockerfile") -> Dockerfile:
    """The whole file as values; `path` is only named in messages.

    Raises DockerfileError, with the place, for what is wrong in it: with `errors` if that are several things.
    """
    parsed = read(text, path)
    if parsed.errors or not parsed.dockerfile:
        raise together(parsed.errors, path)
    return parsed.dockerfile


def read(text: bytes | str, path: str = "Dockerfile") -> Parsed:
    """The file as `parse` reads it, going on after errors: mistakes in different instructions are found at once.

    Raises DockerfileError only where nothing more can be said of the file.
    """
    source = normalise(text, path)
    reading = _Reading(source)
    for statement, keyword, args in _split(source):
        reading.take(statement, keyword, args)
    errors, stages = [*source.errors, *reading.errors], reading.stages
    if not stages and not errors:
        errors.append(_no_stage(source))
    dockerfile = Dockerfile(
        path=path,
        lines=source.lines,
        escape=source.escape,
        directives=source.directives,
        global_args=tuple(reading.global_args),
        stages=tuple(stage.value(index) for index, stage in enumerate(stages)),
        broken=source.broken,
    )
    return Parsed(dockerfile if stages else None, tuple(errors), reading.sound and not source.errors)


class _Reading:
    """A file while it is read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unknown = False  # whether the last statement was none
        self._headless = False  # whether something stood before the first FROM
        self.global_args: list[Arg] = []
        self.stages: list[_Stage] = []
        self.errors: list[DockerfileError] = []
        self.sound = True

    def take(self, statement: Statement, keyword: str, args: str) -> None:
        """The next statement."""
        # Of lines in a row that are no instructions only the first is told of: something above it is missing.
        known, self._unknown = self._unknown, not keyword
        if not keyword:
            self.sound = False
            if not known:
                self.errors.append(self._noted(_unknown(statement)).at(statement.location, self._source.lines))
            return
        try:
            self._add(statement, keyword, _parts(self._source, statement, keyword, args))
        except Fault as fault:
            self.sound = self.sound and keyword not in _CARRYING
            self.errors.append(self._noted(fault).at(statement.location, self._source.lines))
        except DockerfileError as error:
            self.errors.append(error)

    def _noted(self, fault: Fault) -> Fault:
        """`fault`, with a word about the file's `# syntax=` if that may be why: it is read, and never executed."""
        if isinstance(fault, UnknownFault):
            from coopery.dockerfile.syntax import note

            fault.hint = " ".join(part for part in (fault.hint, note(dict(self._source.directives))) if part)
        return fault

    def _add(self, statement: Statement, keyword: str, parts: Parts) -> None:
        if keyword == "FROM":
            self.stages.append(_Stage(build_from(parts), parts.common))
            return
        instruction = build_instruction(parts)
        if self.stages:
            self.stages[-1].instructions.append(instruction)
        elif isinstance(instruction, Arg):
            self.global_args.append(instruction)
        elif not self._headless and self.sound:  # where FROM itself is wrong, that is what has to be told
            self._headless = True
            raise Fault(f"{keyword} before the first FROM", hint="only ARG may stand there", near=statement.text[:1])
        if isinstance(instruction, Onbuild):
            # What would fail in every build on top of this image is an error here.
            parse_instruction(instruction.trigger, statement.location, self._source.lines)


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
    if inner.errors:
        raise inner.errors[0]
    found = list(_split(inner))
    if len(found) != 1:
        raise Fault(f"a trigger is one instruction, this is {len(found)}")
    statement, keyword, args = found[0]
    if not keyword:
        raise _unknown(statement)
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
    """Each statement with its keyword, in capitals, and its arguments; both are empty if there is no such keyword."""
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
        yield (statement, keyword, entry["value"].removesuffix(_END).strip(SPACE)) if known else (statement, "", "")


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
    return UnknownFault(f"unknown instruction {shown!r}", hint=hint or "is a `\\` missing above?", near=word)


def _no_stage(source: Source) -> DockerfileError:
    if not source.statements:
        return DockerfileError("the file has no instructions", location=Location(source.path, 1, 1))
    return Fault("the file has no FROM: there is nothing to build").at(source.statements[-1].location, source.lines)
