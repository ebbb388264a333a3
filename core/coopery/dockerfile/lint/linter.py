"""Runs the rules over a Dockerfile as it becomes a plan, and collects what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from coopery.dockerfile.instructions import Dockerfile, Instruction
from coopery.dockerfile.lint import bases, files, naming, steps, style, variables
from coopery.dockerfile.lint.rule import Bases, Found, Pulled, Rule, StageMemory, Step
from coopery.dockerfile.lint.settings import Settings
from coopery.errors import DockerfileError, Location
from coopery.ports import Advice

if TYPE_CHECKING:
    from coopery.dockerfile.ignore import IgnoreRules
    from coopery.dockerfile.lint.protocols import Names

_FILE_RULES: Sequence[Rule] = (
    style.NO_EMPTY_CONTINUATION,
    naming.STAGE_NAME_CASING,
    style.FROM_AS_CASING,
    naming.INVALID_DEFINITION_DESCRIPTION,
    style.MAINTAINER_DEPRECATED,
    naming.RESERVED_STAGE_NAME,
    naming.DUPLICATE_STAGE_NAME,
    style.CONSISTENT_INSTRUCTION_CASING,
)
_BASE_RULES: Sequence[Rule] = (
    bases.INVALID_DEFAULT_ARG_IN_FROM,
    bases.UNDEFINED_ARG_IN_FROM,
    bases.REDUNDANT_TARGET_PLATFORM,
    bases.FROM_PLATFORM_FLAG_CONST_DISALLOWED,
)
_STEP_RULES: Sequence[Rule] = (
    variables.UNDEFINED_VAR,
    variables.SECRETS_USED_IN_ARG_OR_ENV,
    steps.LEGACY_KEY_VALUE_FORMAT,
    steps.MULTIPLE_INSTRUCTIONS_DISALLOWED,
    steps.JSON_ARGS_RECOMMENDED,
    steps.WORKDIR_RELATIVE_PATH,
    steps.EXPOSE_PROTO_CASING,
    steps.EXPOSE_INVALID_FORMAT,
    files.COPY_IGNORED_FILE,
)

#: Every rule there is.
RULES: Sequence[Rule] = (*_FILE_RULES, *_BASE_RULES, *_STEP_RULES, bases.INVALID_BASE_IMAGE_PLATFORM)


class Linter:
    """The checks of one build."""

    def __init__(self, dockerfile: Dockerfile, settings: Settings, ignored: Callable[[], IgnoreRules | None]) -> None:
        """`ignored` gives the rules of the main context's ignore file; it is called when something depends on them."""
        self._dockerfile = dockerfile
        self._settings = settings
        self._ignored = ignored
        self._memories: dict[int, StageMemory] = {}
        self._comments = _Comments(dockerfile)
        self._findings: dict[Advice, None] = {}

    def file(self) -> None:
        """Check what can be seen in the file alone."""
        self._look(_FILE_RULES, self._dockerfile)

    def bases(self, values: Mapping[str, str], defaults: Mapping[str, str] | None) -> None:
        """Check the FROM lines. `values` are those of the global and predefined ARGs, `defaults` the same without
        build args."""
        self._look(_BASE_RULES, Bases(self._dockerfile, values, defaults))

    def step(self, stage: int, base: int, instruction: Instruction, scope: Names, *, shell_set: bool) -> None:
        """Check an instruction that is about to take effect. What can't be expanded is left to the plan."""
        memory = self._memories.get(stage)
        if memory is None:
            memory = self._memories[stage] = StageMemory(self._memories.get(base))
        step = Step(instruction, self._dockerfile.escape, scope, shell_set, memory, self._ignored)
        kind = type(instruction)
        self._look([rule for rule in _STEP_RULES if kind in rule.on], step)

    def image(self, name: str, wanted: str, got: str, location: Location) -> None:
        """Check an image that is used at `location`, by the platforms that it is wanted for and is for."""
        self._look([bases.INVALID_BASE_IMAGE_PLATFORM], Pulled(name, wanted, got, location))

    @property
    def findings(self) -> tuple[Advice, ...]:
        """What was found, each once, in the order of the lines."""
        return tuple(sorted(self._findings, key=lambda finding: finding.location.line))

    def error(self) -> DockerfileError | None:
        """What is to be raised because `error=true` makes errors of findings, if there are any."""
        findings = self.findings
        if not findings or not self._settings.error:
            return None
        rules = ", ".join(sorted({finding.rule for finding in findings}))
        first = findings[0]
        error = DockerfileError(
            f"checks failed: {rules}",
            hint="they are errors because of error=true; docs/lint.md describes them",
            location=first.location,
            source=self._dockerfile.lines,
        )
        error.detail = "\n".join([*(finding.text for finding in findings), error.detail])
        return error

    def _look(self, rules: Iterable[Rule], subject: object) -> None:
        for rule in rules:
            if not (self._comments.any or self._settings.counts(rule.name, experimental=rule.experimental)):
                continue
            for found in _found(rule, subject):
                settings = self._comments.settings(self._settings, found.location)
                if settings.counts(rule.name, experimental=rule.experimental):
                    self._findings[_advice(rule, found)] = None


def _advice(rule: Rule, found: Found) -> Advice:
    hint = found.hint or rule.advice
    return Advice(rule.name, rule.description, rule.url, found.message, hint, found.location, found.hint)


def _found(rule: Rule, subject: object) -> Iterator[Found]:
    try:
        yield from rule.look(subject)
    except DockerfileError:
        return  # a word that can't be expanded: the plan says so, with its place


class _Comments:
    """The comments above instructions, as far as they say `check`."""

    def __init__(self, dockerfile: Dockerfile) -> None:
        told = [(one.location, one.doc) for one in dockerfile.global_args]
        for stage in dockerfile.stages:
            told.append((stage.location, stage.doc))
            told += ((one.location, one.doc) for one in stage.instructions)
        self._places = [(location, doc) for location, doc in told if "check" in doc.lower()]
        self.any = bool(self._places)

    def settings(self, settings: Settings, location: Location) -> Settings:
        """`settings` as they are for the instruction at `location`."""
        for place, doc in self._places:
            if place.line <= location.line <= place.end_line:
                return settings.with_comment(doc)
        return settings
