"""Rules about FROM: its arguments, its platform, and the image that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from coopery.dockerfile.expand import expand
from coopery.dockerfile.lint.rule import Bases, Found, Pulled, Rule
from coopery.errors import DockerfileError, UsageError, did_you_mean
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference

_TARGET = "TARGETPLATFORM"


class _Word(NamedTuple):
    """An expanded word of a FROM line, with the names in it that have a value and those that have none."""

    text: str
    matched: frozenset[str]
    unmatched: frozenset[str]


def _expanded(text: str, values: Mapping[str, str], escape: str) -> _Word | None:
    """None for a word that can't be expanded: the plan says what is wrong with it."""
    used: set[str] = set()

    def get(name: str) -> str | None:
        used.add(name)
        return values.get(name)

    try:
        found = expand(text, get, escape)
    except DockerfileError:
        return None
    return _Word(found.text, frozenset(used) - found.unmatched, found.unmatched)


def _undefined(bases: Bases) -> Iterator[Found]:
    dockerfile = bases.dockerfile
    known = {name for line in dockerfile.global_args for name, _ in line.args} | set(bases.values)
    for stage in dockerfile.stages:
        for text in (stage.base, stage.platform):
            word = _expanded(text, bases.values, dockerfile.escape) if "$" in text else None
            for name in sorted(word.unmatched - known) if word else ():
                yield Found(
                    stage.location, f"${name} is declared by no ARG before the first FROM", did_you_mean(name, known)
                )


def _defaults(bases: Bases) -> Iterator[Found]:
    if bases.defaults is None:
        return
    for stage in bases.dockerfile.stages:
        if "$" not in stage.base:
            continue
        word = _expanded(stage.base, bases.defaults, bases.dockerfile.escape)
        if word is None:
            return
        if not _is_reference(word.text):
            said = f"becomes {word.text!r}" if word.text else "is empty"
            yield Found(stage.location, f"FROM {stage.base} {said} when no build args are given")


def _is_reference(text: str) -> bool:
    try:
        Reference.parse(text)
    except UsageError:
        return False
    return True


def _redundant(bases: Bases) -> Iterator[Found]:
    for stage in bases.dockerfile.stages:
        word = _expanded(stage.platform, bases.values, bases.dockerfile.escape) if stage.platform else None
        if word and word.matched == {_TARGET} and not word.unmatched and word.text == bases.values.get(_TARGET):
            yield Found(stage.location, f"--platform={stage.platform} is what FROM does without it")


def _constant(bases: Bases) -> Iterator[Found]:
    for stage in bases.dockerfile.stages:
        word = _expanded(stage.platform, bases.values, bases.dockerfile.escape) if stage.platform else None
        if not word or word.matched or word.unmatched:
            continue
        try:
            platform = Platform.parse(word.text)
        except UsageError:
            continue
        # A stage that is named for its platform is meant to be for that one.
        if platform.os not in stage.name and platform.architecture not in stage.name:
            yield Found(stage.location, f"--platform={word.text} is the same for every platform that is built")


def _other_platform(pulled: Pulled) -> Iterator[Found]:
    if pulled.wanted != pulled.got:
        yield Found(pulled.location, f"the image {pulled.name} is for {pulled.got}, and is wanted for {pulled.wanted}")


UNDEFINED_ARG_IN_FROM = Rule(
    "UndefinedArgInFrom",
    "variables in FROM are global ARGs",
    "declare it with ARG above the first FROM",
    _undefined,
)
INVALID_DEFAULT_ARG_IN_FROM = Rule(
    "InvalidDefaultArgInFrom",
    "with the defaults of all ARGs, FROM names an image",
    "give the ARG a default that makes the name of an image",
    _defaults,
)
REDUNDANT_TARGET_PLATFORM = Rule(
    "RedundantTargetPlatform",
    "FROM doesn't ask for $TARGETPLATFORM, which it gets anyway",
    "leave --platform out",
    _redundant,
)
FROM_PLATFORM_FLAG_CONST_DISALLOWED = Rule(
    "FromPlatformFlagConstDisallowed",
    "the platform in FROM is not a fixed one",
    "choose it with --platform of the build, write $BUILDPLATFORM, or name the stage for its platform",
    _constant,
)
INVALID_BASE_IMAGE_PLATFORM = Rule(
    "InvalidBaseImagePlatform",
    "base images are for the platform that is built",
    "name an image, or a digest, that is for the platform",
    _other_platform,
)
