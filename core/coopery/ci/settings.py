"""Settings: what `coopery ci` is asked to do, as one frozen value, and which source overrides which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from coopery.ci.keys import TARGET_KEYS
from coopery.ci.written import NOWHERE, Spot, did_you_mean

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretName:
    """Where the value of a secret comes from: one of a name that the CI system or the environment knows, a variable of
    the environment, or a file.
    """

    name: str = ""
    env: str = ""
    file: str = ""
    spot: Spot = field(default=NOWHERE, compare=False, repr=False)

    @property
    def origin(self) -> str:
        """What to call it in messages."""
        return self.file or (f"the variable {self.env}" if self.env else self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryEntry:
    """How to log in to a registry, and how it is reached. At most one kind of login is there."""

    username: str = ""
    password: str = ""  # a name
    role: str = ""
    region: str = ""
    connection: str = ""
    organization: str = ""
    workload_identity_provider: str = ""
    service_account: str = ""
    client_id: str = ""
    tenant_id: str = ""
    mirror: tuple[str, ...] = ()
    plain_http: bool = False
    insecure: bool = False
    certificate: str = ""
    spot: Spot = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One image to build. The attributes are the keys of `keys.TARGET_KEYS`."""

    name: str = ""  # empty: the only one
    images: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    flavor: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    context: str = "."
    file: str = ""
    target: str = ""
    platforms: tuple[str, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    build_contexts: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    secrets: Mapping[str, SecretName] = field(default_factory=lambda: _NOTHING, hash=False)
    ssh: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    network: str = "default"
    shm_size: str = ""
    ulimit: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    pull: bool = False
    no_cache: bool = False
    no_cache_filters: tuple[str, ...] = ()
    isolation: str = "auto"
    scratch: str = "auto"
    compression: str = "gzip"
    compression_level: int | None = None
    outputs: tuple[str, ...] = ()
    load: bool = False
    push: str = "auto"
    cache: str = "auto"
    cache_repository: str = ""
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    spots: Mapping[str, Spot] = field(default_factory=lambda: _NOTHING, compare=False, repr=False)

    def spot(self, key: str) -> Spot:
        """Where the value of `key` was written; NOWHERE for a default."""
        return self.spots.get(key, NOWHERE)

    @property
    def title(self) -> str:
        """What to call it in messages."""
        return self.name or "the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a run is asked to do."""

    targets: tuple[Target, ...]
    registries: Mapping[str, RegistryEntry] = field(default_factory=lambda: _NOTHING, hash=False)
    only_platform: str = ""
    file: str = ""  # that it was read from; empty: there was none


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a source gives, and where."""

    value: Any
    spot: Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one source says."""

    values: Mapping[str, Given] = field(default_factory=lambda: _NOTHING)  # by key
    targets: Mapping[str, Mapping[str, Given]] = field(default_factory=lambda: _NOTHING)  # by name
    wanted: Given | None = None  # names of the targets to build


def combine(layers: Sequence[Layer], file: str = "") -> Settings:
    """The settings that `layers` make, the later ones winning: lists are replaced, mappings merged by key.

    What a target says itself wins over what its own source says for all, and loses against later sources.
    UsageError for the name of a target that isn't there.
    """
    names = list(dict.fromkeys(name for layer in layers for name in layer.targets)) or [""]
    built = []
    for name in names:
        values: dict[str, Given] = {}
        for layer in layers:
            for part in (layer.values, layer.targets.get(name, {})):
                values = _merged(values, part)
        fields = {TARGET_KEYS[key].field: given.value for key, given in values.items() if key in TARGET_KEYS}
        spots = {key: given.spot for key, given in values.items()}
        built.append(Target(name=name, spots=MappingProxyType(spots), **fields))
    common: dict[str, Given] = {}
    for layer in layers:
        common = _merged(common, layer.values)
    wanted = [layer.wanted for layer in layers if layer.wanted]
    settings = Settings(
        targets=tuple(built),
        registries=common["registries"].value if "registries" in common else _NOTHING,
        only_platform=common["only-platform"].value if "only-platform" in common else "",
        file=file,
    )
    return replace(settings, targets=_chosen(built, wanted[-1])) if wanted else settings


def _merged(below: Mapping[str, Given], above: Mapping[str, Given]) -> dict[str, Given]:
    result = dict(below)
    for key, given in above.items():
        old = result.get(key)
        if old and isinstance(given.value, Mapping):
            # Of several places the settings file's counts: what may have been written by anybody stays known as that.
            spot = old.spot if old.spot.line else given.spot
            given = Given(MappingProxyType({**old.value, **given.value}), spot)
        result[key] = given
    return result


def _chosen(targets: Iterable[Target], wanted: Given) -> tuple[Target, ...]:
    """Those of `targets` that are wanted, in their own order."""
    known = {target.name: target for target in targets}
    for name in wanted.value:
        if name not in known or not name:
            named = [each for each in known if each]
            hint = did_you_mean(name, named) or "the settings file has no `targets`"
            raise wanted.spot.error(f"there is no target {name!r}", hint=hint)
    return tuple(target for name, target in known.items() if name in wanted.value)
