"""What a settings file may say where anybody may have written it: that of a job for an untrusted revision.

The job's own definition (inputs, variables, flags) is taken at its word; it is the file that came with the change. It
names no secrets and no logins there, asks for no entitlements and no weaker isolation, hands nothing to the machine's
Docker, and no path in it leads out of the job's directory. Nor does a link in the checkout that the job names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from types import MappingProxyType

from coopery.ci.settings import RegistryEntry, Settings, Target
from coopery.ci.written import Faults, Spot
from coopery.engines.cache_spec import parse_cache
from coopery.errors import CooperyError
from coopery.export.output_spec import parse_output
from coopery.request import Output

_REACHING = ("mirror", "plain_http", "insecure", "certificate", "spot")
_LENIENT = {"ssh": (), "allow": (), "isolation": "auto", "load": False}
_SCRATCHES = ("auto", "memory", "disk")
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
    for host, entry in settings.registries.items():
        path = entry.certificate
        if path and _in_file(entry.spot) and not _inside(path, os.path.realpath(directory)):
            faults.add(entry.spot.error(f"{host}: {path!r} lies outside of the job's directory", hint=_HINT))
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
    for key, default in _LENIENT.items():
        if getattr(target, key) != default and _in_file(target.spot(key)):
            changes[key] = default
            left_out.append(key)
    if _in_file(target.spot("outputs")):
        outputs = tuple(text for text in target.outputs if not _is_loaded(parse_output(text)))
        if len(outputs) < len(target.outputs):
            changes["outputs"] = outputs
            left_out.append("the output for Docker")
    return replace(target, **changes) if changes else target  # type: ignore[arg-type]


def _is_loaded(output: Output) -> bool:
    return output.type == "docker" and not output.dest


def _without_login(host: str, entry: RegistryEntry, left_out: list[str]) -> RegistryEntry:
    bare = RegistryEntry(**{name: getattr(entry, name) for name in _REACHING})
    if bare == entry or not _in_file(entry.spot):
        return entry
    left_out.append(f"the login for {host}")
    return bare


def _check_paths(target: Target, directory: str, faults: Faults) -> None:
    named: list[tuple[str, str]] = [("context", target.context), ("file", target.file)]
    contexts = [("build-contexts", where) for where in target.build_contexts.values()]
    named += contexts
    if target.scratch not in _SCRATCHES:
        named.append(("scratch", target.scratch))
    if _in_file(target.spot("cache-from")):
        for text in target.cache_from:
            try:
                named.append(("cache-from", parse_cache(text, "--cache-from").path))
            except CooperyError as error:
                target.spot("cache-from").blame(error)
                faults.add(error)
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
    found = [("context", target.context), *contexts]
    found += [("file", target.file or os.path.join(target.context, "Dockerfile"))]
    found += [("context", os.path.join(target.context, ".dockerignore"))]
    for key, path in found:
        if not _in_file(target.spot(key)) and _leads_out(path, directory):
            faults.add(
                target.spot(key).error(f"{key}: {path!r} leads out of the job's directory by a link", hint=_HINT)
            )


def _leads_out(path: str, directory: str) -> bool:
    """Whether what is called as if it lay in `directory` is elsewhere."""
    called = os.path.normpath(os.path.join(directory, _local(path)))
    return _under(called, directory) and not _inside(path, directory)


def _inside(path: str, directory: str) -> bool:
    return _under(os.path.realpath(os.path.join(directory, _local(path))), directory)


def _local(path: str) -> str:
    """The path on this machine that a context is at; empty if it is elsewhere."""
    scheme, separator, rest = path.partition("://")
    if scheme in ("file", "oci-layout"):
        return rest
    return "" if path == "-" or separator or path.startswith("git@") else path


def _under(place: str, directory: str) -> bool:
    return place == directory or place.startswith(directory.rstrip("/") + "/")
