"""The job's own identity, which its CI system vouches for by OpenID Connect, in place of a stored password.

What a registry's cloud wants in exchange for such a token is configured there; an `Identity` says which role,
connection, provider or application that is. Tokens are minted afresh for every login, since they live for minutes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coopery.credentials.cloud import Cloud, CloudProvider, LoginFailed, NoIdentity
from coopery.credentials.keys import matching, parse_key
from coopery.errors import CooperyError, UsageError
from coopery.ports import Credential

_LONGEST_CLAIM = 200


@dataclass(frozen=True, slots=True)
class JobTokens:
    """Where the job's tokens come from: `source` gives one for an audience, None if the job has none, in which case
    `help` says how it would get one. CooperyError of `source`: the CI system refused.
    """

    source: Callable[[str], str | None]
    help: Callable[[str], str]

    def mint(self, audience: str) -> str:
        """A fresh token for `audience`. LoginFailed, or NoIdentity."""
        try:
            token = self.source(audience)
        except CooperyError as error:
            raise LoginFailed("identity", error.message, error.hint) from None
        if not token:
            raise NoIdentity("identity", f"this job has no OIDC token for {audience}", self.help(audience))
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRole:
    """A role to assume. Without a region it is done in that of the registry."""

    arn: str
    region: str = ""
    session: str = "coopery"  # what the role's sessions are called in AWS's logs
    seconds: int = 3600  # that a session lasts

    def __post_init__(self) -> None:
        _check(
            "role", self.arn, r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", "arn:aws:iam::123456789012:role/NAME"
        )
        _check("region", self.region, r"[a-z0-9-]*", "eu-central-1")
        _check("session", self.session, r"[\w+=,.@-]{2,64}", "coopery")
        if not 900 <= self.seconds <= 43200:
            raise UsageError(f"a session of {self.seconds} seconds can't be had", hint="AWS allows 900 to 43200")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConnection:
    """An OIDC connection of an organization on Docker Hub."""

    connection: str
    organization: str
    seconds: int = 3600  # that a login lasts

    def __post_init__(self) -> None:
        _check("connection", self.connection, r"[A-Za-z0-9-]+", "123e4567-e89b-42d3-a456-426614174000")
        _check("organization", self.organization, r"[A-Za-z0-9_-]+", "acme")
        if not 300 <= self.seconds <= 3600:
            raise UsageError(f"a login of {self.seconds} seconds can't be had", hint="Docker allows 300 to 3600")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleWorkload:
    """A workload identity provider, and the service account to act as; without one the identity acts itself."""

    provider: str
    service_account: str = ""

    def __post_init__(self) -> None:
        pattern = r"projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+"
        example = "projects/1234567/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
        _check("workload-identity-provider", self.provider, pattern, example)
        _check(
            "service-account",
            self.service_account,
            r"(?:[a-z0-9-]+@[a-z0-9.-]+)?",
            "ci@project.iam.gserviceaccount.com",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureApplication:
    """An application, or a managed identity, with a federated credential."""

    client_id: str
    tenant_id: str

    def __post_init__(self) -> None:
        _check("client-id", self.client_id, r"[A-Za-z0-9-]+", "00000000-0000-0000-0000-000000000000")
        _check("tenant-id", self.tenant_id, r"[A-Za-z0-9.-]+", "00000000-0000-0000-0000-000000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the job is at a registry, or in a namespace of it: `place` is written as in auth files."""

    place: str
    who: AwsRole | HubConnection | GoogleWorkload | AzureApplication
    tokens: JobTokens


class Identities:
    """The logins of the job's identities (a `CredentialProvider`).

    A login that fails is an AuthError: the identity was asked for, and no other stands in. Only where the job has no
    token at all is there no login, as in a fork's job that pulls public images; `advice` then says why.
    """

    def __init__(self, identities: Sequence[Identity]) -> None:
        """UsageError if an identity is of another cloud than its registry."""
        self._providers = {identity.place: CloudProvider(_cloud(identity), strict=True) for identity in identities}

    def get(self, registry: str, repository: str) -> Credential | None:
        """The login of the identity with the longest namespace that the repository lies in. AuthError."""
        provider = self._find(registry, repository)
        return provider.get(parse_key(registry).host, repository) if provider else None

    def advice(self, registry: str, repository: str, action: str) -> str:
        """Why there is no login, or what the login's identity needs."""
        provider = self._find(registry, repository)
        return provider.advice(parse_key(registry).host, repository, action) if provider else ""

    def _find(self, registry: str, repository: str) -> CloudProvider | None:
        found = matching(self._providers, registry, repository)
        return self._providers[found[0]] if found else None


def _cloud(identity: Identity) -> Cloud:
    from coopery.credentials.aws import Aws
    from coopery.credentials.azure import Azure
    from coopery.credentials.dockerhub import DockerHub
    from coopery.credentials.google import Google

    who, tokens = identity.who, identity.tokens
    cloud: Cloud
    match who:
        case AwsRole():
            cloud = Aws(who, tokens)
        case HubConnection():
            cloud = DockerHub(connection=who, tokens=tokens)
        case GoogleWorkload():
            cloud = Google(who, tokens)
        case AzureApplication():
            cloud = Azure(who, tokens)
    host = parse_key(identity.place).host
    if not cloud.serves(host):
        raise UsageError(f"{host} is no registry of {cloud.name}", hint="log in there with a user name and password")
    return cloud


def _check(name: str, value: str, pattern: str, example: str) -> None:
    if not re.fullmatch(pattern, value, re.ASCII):
        raise UsageError(f"{name} is {value!r}", hint=f"write it like {example}")


def read_claims(token: str) -> Mapping[str, Any]:
    """What a JSON Web Token says (RFC 7519), unverified; empty if it can't be read."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    except (ValueError, LookupError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def who_says(token: str) -> str:
    """What trust is configured by, for a message: the token's issuer, subject and audience. It tells no secret."""
    claims = read_claims(token)
    said = [f"{name}={claims[name]!r}"[:_LONGEST_CLAIM] for name in ("iss", "sub", "aud") if name in claims]
    return f"the job's token says {', '.join(said)}" if said else "the job's token can't be read"
