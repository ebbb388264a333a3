"""How registries are reached: one frozen value, made of options and of the environment. Pure.

Names and spellings are those of kaniko's executor (its README, "Additional Flags") where it has the option, and the
meaning of an insecure registry is Docker's (dockerd's `insecure-registries`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from coopery.errors import UsageError
from coopery.oci.reference import DOCKER_HUB, Reference, is_registry, is_repository
from coopery.registry.endpoint import PORTS, Origin, is_loopback, is_url

_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_SEPARATORS = re.compile(r"[\s,;]+")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


class ClientCertificate(NamedTuple):
    """Paths of a certificate that says who we are, and of its key; both PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How one registry is spoken to. Without any of this: HTTPS that is verified."""

    plain_http: bool = False  # never HTTPS
    insecure: bool = False  # HTTPS that isn't verified, and plain HTTP where there is none
    skip_verify: bool = False  # HTTPS that isn't verified
    authorities: tuple[
        str, ...
    ] = ()  # PEM files, or directories laid out as one of certs.d, trusted besides the system's
    client_certificate: ClientCertificate | None = None


class Mirror(NamedTuple):
    """Another registry that has a registry's images, below `prefix` if there is one."""

    registry: str
    prefix: str = ""


_DEFAULT = HostSettings()
_NOTHING: Mapping[str, HostSettings] = MappingProxyType({})
_NO_MIRRORS: Mapping[str, tuple[Mirror, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How all registries are reached. Keys are registries' names as `registry_name` gives them."""

    hosts: Mapping[str, HostSettings] = field(default_factory=lambda: _NOTHING, hash=False)
    insecure_networks: tuple[str, ...] = ()  # for registries that are called by an address within
    mirrors: Mapping[str, tuple[Mirror, ...]] = field(default_factory=lambda: _NO_MIRRORS, hash=False)
    fallback: bool = True  # ask the registry itself when its mirrors can't serve
    certificate_folders: tuple[str, ...] = ()  # `certs.d` directories, the most important first

    def host(self, registry: str) -> HostSettings:
        """The settings of one registry, by its name in references."""
        name = _hub(registry.lower())
        found = self.hosts.get(name, _DEFAULT)
        if self.insecure_networks and not found.insecure and self._within_networks(name):
            return replace(found, insecure=True)
        return found

    def at(self, where: Origin) -> HostSettings:
        """The settings of the server at `where`, whoever sent us there."""
        settings = (self.host(name) for name in names_at(where))
        return next((found for found in settings if found != _DEFAULT), _DEFAULT)

    def may_be_plain(self, where: Origin) -> bool:
        """Whether plain HTTP is acceptable with a server: it is this machine, or the user said so."""
        found = self.at(where)
        return is_loopback(where.host) or found.plain_http or found.insecure

    def places(self, reference: Reference) -> tuple[Reference, ...]:
        """Where to pull `reference` from, in order: the mirrors of its registry, then that itself unless forbidden."""
        mirrors = self.mirrors.get(_hub(reference.registry.lower()), ())
        places = [
            replace(
                reference,
                registry=mirror.registry,
                repository=f"{mirror.prefix}/{reference.repository}" if mirror.prefix else reference.repository,
            )
            for mirror in mirrors
        ]
        return tuple(dict.fromkeys([*places, reference])) if self.fallback or not places else tuple(places)

    def _within_networks(self, name: str) -> bool:
        host = re.sub(r":[0-9]+$", "", name).strip("[]")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(network) for network in self.insecure_networks)


def names_at(where: Origin) -> tuple[str, ...]:
    """The names under which references may know the registry at `where`; the port is left out where it is usual."""
    host = f"[{where.host}]" if ":" in where.host else where.host
    full = f"{host}:{where.port}"
    return (_hub(host), full) if where.port == PORTS[where.scheme] else (full,)


def registry_name(text: str, option: str) -> str:
    """A registry as `option` names it, in the spelling that settings are kept under: lower case, without a scheme,
    Docker Hub under one name. UsageError if it can't be a registry.
    """
    name = re.sub(r"^https?://", "", text.strip(), flags=re.IGNORECASE).rstrip("/").lower()
    if not is_registry(name) or not is_url(f"https://{name}"):
        raise UsageError(
            f"{option}: {text!r} is not the address of a registry", hint="write HOST or HOST:PORT, without a path"
        )
    return _hub(name)


def registry_settings(
    environ: Mapping[str, str],
    *,
    insecure_registry: Sequence[str] = (),
    plain_http: Sequence[str] = (),
    skip_tls_verify_registry: Sequence[str] = (),
    registry_certificate: Sequence[str] = (),
    registry_client_cert: Sequence[str] = (),
    registry_mirror: Sequence[str] = (),
    registry_map: Sequence[str] = (),
    skip_default_registry_fallback: bool = False,
) -> RegistrySettings:
    """The settings that options say, each by the name of its parameter; an option that isn't given is taken from the
    variable of its name (`COOPERY_REGISTRY_MAP`). UsageError for what can't be read or doesn't go together.
    """

    def given(values: Sequence[str], name: str) -> tuple[Sequence[str], str]:
        """The values of an option, and what to call it in messages."""
        variable = f"COOPERY_{name.upper()}"
        if values:
            return values, f"--{name.replace('_', '-')}"
        value = environ.get(variable, "")
        # In a map, `;` means something: a mirror alone belongs to what comes before it.
        parts = [value] if name == "registry_map" else value.split(";")
        return [part for part in parts if part.strip()], variable

    settings = _Builder()
    settings.insecure(*given(insecure_registry, "insecure_registry"))
    settings.flag("plain_http", *given(plain_http, "plain_http"))
    settings.flag("skip_verify", *given(skip_tls_verify_registry, "skip_tls_verify_registry"))
    settings.certificates(*given(registry_certificate, "registry_certificate"))
    settings.client_certificates(*given(registry_client_cert, "registry_client_cert"))
    settings.map(*given(registry_map, "registry_map"))
    settings.hub_mirrors(*given(registry_mirror, "registry_mirror"))
    settings.check()
    skip = skip_default_registry_fallback or _truth(environ, "COOPERY_SKIP_DEFAULT_REGISTRY_FALLBACK")
    return RegistrySettings(
        hosts=MappingProxyType(settings.hosts),
        insecure_networks=tuple(settings.networks),
        mirrors=MappingProxyType({name: tuple(dict.fromkeys(found)) for name, found in settings.mirrors.items()}),
        fallback=not skip,
        certificate_folders=_certificate_folders(environ),
    )


class _Builder:
    """Settings while they are read."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostSettings] = {}
        self.networks: list[str] = []
        self.mirrors: dict[str, list[Mirror]] = {}

    def _change(self, name: str, **changes: Any) -> None:
        self.hosts[name] = replace(self.hosts.get(name, _DEFAULT), **changes)

    def insecure(self, texts: Sequence[str], option: str) -> None:
        for text in _listed(texts):
            if "/" in text and "://" not in text:
                try:
                    self.networks.append(str(ipaddress.ip_network(text, strict=False)))
                except ValueError:
                    hint = "write HOST, HOST:PORT or a network such as 10.0.0.0/8"
                    raise UsageError(f"{option} {text!r} is not a registry or network", hint=hint) from None
            else:
                self._change(registry_name(text, option), insecure=True)

    def flag(self, name: str, texts: Sequence[str], option: str) -> None:
        for text in _listed(texts):
            self._change(registry_name(text, option), **{name: True})

    def certificates(self, texts: Sequence[str], option: str) -> None:
        for text in texts:
            name, path = _pair(text, option, "HOST=FILE, such as registry.example=/etc/ssl/ours.pem")
            self._change(name, authorities=(*self.hosts.get(name, _DEFAULT).authorities, path))

    def client_certificates(self, texts: Sequence[str], option: str) -> None:
        for text in texts:
            name, paths = _pair(text, option, "HOST=CERTIFICATE,KEY")
            certificate, comma, key = (part.strip() for part in paths.partition(","))
            if not comma or not certificate or not key:
                raise UsageError(f"{option} {text!r} names no key", hint="write HOST=CERTIFICATE,KEY")
            self._change(name, client_certificate=ClientCertificate(certificate, key))

    def map(self, texts: Sequence[str], option: str) -> None:
        for text in texts:
            original = ""
            for part in filter(None, (part.strip() for part in text.split(";"))):
                left, equals, right = part.rpartition("=")
                if equals:
                    original = registry_name(left, option)
                if not original or not right:
                    hint = "write ORIGINAL=MIRROR[/PREFIX], with more mirrors after commas and more originals after `;`"
                    raise UsageError(f"{option} {text!r} is not a map of registries", hint=hint)
                for mirror in _listed([right]):
                    self._mirror(original, mirror, option)

    def hub_mirrors(self, texts: Sequence[str], option: str) -> None:
        for text in _listed(texts):
            self._mirror(DOCKER_HUB, text, option)

    def _mirror(self, original: str, text: str, option: str) -> None:
        scheme, _, rest = text.rpartition("://")
        host, _, prefix = rest.strip("/").partition("/")
        name = registry_name(host, option)
        if scheme.lower() not in ("", "http", "https") or (prefix and not is_repository(prefix)):
            raise UsageError(f"{option} {text!r} is not a mirror", hint="write HOST[:PORT][/PREFIX]")
        if scheme.lower() == "http":
            self._change(name, plain_http=True)
        self.mirrors.setdefault(original, []).append(Mirror(name, prefix))

    def check(self) -> None:
        for name, host in self.hosts.items():
            if host.plain_http and (host.authorities or host.client_certificate or host.skip_verify):
                raise UsageError(
                    f"{name} is to be spoken to over plain HTTP, where there are no certificates",
                    hint="name it with --plain-http, or with the options for certificates",
                )


def _hub(name: str) -> str:
    return DOCKER_HUB if name in _HUB_HOSTS else name


def _listed(texts: Sequence[str]) -> list[str]:
    return [part for text in texts for part in _SEPARATORS.split(text) if part]


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    host, equals, value = text.partition("=")
    if not equals or not value.strip():
        raise UsageError(f"{option} {text!r} can't be read", hint=f"write {form}")
    return registry_name(host, option), value.strip()


def _truth(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise UsageError(f"{name}={value!r} is neither yes nor no", hint="write 1 or 0")
    return value in _TRUE


def _certificate_folders(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where podman (containers-certs.d(5)) and Docker keep registries' certificates: the user's, then the machine's."""
    home = environ.get("HOME", "").rstrip("/")
    config = environ.get("XDG_CONFIG_HOME", "").rstrip("/") or (f"{home}/.config" if home else "")
    own = [f"{config}/containers/certs.d", f"{config}/docker/certs.d"] if config else []
    return (*own, "/etc/containers/certs.d", "/etc/docker/certs.d")
