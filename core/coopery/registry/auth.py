"""Authentication without I/O: challenges, and the token exchange as a generator that yields requests.

Sources: RFC 9110 section 11 (challenges), RFC 7617 (Basic), distribution's docs/spec/auth/token.md and oauth.md.
httpx's auth flows are the model for the generator.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from coopery.errors import AuthError, RegistryError
from coopery.ports import Credential
from coopery.registry.answers import CREDENTIAL_HINT, clean, refusal, spoken
from coopery.registry.endpoint import PlainRule, is_loopback, is_url, origin, within_machine

CLIENT_ID = "coopery"
#: A token's life in seconds when the server doesn't say (token.md, "expires_in").
DEFAULT_LIFE = 60

_MAX_CHALLENGE = 8 << 10
_MAX_HOPS = 3
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"({_WORD})(?=[\s,]|$)")
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.DOTALL)
_SEPARATORS = re.compile(r"[\s,]*")
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/:|]+=*")


class Challenge(NamedTuple):
    """One way of authenticating that a server offers; scheme and parameter names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


class Scope(NamedTuple):
    """What is to be done to one repository. `str()` is the token server's spelling."""

    repository: str
    actions: tuple[str, ...]  # sorted: pull before push

    def __str__(self) -> str:
        return f"repository:{self.repository}:{','.join(self.actions)}"

    def covers(self, other: Scope) -> bool:
        """Whether whoever may do this may do `other` too."""
        return self.repository == other.repository and set(self.actions) >= set(other.actions)


#: What one request needs; the first is the repository the request is about.
Scopes = tuple[Scope, ...]
#: Nothing but to be let in, which is what logging in asks for: a scope that token servers aren't told.
ENTRY: Scopes = (Scope("", ("log in",)),)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request the caller is to send to a token server, following no redirect."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The answer to a TokenRequest."""

    status: int
    body: bytes = field(repr=False)
    location: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and its life in seconds from when it was asked for."""

    value: str = field(repr=False)
    life: float


def parse_challenges(headers: Sequence[str]) -> tuple[Challenge, ...]:
    """The challenges in an answer's WWW-Authenticate headers, in order. What can't be read is passed over."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        text = header[:_MAX_CHALLENGE]
        position = 0
        while position < len(text):
            separators = _SEPARATORS.match(text, position)
            position = separators.end() if separators else position
            if found and (match := _PARAMETER.match(text, position)):
                name, quoted, plain = match.groups()
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
                found[-1][1].setdefault(name.lower(), value)
            elif match := _SCHEME.match(text, position):
                found.append((match.group(1).lower(), {}))
            position = match.end() if match else position + 1
    return tuple(Challenge(scheme, MappingProxyType(parameters)) for scheme, parameters in found)


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """The challenge to answer: Bearer with a realm before Basic; None if there is neither."""
    bearer = (one for one in challenges if one.scheme == "bearer" and one.parameters.get("realm"))
    basic = (one for one in challenges if one.scheme == "basic")
    return next(bearer, None) or next(basic, None)


def basic(credential: Credential) -> str:
    """The Authorization header of RFC 7617 for a user name and password."""
    pair = f"{credential.username}:{credential.password}".encode("utf-8", "surrogateescape")
    return "Basic " + base64.b64encode(pair).decode()


def check_realm(realm: str, registry_url: str, plain: PlainRule = within_machine) -> str:
    """`realm` if a credential may be sent there, else AuthError.

    A token server is on HTTPS. Only a registry that is itself plain HTTP may have one that is too: on the same host,
    on this machine if the registry is, or where `plain` says so.
    """
    host = origin(registry_url).host
    if not is_url(realm):
        raise AuthError(f"{host} names a token server whose address is not a usable URL")
    where = origin(realm)
    accepted = where.host == host or (plain(where) and (is_loopback(host) or not is_loopback(where.host)))
    if where.scheme != "https" and not (origin(registry_url).scheme == "http" and accepted):
        raise AuthError(
            f"{host} asks for its credential to be sent to {where.host} over plain HTTP, which is refused",
            hint="the registry's token server (its realm) needs an https:// address",
        )
    return realm


