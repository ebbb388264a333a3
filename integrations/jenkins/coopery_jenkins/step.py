"""What the pipeline step hands over: its arguments, why the build runs, and which credentials it bound where.

The step (src/coopery/Step.groovy) sets two variables, both JSON: COOPERY_INPUTS holds the arguments that are settings,
COOPERY_JENKINS what only the controller knows. Neither holds a secret: of each credential there are the names of the
variables that Jenkins put its parts in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopery.errors import UsageError

INPUTS = "COOPERY_INPUTS"
FACTS = "COOPERY_JENKINS"

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A credential that the step bound. `kind` is the binding's name, as in `withCredentials`."""

    purpose: str  # registry, secret or identity
    name: str  # the registry's host, the secret's id, the token's audience
    kind: str
    credential: str  # its id in Jenkins, for messages
    variables: Mapping[str, str]  # part of the credential -> the variable that has it
    username: str = ""  # for a registry, with a credential that is a token alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the controller knows and a job's environment doesn't say."""

    causes: tuple[str, ...] = ()  # class names, such as hudson.triggers.TimerTrigger$TimerTriggerCause
    default_branch: str = ""
    commit: str = ""
    bound: tuple[Bound, ...] = ()

    def of(self, purpose: str) -> Iterator[Bound]:
        """The credentials that were bound for `purpose`."""
        return (bound for bound in self.bound if bound.purpose == purpose)


def facts(environ: Mapping[str, str]) -> Facts:
    """What the step says in COOPERY_JENKINS; nothing without the step. UsageError if it can't be read."""
    value = _json_object(environ, FACTS)
    try:
        return Facts(
            causes=tuple(str(cause) for cause in _items(value.get("causes"))),
            default_branch=str(value.get("default-branch") or ""),
            commit=str(value.get("commit") or ""),
            bound=tuple(Bound(**each) for each in _items(value.get("bound"))),
        )
    except TypeError as error:
        raise _unreadable(FACTS, error) from error


def settings(environ: Mapping[str, str], known: Facts) -> Mapping[str, object]:
    """The step's arguments by the keys of coopery.yaml, with what was bound in its place. UsageError if they can't
    be read, or a bound file isn't there."""
    value = {_key(name): each for name, each in _json_object(environ, INPUTS).items()}
    registries = _registries(value.get("registries"))
    for bound in known.of("registry"):
        entry = registries.setdefault(bound.name, {})
        if isinstance(entry, dict) and bound.kind not in ("aws", "file"):  # those two speak through variables alone
            entry["username"], entry["password"] = _login_names(bound)
    if registries:
        value["registries"] = registries
    secrets = value.get("secrets")
    mine = {name: source for bound in known.of("secret") for name, source in secret_sources(bound, environ)}
    if mine and isinstance(secrets or {}, dict):
        value["secrets"] = {**(secrets if isinstance(secrets, dict) else {}), **mine}
    return value


def secret_sources(bound: Bound, environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The build secrets that a bound credential makes, by id: {env: VARIABLE} or {file: PATH}.

    A key or a keystore is the secret itself; what belongs to it is further secrets, `ID-username` and so on. Each
    file of an unpacked archive is the secret `ID/PATH`. UsageError if a variable that should be there isn't.
    """
    for part, variable in bound.variables.items():
        if variable not in environ:
            raise UsageError(
                f"the Jenkins credential {bound.credential!r} was bound, but there is no {variable}",
                hint="run the step in the same container as the rest, and don't unset its variables",
            )
        value = environ[variable]
        if part == "directory":
            for path in sorted(Path(value).rglob("*")):
                if path.is_file():
                    yield f"{bound.name}/{path.relative_to(value)}", {"file": str(path)}
        elif part == "file":
            yield bound.name, {"file": value}
        elif part == "value":
            yield bound.name, {"env": variable}
        elif value:  # a key without a passphrase has an empty one
            yield f"{bound.name}-{part}", {"env": variable}


def login_part(known: Facts, environ: Mapping[str, str], name: str) -> str | None:
    """The user name or password of a bound login by the name that `settings` gave it; None for other names."""
    for bound in known.of("registry"):
        user, password = _login_names(bound)
        if name in (user, password):
            parts = {part: environ.get(variable, "") for part, variable in bound.variables.items()}
            if bound.kind == "usernameColonPassword":
                parts["username"], _, parts["password"] = parts["value"].partition(":")
            return bound.username or parts["username"] if name == user else parts.get("password", parts.get("value"))
    return None


def _login_names(bound: Bound) -> tuple[str, str]:
    """What the settings call the halves of a login: no variable can have such a name, and messages read well."""
    return f"user of the Jenkins credential {bound.credential}", f"of the Jenkins credential {bound.credential}"


def secret_file(value: str) -> bool:
    """Whether `value` is the path of a file that a binding keeps a credential in.

    All bindings with files put them below `secretFiles` in the temporary directory of the workspace (UnbindableDir
    and AbstractOnDiskBinding of credentials-binding-plugin).
    """
    return value.startswith("/") and "/secretFiles/" in value and os.path.isfile(value)


def _registries(value: object) -> dict[str, object]:
    if isinstance(value, list):
        entries: dict[str, object] = {}
        for each in value:
            if not isinstance(each, dict) or not each.get("host"):
                raise UsageError("an entry of `registries` has no `host`", hint="write [host: 'registry.example', …]")
            entries[str(each["host"])] = {name: given for name, given in each.items() if name != "host"}
        value = entries
    if value is not None and not isinstance(value, dict):
        raise UsageError("`registries` is neither a list of maps nor a map", hint="write [[host: 'ghcr.io', …]]")
    return {
        str(host): {_key(name): each for name, each in entry.items()} if isinstance(entry, dict) else entry
        for host, entry in (value or {}).items()
    }


def _key(name: str) -> str:
    """`buildArgs`, as Groovy people write names, is `build-args`."""
    return _HUMP.sub("-", name).lower()


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _json_object(environ: Mapping[str, str], variable: str) -> dict[str, object]:
    text = environ.get(variable, "")
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _unreadable(variable, error) from error
    if not isinstance(value, dict):
        raise _unreadable(variable, TypeError("not an object"))
    return value


def _unreadable(variable: str, error: Exception) -> UsageError:
    return UsageError(
        f"what the pipeline step says in {variable} can't be read: {error}",
        hint="the step cooperyBuild sets it: take library and program of the same version",
    )
