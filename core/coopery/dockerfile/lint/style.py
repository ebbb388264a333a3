"""Rules about how instructions are written, whatever they say."""

from __future__ import annotations

from collections.abc import Iterator

from coopery.dockerfile.instructions import Dockerfile, Maintainer
from coopery.dockerfile.lint.naming import from_words
from coopery.dockerfile.lint.rule import Found, Rule
from coopery.dockerfile.words import split_keyword
from coopery.errors import Location


def _from_as(dockerfile: Dockerfile) -> Iterator[Found]:
    for stage in dockerfile.stages:
        keyword, words = from_words(stage, dockerfile.escape)
        if len(words) < 3 or keyword not in (keyword.lower(), keyword.upper()):
            continue  # that FROM itself is of mixed case is another rule's business
        wanted = words[1].lower() if keyword.islower() else words[1].upper()
        if words[1] != wanted:
            yield Found(stage.location, f"{words[1]!r} is not in the case of {keyword!r}", f"write {wanted}")


def _casing(dockerfile: Dockerfile) -> Iterator[Found]:
    """All keywords have the case that most of them have; of those that are as many, upper case."""
    places: list[tuple[str, Location]] = []
    for stage in dockerfile.stages:
        places.append((split_keyword(stage.original)[0], stage.location))
        places += ((split_keyword(one.original)[0], one.location) for one in stage.instructions)
    lower = sum(keyword.islower() for keyword, _ in places)
    upper = sum(keyword.isupper() for keyword, _ in places)
    for keyword, location in places:
        if keyword != (keyword.lower() if lower > upper else keyword.upper()):
            case = "lower" if lower > upper else "upper"
            yield Found(location, f"{keyword!r} is not in {case} case, which most instructions here are in")


def _empty(dockerfile: Dockerfile) -> Iterator[Found]:
    for line in dockerfile.broken:
        yield Found(Location(dockerfile.path, line, line), "an instruction goes on after an empty line")


def _maintainer(dockerfile: Dockerfile) -> Iterator[Found]:
    for stage in dockerfile.stages:
        for one in stage.instructions:
            if isinstance(one, Maintainer):
                yield Found(one.location, "MAINTAINER is deprecated")


FROM_AS_CASING = Rule(
    "FromAsCasing",
    "AS has the case of its FROM",
    "write `FROM … AS …`, or `from … as …`",
    _from_as,
)
CONSISTENT_INSTRUCTION_CASING = Rule(
    "ConsistentInstructionCasing",
    "all instructions of a file are in the same case",
    "write all of them in capitals, or all in small letters",
    _casing,
)
NO_EMPTY_CONTINUATION = Rule(
    "NoEmptyContinuation",
    "a continued line is followed by one that isn't empty",
    "take the empty line out, or make a comment of it; it will be an error one day",
    _empty,
)
MAINTAINER_DEPRECATED = Rule(
    "MaintainerDeprecated",
    "authors are named by a label rather than by MAINTAINER",
    'write LABEL org.opencontainers.image.authors="…"',
    _maintainer,
)
