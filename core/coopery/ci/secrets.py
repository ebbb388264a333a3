"""Secrets: from the names in the settings to values, which are masked and reach the engine by a private mapping."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coopery.ci.platform import Platform, SecretSource
from coopery.ci.settings import SecretName, Target
from coopery.ci.written import Faults
from coopery.request import Secret

#: Begins the names of the engine's private variables, which nobody else can have set: no variable has a space.
_PRIVATE = "secret "
_LARGEST = 1 << 20  # characters of a password in a file
#: Variables and secrets of CI systems are called like this; names that adapters give have spaces. Others, such as
#: `robot$push` or `me@example.com`, nobody needs to be asked about.
_MAYBE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|.* .*")


class SecretStore:
    """Looks names up: the platform's secrets come before variables of the environment. Each is asked for once."""

    def __init__(self, platform: Platform, environ: Mapping[str, str], mask: Callable[[str], None]) -> None:
        """`mask` is told each value before it is handed out."""
        self._platform = platform
        self._environ = environ
        self.mask = mask
        self._known: dict[str, SecretSource | None] = {}

    def find(self, name: str) -> SecretSource | None:
        """Where the value is that goes by `name`; None if there is none, or if it is empty."""
        if name not in self._known:
            source = self._platform.secret(name)
            if source is None or not (source.file or source.value):
                value = self._environ.get(name, "")
                source = SecretSource(value=value) if value else None
            if source and source.value:
                self.mask(source.value)
            self._known[name] = source
        return self._known[name]

    def text(self, name: str) -> str:
        """The value that goes by `name`, without line ends around it; empty if there is none, or if its file can't be
        read.
        """
        source = self.find(name)
        value = _read(source) if source else ""
        if source and source.file and value:
            self.mask(value)
        return value

    def plain(self, name: str) -> str:
        """What goes by `name` and is no secret, such as a user's name; `name` itself if nothing does."""
        known = self._environ.get(name)
        source = self._platform.secret(name) if not known and _MAYBE_NAME.fullmatch(name) else None
        return known or (_read(source) if source else "") or name

    def place(self, wanted: SecretName) -> SecretSource | None:
        """Where the value is that a setting names; None if it isn't there."""
        if wanted.file:
            path = os.path.abspath(os.path.expanduser(wanted.file))
            return SecretSource(file=path) if os.path.isfile(path) else None
        if not wanted.env:
            return self.find(wanted.name)
        value = self._environ.get(wanted.env, "")
        if value:
            self.mask(value)
        return SecretSource(value=value) if value else None


def _read(source: SecretSource) -> str:
    if not source.file:
        return source.value.strip("\r\n")
    try:
        with open(source.file, encoding="utf-8") as file:
            return file.read(_LARGEST).strip("\r\n")
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class BuildSecrets:
    """The secrets of one build, the variables that the engine finds their values in, and the ids of those that aren't
    there.
    """

    secrets: tuple[Secret, ...]
    variables: Mapping[str, str]
    missing: tuple[str, ...]

    def __repr__(self) -> str:
        return f"BuildSecrets(secrets={self.secrets!r}, …)"


def build_secrets(target: Target, store: SecretStore, faults: Faults | None) -> BuildSecrets:
    """The secrets of `target`. One that isn't there is a fault, or without `faults` is left out."""
    found: list[Secret] = []
    variables: dict[str, str] = {}
    missing: list[str] = []
    for name, wanted in target.secrets.items():
        source = store.place(wanted)
        if source is None:
            missing.append(name)
            if faults:
                hint = "define it where the CI system keeps its secrets, or set the variable"
                if wanted.file:
                    hint = "files are found as seen from the directory that the job runs in"
                faults.add(wanted.spot.error(f"the secret {name!r} isn't there: {wanted.origin}", hint=hint))
        elif source.file:
            found.append(Secret(id=name, file=source.file))
        else:
            variables[_PRIVATE + name] = source.value
            found.append(Secret(id=name, env=_PRIVATE + name))
    return BuildSecrets(tuple(found), variables, tuple(missing))
