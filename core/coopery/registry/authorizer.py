"""What authorises requests to one registry: remembers its challenge, its tokens and the credentials used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from coopery.errors import AuthError
from coopery.ports import Credential, CredentialProvider
from coopery.redact import Redactor
from coopery.registry.auth import (
    Challenge,
    Scope,
    Scopes,
    TokenAnswer,
    TokenCache,
    TokenRequest,
    basic,
    choose,
    token_flow,
)
from coopery.registry.endpoint import PlainRule, within_machine


class Authorizer:
    """Gives the Authorization header for requests to one registry. Safe to call from any thread.

    Nothing is known at first: the registry's first 401 says what it wants, and later requests come with it.
    """

    def __init__(
        self,
        registry: str,
        credentials: CredentialProvider,
        fetch: Callable[[TokenRequest], TokenAnswer],
        clock: Callable[[], float],
        plain: PlainRule = within_machine,
    ) -> None:
        """`clock` counts seconds; `plain` says where a token server may do without TLS."""
        self._plain = plain
        self._registry = registry
        self._credentials = credentials
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._minting: dict[Scopes, threading.Lock] = {}
        self._challenge: tuple[Challenge, str] | None = None
        self._tokens = TokenCache()
        self._known: dict[str, Credential | None] = {}
        #: Masks what we have sent: a registry may echo it, and its words end up in logs.
        self.redactor = Redactor()

    def credential(self, repository: str) -> Credential | None:
        """The credential in use for `repository`; the provider is asked the first time."""
        if repository not in self._known:
            self._ask(repository)
        return self._known[repository]

    def advice(self, scope: Scope) -> str:
        """What the credentials' provider knows of why `scope` was refused."""
        return self._credentials.advice(self._registry, scope.repository, scope.actions[-1])

    def header(self, scopes: Scopes) -> str:
        """The header for a request that needs `scopes`; empty while the registry hasn't asked for any."""
        challenge = self._challenge
        return self._answer(challenge[0], challenge[1], scopes, used="") if challenge else ""

    def renew(self, challenges: Sequence[Challenge], url: str, scopes: Scopes, used: str, *, fresh: bool) -> str:
        """The header to try next after a 401 from `url` for a request sent with `used`; empty if there is none.

        With a header already used, the credential provider is asked again: what it gave may have run out. `fresh`
        says that the header was made for this very request, so that only another credential could help.
        """
        challenge = choose(challenges)
        if not challenge:
            return ""
        self._challenge = (challenge, url)
        if used:
            with self._lock:
                self._tokens.drop(used.removeprefix("Bearer "))
                token = self._tokens.get(scopes, self._clock())
            if not token and not self._refresh(scopes[0].repository) and fresh:
                return ""
        header = self._answer(challenge, url, scopes, used)
        return "" if header == used else header

    def _refresh(self, repository: str) -> bool:
        """Ask the provider again; whether it gives another credential than before."""
        before = self._known.get(repository)
        self._ask(repository)
        return self._known[repository] != before

    def _ask(self, repository: str) -> None:
        found = self._credentials.get(self._registry, repository)
        if found:
            self.redactor.add(found.secrets)
        self._known[repository] = found

    def _answer(self, challenge: Challenge, url: str, scopes: Scopes, used: str) -> str:
        repository = scopes[0].repository
        if challenge.scheme == "basic":
            credential = self.credential(repository)
            return basic(credential) if credential and credential.username else ""
        with self._lock:
            lock = self._minting.setdefault(scopes, threading.Lock())
        with lock:  # of many threads that need one token, one fetches it
            with self._lock:
                token = self._tokens.get(scopes, self._clock())
            if token and f"Bearer {token}" != used:
                return f"Bearer {token}"
            try:
                return self._mint(challenge, url, scopes)
            except AuthError:
                if used or not self._refresh(repository):
                    raise
                return self._mint(challenge, url, scopes)

    def _mint(self, challenge: Challenge, url: str, scopes: Scopes) -> str:
        credential = self.credential(scopes[0].repository)
        asked = self._clock()
        flow = token_flow(challenge, self._registry, url, scopes, credential, self._plain, self.advice)
        try:
            request = next(flow)
            while True:
                request = flow.send(self._fetch(request))
        except StopIteration as end:
            token = end.value
        self.redactor.add([token.value.encode()])
        with self._lock:
            self._tokens.put(scopes, token, asked)
        return f"Bearer {token.value}"
