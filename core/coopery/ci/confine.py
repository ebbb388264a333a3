"""What a settings file may say where anybody may have written it: that of a job for an untrusted revision.

The job's own definition (inputs, variables, flags) is taken at its word; it is the file that came with the change. It
names no secrets and no logins there, asks for no entitlements, and no path in it leads out of the job's directory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from types import MappingProxyType

from coopery.ci.settings import RegistryEntry, Settings, Target
from coopery.ci.written import Faults, Spot
from coopery.errors import CooperyError
from coopery.export.output_spec import parse_output

_REACHING = ("mirror", "plain_http", "insecure", "certificate", "spot")
_HINT = "a revision that isn't trusted can only name what lies in the directory that the job runs in"


@dataclass(frozen=True, slots=True)
class Confined:
    """Settings without what an untrusted revision's file may not say, and what was left out, for people."""

    settings: Settings
    left_out: tuple[str, ...]


def confined(settings: Settings, directory: str) -> Confined:
    """`settings` as they hold for an untrusted revision, whose job runs in `directory`.

    UsageError, or SettingsError for several, for paths in the settings file that lead out of it.
    """
    faults = Faults()
    left_out: list[str] = []
    for target in settings.targets:
        _check_paths(target, os.path.realpath(directory), faults)
    faults.check()
    targets = tuple(_without_secrets(target, left_out) for target in settings.targets)
    registries = {host: _without_login(host, entry, left_out) for host, entry in settings.registries.items()}
    return Confined(
        replace(settings, targets=targets, registries=MappingProxyType(registries)), tuple(dict.fromkeys(left_out))
    )


def _in_file(spot: Spot) -> bool:
    return spot.line > 0


def _without_secrets(target: Target, left_out: list[str]) -> Target:
    kept = {name: wanted for name, wanted in target.secrets.items() if not _in_file(wanted.spot)}
    changes: dict[str, object] = {}
    if len(kept) < len(target.secrets):
        changes["secrets"] = MappingProxyType(kept)
        left_out += [f"the secret {name}" for name in target.secrets if name not in kept]
    for key in ("ssh", "allow"):
        if getattr(target, key) and _in_file(target.spot(key)):
            changes[key] = ()
            left_out.append(key)
    return replace(target, **changes) if changes else target  # type: ignore[arg-type]


def _without_login(host: str, entry: RegistryEntry, left_out: list[str]) -> RegistryEntry:
    bare = RegistryEntry(**{name: getattr(entry, name) for name in _REACHING})
    if bare == entry or not _in_file(entry.spot):
        return entry
    left_out.append(f"the login for {host}")
    return bare


def _check_paths(target: Target, directory: str, faults: Faults) -> None:
    named: list[tuple[str, str]] = [("context", target.context), ("file", target.file)]
    named += [("build-contexts", where) for where in target.build_contexts.values()]
    if _in_file(target.spot("outputs")):
        for text in target.outputs:
            try:
                named.append(("outputs", parse_output(text).dest))
            except CooperyError as error:
                target.spot("outputs").blame(error)
                faults.add(error)
    for key, path in named:
        if path and _in_file(target.spot(key)) and not _inside(path, directory):
            faults.add(target.spot(key).error(f"{key}: {path!r} lies outside of the job's directory", hint=_HINT))


def _inside(path: str, directory: str) -> bool:
    scheme, separator, rest = path.partition("://")
    if scheme in ("file", "oci-layout"):
        path = rest
    elif path == "-" or separator or path.startswith("git@"):
        return True
    place = os.path.realpath(os.path.join(directory, path))
    return place == directory or place.startswith(directory.rstrip("/") + "/")
