"""The registries that pipelines are generated for: a table in a data file, as the platforms' templates are."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

#: How a job logs in: by the credential that it has anyway, a stored one, or its identity.
Login = Literal["job", "password", "aws-keys", "aws-role", "connection"]

_FILE = "registries.toml"
#: The entry for all that no other fits.
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRegistry:
    """An entry of the table; what the fields mean is told there."""

    id: str
    title: str
    host: str
    pattern: str
    names: str
    login: Login
    token: str
    address: str = ""
    example: bool = False
    home: str = ""
    keyless: Login | None = None
    keyless_on: tuple[str, ...] = ()  # empty: all platforms
    cache: str = "{image}/cache"

    def keyless_login(self, platform: str) -> Login | None:
        """How jobs of `platform` log in with nothing stored; None if they can't."""
        if self.home == platform:
            return "job"
        return self.keyless if not self.keyless_on or platform in self.keyless_on else None

    def stored_login(self, platform: str) -> Login:
        """How jobs of `platform` log in otherwise."""
        return "job" if self.home == platform else self.login


@cache
def known_registries() -> Mapping[str, KnownRegistry]:
    """The table, by ids and in its order: a host is that of the first entry whose pattern fits."""
    here = os.path.dirname(os.path.abspath(__file__))
    # Beside this module in a wheel, else in the checkout.
    places = (here, os.path.join(here, "..", "..", "..", "integrations"))
    path = next(path for place in places if os.path.exists(path := os.path.join(place, _FILE)))
    with open(path, "rb") as file:
        table = tomllib.load(file)
    return {name: _entry(name, fields) for name, fields in table.items()}


def _entry(name: str, fields: Mapping[str, Any]) -> KnownRegistry:
    values: dict[str, Any] = {key.replace("-", "_"): value for key, value in fields.items()}
    values["keyless_on"] = tuple(values.get("keyless_on", ()))
    return KnownRegistry(id=name, **values)


def registry_of(host: str) -> KnownRegistry:
    """The entry for `host`."""
    return next(entry for entry in known_registries().values() if re.fullmatch(entry.pattern, host))
