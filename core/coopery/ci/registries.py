"""How registries are reached: what the settings say, and what the command line and the environment say over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from coopery.ci.settings import RegistryEntry
from coopery.errors import CooperyError, UsageError
from coopery.registry.settings import RegistrySettings, registry_settings


def reaching(entries: Mapping[str, RegistryEntry], given: RegistrySettings) -> RegistrySettings:
    """`given`, with what `entries` say of registries that it says nothing of. UsageError, with its place, for entries
    that can't be honoured.
    """
    hosts, mirrors = dict(given.hosts), dict(given.mirrors)
    for place, entry in entries.items():
        try:
            own = _settings(place, entry)
        except CooperyError as error:
            entry.spot.blame(error)
            raise
        for host, settings in own.hosts.items():
            hosts.setdefault(host, settings)
        for host, found in own.mirrors.items():
            mirrors.setdefault(host, found)
    return replace(given, hosts=MappingProxyType(hosts), mirrors=MappingProxyType(mirrors))


def _settings(place: str, entry: RegistryEntry) -> RegistrySettings:
    about_host = entry.mirror or entry.plain_http or entry.insecure or entry.certificate
    if about_host and "/" in place:
        hint = f"give {place.partition('/')[0]} an entry of its own for that"
        raise UsageError(f"{place} is a part of a registry, and is reached as the rest of it", hint=hint)
    return registry_settings(
        {},
        insecure_registry=[place] if entry.insecure else [],
        plain_http=[place] if entry.plain_http else [],
        registry_certificate=[f"{place}={entry.certificate}"] if entry.certificate else [],
        registry_map=[f"{place}={mirror}" for mirror in entry.mirror],
    )
