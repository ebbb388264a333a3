"""Finding the CI system that this process runs under, by entry points."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from coopery.ci.local import Local
from coopery.ci.platform import ENTRY_POINTS, Platform
from coopery.ci.revision import Revision
from coopery.ci.written import did_you_mean
from coopery.errors import EnvironmentUnsuitable, UsageError

#: Names the platform where it can't be told: an entry point's name, or `local` for none.
CHOICE = "COOPERY_CI"


def find_platform(environ: Mapping[str, str], warn: Callable[[str], None]) -> Platform:
    """The platform whose adapter recognises `environ`, or the one that COOPERY_CI names; `Local` if there is none.

    `warn` is told of adapters that can't be loaded. UsageError if several recognise it, or if there is none of the
    name; EnvironmentUnsuitable if that one can't be loaded.
    """
    from importlib.metadata import entry_points

    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    wanted = environ.get(CHOICE, "").strip()
    if wanted == Local.name:
        return Local(environ)
    if wanted and wanted not in points:
        hint = did_you_mean(wanted, [*points, Local.name])
        raise UsageError(f"{CHOICE} is {wanted!r}: there is no such CI platform", hint=hint)
    found: dict[str, type[Platform]] = {}
    for name in [wanted] if wanted else sorted(points):
        try:
            adapter: type[Platform] = points[name].load()
        except (ImportError, AttributeError, SyntaxError) as error:
            if wanted:
                hint = "install Coopery anew, or the package that brings it"
                raise EnvironmentUnsuitable(f"the adapter {name} can't be loaded: {error}", hint=hint) from error
            warn(f"the adapter {name} can't be loaded: {error}")
            continue
        if wanted or adapter.detect(environ):
            found[name] = adapter
    if len(found) > 1:
        hint = f"set {CHOICE} to the one that is meant"
        raise UsageError(f"this looks like a job of several CI platforms: {', '.join(found)}", hint=hint)
    return next(iter(found.values()))(environ) if found else Local(environ)


def revision_of(platform: Platform) -> Revision:
    """What the job builds, as the platform says; what it leaves out is read from the checkout that the job is in."""
    from coopery.ci.checkout import completed

    return completed(platform.revision(), os.curdir)
