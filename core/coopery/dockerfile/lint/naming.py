"""Rules about what stages are called, and about the comments that describe stages and arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coopery.dockerfile.instructions import Arg, Dockerfile, Stage
from coopery.dockerfile.lint.rule import Found, Rule
from coopery.dockerfile.words import split_blanks, split_flags, split_keyword
from coopery.errors import Location

_RESERVED = ("context", "scratch")


def from_words(stage: Stage, escape: str) -> tuple[str, list[str]]:
    """The keyword of a FROM line as it is written, and its arguments without flags."""
    keyword, args = split_keyword(stage.original)
    return keyword, split_blanks(split_flags(args, escape)[1])


def _casing(dockerfile: Dockerfile) -> Iterator[Found]:
    for stage in dockerfile.stages:
        _, words = from_words(stage, dockerfile.escape)
        if len(words) == 3 and words[2] != words[2].lower():
            yield Found(stage.location, f"the stage's name {words[2]!r} is not in lower case")


def _duplicates(dockerfile: Dockerfile) -> Iterator[Found]:
    seen: dict[str, Stage] = {}
    for stage in dockerfile.stages:
        if stage.name and stage.name in seen:
            line = seen[stage.name].location.line
            yield Found(stage.location, f"there is a stage {stage.name!r} already, on line {line}")
        seen.setdefault(stage.name, stage)


def _reserved(dockerfile: Dockerfile) -> Iterator[Found]:
    for stage in dockerfile.stages:
        if stage.name in _RESERVED:
            yield Found(stage.location, f"{stage.name!r} means something else where a stage can be named")


def _descriptions(dockerfile: Dockerfile) -> Iterator[Found]:
    for stage in dockerfile.stages:
        if stage.name:
            yield from _description("FROM", [stage.name], stage.doc, stage.location)
    for one in (*dockerfile.global_args, *(one for stage in dockerfile.stages for one in stage.instructions)):
        if isinstance(one, Arg):
            yield from _description("ARG", [name for name, _ in one.args], one.doc, one.location)


def _description(keyword: str, names: Sequence[str], doc: str, location: Location) -> Iterator[Found]:
    """A comment right above is a description, and its last line has to say of what."""
    if doc and doc.rpartition("\n")[2].split(" ")[0] not in names:
        shown = names[0] if len(names) == 1 else "NAME"
        yield Found(location, f"the comment above {keyword} doesn't start with what it describes: `# {shown} …`")


STAGE_NAME_CASING = Rule(
    "StageNameCasing",
    "names of stages are in lower case",
    "write it in small letters: case makes no difference where it is used",
    _casing,
)
DUPLICATE_STAGE_NAME = Rule(
    "DuplicateStageName",
    "names of stages are given once",
    "give each stage a name of its own: FROM and COPY --from find the last one above them",
    _duplicates,
)
RESERVED_STAGE_NAME = Rule(
    "ReservedStageName",
    "no stage is called `context` or `scratch`",
    "give the stage another name",
    _reserved,
)
INVALID_DEFINITION_DESCRIPTION = Rule(
    "InvalidDefinitionDescription",
    "a comment right above FROM or ARG starts with the name that it describes",
    "start it with the name, or put an empty comment line below it",
    _descriptions,
    experimental=True,
)
