"""What an adapter brings for migrations: how its platform's pipelines are read, and how our steps are written there.

It stands as `MIGRATOR` in the module `migrate` of the package that holds the adapter.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Protocol

from coopery.ci.platform import ENTRY_POINTS
from coopery.ci.written import did_you_mean
from coopery.errors import UsageError
from coopery.migrate.draft import Draft
from coopery.migrate.results import Migrated, Migration, Source


class Migrator(Protocol):
    """A platform's half of a migration."""

    def claims(self, path: str, text: str) -> bool:
        """Whether this looks like a pipeline of this platform."""

    def file(self, path: str, text: str, source: Source) -> Migration:
        """The pipeline with the steps in it that build images turned into ours, which come from `source`.

        UsageError if it can't be read.
        """

    def step(self, draft: Draft, title: str, source: Source) -> Migrated:
        """A step for `draft` alone, to be put into a pipeline."""


def find_migrators(warn: Callable[[str], None]) -> dict[str, Migrator]:
    """By the names of the adapters. `warn` is told of those that can't be loaded."""
    from importlib.metadata import entry_points

    found: dict[str, Migrator] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            module = importlib.import_module(f"{point.module}.migrate")
            found[point.name] = module.MIGRATOR
        except (ImportError, AttributeError, SyntaxError) as error:
            warn(f"the adapter {point.name} can't migrate: {error}")
    return found


def named_migrator(name: str, known: Mapping[str, Migrator]) -> Migrator:
    """The one of that name. UsageError if there is none."""
    if name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(f"there is no CI platform {name!r}", hint=hint)
    return known[name]


def claiming(path: str, text: str, known: Mapping[str, Migrator]) -> str:
    """The name of the only one that takes the file for its own; empty if none does. UsageError if several do."""
    names = [name for name, migrator in known.items() if migrator.claims(path, text)]
    if len(names) > 1:
        hint = "say which with --platform"
        raise UsageError(f"{path} could be a pipeline of several platforms: {', '.join(names)}", hint=hint)
    return names[0] if names else ""
