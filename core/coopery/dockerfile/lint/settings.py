"""`check=skip=…;error=…;experimental=…`: which rules count, said by a directive, a comment or a build arg."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from coopery.dockerfile.faults import Fault
from coopery.errors import Location, UsageError, did_you_mean

if TYPE_CHECKING:
    from coopery.dockerfile.instructions import Dockerfile

#: The build arg that takes the place of the directive.
BUILD_ARG = "BUILDKIT_DOCKERFILE_CHECK"

_ALL = "all"
_OPTIONS = ("skip", "error", "experimental")
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_COMMENT = r"(?i)check\s*=\s*(.+)"
_SEPARATOR = r"\s*([,;=])\s*"


class Settings(NamedTuple):
    """Which rules are skipped, which experimental ones are on (`all` is every one), and whether findings are errors."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    @property
    def nothing(self) -> bool:
        """Whether no rule can count."""
        return _ALL in self.skip and not self.experimental

    def counts(self, name: str, *, experimental: bool) -> bool:
        """Whether the rule called `name` does. Experimental ones can't be skipped, only not asked for."""
        if experimental:
            return name in self.experimental or _ALL in self.experimental
        return not (name in self.skip or _ALL in self.skip)

    def with_comment(self, doc: str) -> Settings:
        """These settings for an instruction with the comment `doc` above it: the first `check=` in it adds to them.

        One that isn't understood is a comment like any other (BuildKit: WithMergedConfigFromComments).
        """
        for line in doc.split("\n"):
            if comment := re.fullmatch(_COMMENT, line):
                try:
                    more = parse_settings(comment[1])
                except Fault:
                    return self
                return Settings(self.skip | more.skip, self.experimental | more.experimental, self.error)
        return self


def settings_of(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> Settings:
    """What the build arg says, or else the file's directive.

    DockerfileError or UsageError if that makes no sense.
    """
    if BUILD_ARG in build_args:
        try:
            return parse_settings(build_args[BUILD_ARG])
        except Fault as fault:
            raise UsageError(f"{BUILD_ARG}: {fault.message}", hint=fault.hint) from None
    directive = dict(dockerfile.directives).get("check")
    if directive is None:
        return Settings()
    try:
        return parse_settings(directive)
    except Fault as fault:
        raise fault.at(_place(dockerfile, directive), dockerfile.lines) from None


def parse_settings(text: str) -> Settings:
    """`skip=A,B;error=true;experimental=C`, where `all` stands for every rule. What follows after white space is
    left to people. Raises Fault for anything else."""
    words = re.sub(_SEPARATOR, r"\1", text.strip()).split(maxsplit=1)
    values: dict[str, str] = {}
    for option in words[0].split(";") if words else ():
        name, equals, value = option.partition("=")
        if name not in _OPTIONS or not equals:
            hint = did_you_mean(name, _OPTIONS) or f"options are {', '.join(_OPTIONS)}, with `;` between them"
            raise Fault(f"check has no option {option!r}", hint=hint, near=option)
        values[name] = value
    error = values.get("error", "false")
    if error not in _TRUTH:
        raise Fault(f"error={error} is neither true nor false", near=f"error={error}")
    return Settings(_names(values, "skip"), _names(values, "experimental"), _TRUTH[error])


def _names(values: Mapping[str, str], option: str) -> frozenset[str]:
    return frozenset(filter(None, values.get(option, "").split(",")))


def _place(dockerfile: Dockerfile, directive: str) -> Location:
    def lines() -> Iterator[int]:
        for number, line in enumerate(dockerfile.lines, 1):
            if "check" in line.lower() and directive in line:
                yield number

    number = next(lines(), 1)
    return Location(dockerfile.path, number, number)