def token_flow(
    challenge: Challenge,
    registry: str,
    registry_url: str,
    scopes: Scopes,
    credential: Credential | None,
    plain: PlainRule = within_machine,
    advise: Callable[[Scope], str] = lambda _: "",
) -> Generator[TokenRequest, TokenAnswer, Token]:
    """Exchange `credential` (None: anonymous) for a token: yields requests, is sent answers, returns the token.

    `registry` is named in messages, `registry_url` is where the challenge came from, `plain` says where a token server
    may do without TLS (`check_realm`), `advise` tells what the credential's provider knows. AuthError if the token
    server refuses, is one we don't send credentials to, or talks nonsense; RegistryError if it fails.
    """
    if credential and credential.registry_token:
        return Token(_checked(credential.registry_token, registry), DEFAULT_LIFE)
    realm = check_realm(challenge.parameters.get("realm", ""), registry_url, plain)
    request = _token_request(challenge, realm, scopes, credential)
    for _ in range(_MAX_HOPS):
        answer = yield request
        if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
            break
        url = urljoin(request.url, answer.location)
        if not is_url(url) or origin(url) != origin(request.url):
            message = f"the token server of {registry} redirects to another host, which gets no credential"
            raise AuthError(message, hint="ask for the registry's realm to be corrected")
        request = TokenRequest(request.method, url, request.headers, request.body)
    if answer.status in (400, 401, 403):
        scope = scopes[0]
        raise refusal(
            registry,
            scope.repository,
            scope.actions[-1],
            credential,
            answer.body,
            hop="token",
            server=origin(request.url).host,
            advice=advise(scope),
        )
    host = origin(request.url).host
    if answer.status != 200:
        kind = RegistryError if answer.status >= 500 or answer.status == 429 else AuthError
        message = f"the token server of {registry} ({host}) answered with status {answer.status}"
        raise kind(message, detail=spoken(answer.body))
    return _parse_token(answer.body, registry)


def _token_request(challenge: Challenge, realm: str, scopes: Scopes, credential: Credential | None) -> TokenRequest:
    service = challenge.parameters.get("service", "")
    query = [("service", service)] if service else []
    named = [str(scope) for scope in scopes if scope.repository]
    if credential and credential.identity_token:
        # oauth.md: one form field, its scopes parted by spaces.
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": CLIENT_ID,
            "scope": " ".join(named),
            "refresh_token": credential.identity_token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return TokenRequest("POST", realm, headers, urlencode(form).encode())
    query += [("scope", scope) for scope in named]
    headers = {}
    if credential and credential.username:
        query.append(("account", credential.username))
        headers["Authorization"] = basic(credential)
    joint = "&" if urlsplit(realm).query else "?"
    return TokenRequest("GET", realm.rstrip("?") + joint + urlencode(query, errors="surrogateescape"), headers)


def _parse_token(body: bytes, registry: str) -> Token:
    try:
        value = json.loads(body)
        text = value.get("token") or value.get("access_token")
        life = value.get("expires_in")
    except (ValueError, RecursionError, AttributeError):
        raise AuthError(f"the token server of {registry} answered with something that is not a token") from None
    if not isinstance(text, str):
        raise AuthError(f"the token server of {registry} answered without a token")
    if not isinstance(life, int) or life <= 0:
        life = DEFAULT_LIFE
    return Token(_checked(text, registry), min(life, 86400))


def _checked(token: str, registry: str) -> str:
    # A line break in a token would be a header of its own.
    if not _BEARER.fullmatch(token):
        raise AuthError(f"the token for {clean(registry)} has characters that tokens don't have", hint=CREDENTIAL_HINT)
    return token


class TokenCache:
    """Tokens by what they allow, with the time they end. Not locked: its owner is."""

    def __init__(self) -> None:
        self._tokens: dict[Scopes, tuple[str, float]] = {}

    def get(self, scopes: Scopes, now: float) -> str:
        """A token that covers `scopes` at `now`, or the empty string."""
        for held, (value, end) in self._tokens.items():
            if end > now and all(any(one.covers(wanted) for one in held) for wanted in scopes):
                return value
        return ""

    def put(self, scopes: Scopes, token: Token, now: float) -> None:
        """Keep `token`, asked for at `now`. It is given up a little early, for the time a request travels."""
        self._tokens[scopes] = (token.value, now + token.life - min(10.0, token.life / 4))

    def drop(self, value: str) -> None:
        """Forget a token that a registry no longer takes."""
        self._tokens = {scopes: held for scopes, held in self._tokens.items() if held[0] != value}
