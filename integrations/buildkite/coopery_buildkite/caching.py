"""Where steps are kept between jobs: on a cache volume, or in a registry."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from coopery.ci.platform import CHOSEN_TARGET, CacheChoice, CacheWish
from coopery.errors import UsageError

#: Names the directory, where it isn't the usual one.
VARIABLE = "COOPERY_CACHE_VOLUME"
#: Where a volume is looked for: outside of the checkout, so that no commit can put one there and no COPY takes it in.
USUAL = "/var/cache/coopery"
#: Where hosted agents mount volumes; the paths of `cache:` are links into it.
HOSTED = "/cache"


def choose(wish: CacheWish, environ: Mapping[str, str]) -> CacheChoice:
    """What to read and to write. UsageError if the job has no volume, or the registry no repository, that is wanted."""
    if wish.kind in ("none", "local"):  # `local` is Coopery's own directory, which builds use anyway
        return CacheChoice()
    volume = find_volume(environ) if wish.kind != "registry" else ""
    if volume:
        place = os.path.join(volume, _slug(wish.scope))
        targets = (f"type=local,dest={place}{CHOSEN_TARGET}",) if wish.may_write else ()
        return CacheChoice(sources=(f"type=local,src={place}",), targets=targets)
    if wish.kind == "platform":
        hint = f"add `cache: {USUAL}` to the step (hosted agents), or name a directory that stays in {VARIABLE}"
        raise UsageError("this job has no cache volume", hint=hint)
    if not wish.repository:
        if wish.kind == "auto":
            return CacheChoice()
        raise UsageError("there is no repository for cached steps", hint="set cache-repository")
    place = f"type=registry,ref={wish.repository}:{_slug(wish.scope)}"
    return CacheChoice(sources=(place,), targets=(f"{place}{CHOSEN_TARGET}",) if wish.may_write else ())


def find_volume(environ: Mapping[str, str], usual: str = USUAL, hosted: str = HOSTED) -> str:
    """The directory of the volume: what the variable names, else the usual one if something is mounted there or it
    leads to where hosted agents have theirs. Empty if there is none. UsageError if the variable's isn't a directory.
    """
    if named := environ.get(VARIABLE, ""):
        if "," in named or not os.path.isabs(named) or not os.path.isdir(named):
            raise UsageError(f"{VARIABLE} is {named!r}: not the absolute name of a directory", hint="without commas")
        return named
    real = os.path.realpath(usual)
    if os.path.isdir(real) and (os.path.ismount(real) or real.startswith(f"{hosted}/")):
        return real
    return ""


def _slug(scope: str) -> str:
    """`scope` as a tag and a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", scope).strip("-")[:100] or "cache"
