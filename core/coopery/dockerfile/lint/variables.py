"""Rules about variables: that they are there, and that they hold no secrets."""

from __future__ import annotations

from collections.abc import Iterator

from coopery.dockerfile.expand import expand
from coopery.dockerfile.instructions import (
    Add,
    Arg,
    Copy,
    Env,
    Instruction,
    Label,
    Pairs,
    Run,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from coopery.dockerfile.lint.rule import Found, Rule, Step
from coopery.errors import did_you_mean

#: Read by the builder rather than passed on (BuildKit: nonEnvArgs in `dockerfile2llb/convert.go`).
_NO_VARIABLES = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
#: Parts, between underscores, of the names that secrets are given, and of those that are none (BuildKit:
#: getSecretsRegex).
_SECRET = frozenset(
    ("apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token")
)
_NO_SECRET = frozenset(("public", "file", "version"))


def _texts(instruction: Instruction) -> Iterator[str]:
    """What of an instruction is expanded, but for ARG and heredocs."""
    if isinstance(instruction, Pairs):
        for pair in instruction.pairs:
            yield from pair
    elif isinstance(instruction, Copy | Add):
        bodies = {heredoc.name for heredoc in instruction.heredocs}
        yield from (instruction.chown, instruction.chmod)
        if isinstance(instruction, Add):
            yield instruction.checksum
        yield from (source for source in instruction.sources if source not in bodies)
        yield instruction.destination
    elif isinstance(instruction, Run):
        yield from instruction.mounts
    elif isinstance(instruction, Workdir):
        yield instruction.path
    elif isinstance(instruction, User):
        yield instruction.user
    elif isinstance(instruction, Stopsignal):
        yield instruction.signal
    elif isinstance(instruction, Volume):
        yield from instruction.paths


def _unmatched(step: Step) -> Iterator[str]:
    """The names that have no value, as often as they are met."""
    instruction, get = step.instruction, step.scope.get
    if isinstance(instruction, Arg):
        yield from _unmatched_in_arg(step, instruction)
        return
    for text in _texts(instruction):
        if "$" in text:
            yield from sorted(expand(text, get, step.escape).unmatched)
    if isinstance(instruction, Copy | Add):
        for heredoc in instruction.heredocs:
            if heredoc.expand and "$" in heredoc.content:
                yield from sorted(expand(heredoc.content, get, "\\", quotes=False).unmatched)


def _unmatched_in_arg(step: Step, arg: Arg) -> Iterator[str]:
    """An ARG sees those before it on its line. A default that isn't needed isn't expanded."""
    before: set[str] = set()
    for name, default in arg.args:
        if default and "$" in default and not step.scope.is_given(name):
            yield from sorted(expand(default, step.scope.get, step.escape).unmatched - before)
        before.add(name)


def _undefined(step: Step) -> Iterator[Found]:
    scope = step.scope
    for name in dict.fromkeys(_unmatched(step)):
        if name not in scope.args and name not in _NO_VARIABLES:
            near = did_you_mean(f"${name}", [f"${known}" for known in scope.names])
            yield step.found(f"${name} is not defined", near)


def _secrets(step: Step) -> Iterator[Found]:
    one = step.instruction
    names = [name for name, _ in one.args] if isinstance(one, Arg) else []
    if isinstance(one, Env):
        names = [step.one(name) for name, _ in one.pairs]
    for name in names:
        parts = set(name.lower().split("_"))
        if parts & _SECRET and not parts & _NO_SECRET:
            yield step.found(f"{one.keyword} {name} looks like a secret, and everybody can read it in the image")


UNDEFINED_VAR = Rule(
    "UndefinedVar",
    "variables are defined before they are used",
    "define it with ENV or ARG in this stage, above this line",
    _undefined,
    (Add, Arg, Copy, Env, Label, Run, Stopsignal, User, Volume, Workdir),
)
SECRETS_USED_IN_ARG_OR_ENV = Rule(
    "SecretsUsedInArgOrEnv",
    "secrets are in no ARG and no ENV",
    "pass it with --secret, and use it in RUN --mount=type=secret",
    _secrets,
    (Arg, Env),
)
