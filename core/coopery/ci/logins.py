"""Who we are to registries: what the settings say, then what the platform gives its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coopery.ci.platform import Login, Platform
from coopery.ci.secrets import SecretStore
from coopery.ci.settings import RegistryEntry
from coopery.credentials.keys import matching, parse_key
from coopery.credentials.providers import Logins
from coopery.errors import CooperyError
from coopery.ports import Credential, CredentialProvider

if TYPE_CHECKING:
    from coopery.credentials.identity import AwsRole, AzureApplication, GoogleWorkload, HubConnection


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the login for a registry, or a namespace in it, would come from; holds no secret."""

    place: str
    origin: str
    group: str  # the provider: which of several is asked is decided among those of one
    pull_only: bool = False


class PlatformLogins:
    """The logins that the platform gives (a `CredentialProvider`)."""

    def __init__(self, logins: Sequence[Login]) -> None:
        self._logins: dict[str, Login] = {}
        for login in logins:
            self._logins.setdefault(place_of(login), login)

    def get(self, registry: str, repository: str) -> Credential | None:
        """The login with the longest namespace that the repository lies in."""
        login = self._find(registry, repository)
        return Credential(login.username, login.password) if login else None

    def advice(self, registry: str, repository: str, action: str) -> str:
        """Which login was used."""
        login = self._find(registry, repository)
        return f"{login.origin} was used; it may lack the right to {action} here" if login else ""

    def _find(self, registry: str, repository: str) -> Login | None:
        found = matching(self._logins, registry, repository)
        return self._logins[found[0]] if found else None


class NamedPasswords:
    """The user names and passwords that the settings name (a `CredentialProvider`); looked up when they are needed."""

    def __init__(self, entries: Mapping[str, RegistryEntry], store: SecretStore) -> None:
        self._entries = entries
        self._store = store

    def get(self, registry: str, repository: str) -> Credential | None:
        """The login of the entry with the longest namespace; None too if its password isn't there."""
        entry = self._find(registry, repository)
        password = self._store.text(entry.password) if entry else ""
        return Credential(self._store.plain(entry.username), password) if entry and password else None

    def advice(self, registry: str, repository: str, action: str) -> str:
        """Where the password comes from, and whether it is there."""
        entry = self._find(registry, repository)
        if entry is None:
            return ""
        if not self._store.text(entry.password):
            return f"the settings name the password {entry.password}, which isn't there"
        return f"the settings' password {entry.password} was used; it may lack the right to {action} here"

    def _find(self, registry: str, repository: str) -> RegistryEntry | None:
        found = matching(self._entries, registry, repository)
        return self._entries[found[0]] if found else None


def make_logins(registries: Mapping[str, RegistryEntry], platform: Platform, store: SecretStore) -> Logins:
    """The providers for a run. What the settings say comes first; a login that is for pulls serves no push.

    UsageError, with its place, for an identity that can't be.
    """
    named = _named(registries, platform, store)
    given = platform.credentials()
    full = [login for login in given if not login.pull_only]
    push: tuple[CredentialProvider, ...] = (*named, PlatformLogins(full)) if full else named
    if len(full) == len(given):
        return Logins(push, push)
    return Logins(push, (*named, PlatformLogins(given)))


def _named(
    registries: Mapping[str, RegistryEntry], platform: Platform, store: SecretStore
) -> tuple[CredentialProvider, ...]:
    passwords = {place: entry for place, entry in registries.items() if entry.password}
    providers: list[CredentialProvider] = [NamedPasswords(passwords, store)] if passwords else []
    others = {place: entry for place, entry in registries.items() if _identity_of(entry)}
    if others:
        from coopery.credentials.identity import Identities, Identity, JobTokens

        def token(audience: str) -> str | None:
            found = platform.identity_token(audience)
            if found:
                store.mask(found)
            return found

        tokens = JobTokens(token, platform.identity_help)
        identities = []
        for place, entry in others.items():
            try:
                identities.append(Identity(place=place, who=_who(entry), tokens=tokens))
                Identities(identities[-1:])
            except CooperyError as error:
                entry.spot.blame(error)
                raise
        providers.append(Identities(identities))
    return tuple(providers)


def _who(entry: RegistryEntry) -> AwsRole | HubConnection | GoogleWorkload | AzureApplication:
    from coopery.credentials.identity import AwsRole, AzureApplication, GoogleWorkload, HubConnection

    if entry.role:
        return AwsRole(arn=entry.role, region=entry.region)
    if entry.connection:
        return HubConnection(connection=entry.connection, organization=entry.organization)
    if entry.workload_identity_provider:
        return GoogleWorkload(provider=entry.workload_identity_provider, service_account=entry.service_account)
    return AzureApplication(client_id=entry.client_id, tenant_id=entry.tenant_id)


def _identity_of(entry: RegistryEntry) -> str:
    """The identity that the job has at a registry, for messages; empty if it has none."""
    if entry.connection:
        return f"{entry.organization} by the connection {entry.connection}"
    return entry.role or entry.service_account or entry.workload_identity_provider or entry.client_id


def login_origins(registries: Mapping[str, RegistryEntry], platform: Platform, store: SecretStore) -> list[Origin]:
    """Where each login would come from, in the order in which they are looked at."""
    found = []
    for place, entry in registries.items():
        if entry.password:
            there = "" if store.find(entry.password) else ", which isn't there"
            found.append(Origin(place, f"{entry.password}, by the settings{there}", "password"))
    for place, entry in registries.items():
        if identity := _identity_of(entry):
            found.append(Origin(place, f"the job's OIDC token, as {identity}", "identity"))
    found += [Origin(place_of(login), login.origin, "platform", login.pull_only) for login in platform.credentials()]
    return found


def place_of(login: Login) -> str:
    """The registry, or the namespace, that a login is for, in the spelling that keys of auth files have."""
    return str(parse_key(f"{login.host}/{login.namespace}".rstrip("/")))
