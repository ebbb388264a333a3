"""Authorised requests to one registry: its scheme, its challenges, and the redirects it gives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urljoin

from coopery.errors import AuthError, NetworkError, RegistryError
from coopery.ports import CredentialProvider
from coopery.registry.answers import refusal
from coopery.registry.auth import Scope, Scopes, TokenAnswer, TokenRequest, parse_challenges
from coopery.registry.authorizer import Authorizer
from coopery.registry.endpoint import Endpoint, follow, origin
from coopery.registry.transport import Answer, BodySource, Transport

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5


class Channel:
    """One registry, as all requests to it are sent. Safe to use from any thread.

    Credentials go to the registry's own origin and to its token server, nowhere else; a challenge from any other
    host stays unanswered.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        credentials: CredentialProvider,
        clock: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.transport = transport
        #: Pairs of repositories, to and from, between which we may not mount blobs: asking once is enough.
        self.unmountable: set[tuple[str, str]] = set()
        #: Whether the registry has said that it doesn't take blobs in parts.
        self.whole_uploads = False
        self._settings = transport.settings.host(endpoint.registry)
        plain = transport.settings.may_be_plain
        self._authorizer = Authorizer(endpoint.registry, credentials, self._fetch_token, clock, plain)
        self._lock = threading.Lock()
        self._base = self._known_base()

    @property
    def base(self) -> str:
        """The URL that the registry's API paths are relative to.

        On this machine plain HTTP is tried first, and HTTPS if what answers isn't HTTP or says that it wants TLS. With
        a registry that was declared insecure it is the other way round, as in Docker. All others speak HTTPS.
        """
        with self._lock:
            if not self._base:
                tls = self._offers_tls() if self._settings.insecure else self._wants_tls()
                self._base = self.endpoint.base("https" if tls else "http")
        return self._base

    def reach(self) -> None:
        """Return if the registry gives any answer, asked once; NetworkError if it doesn't."""
        self._probe(self.base)

    def send(
        self,
        method: str,
        target: str,
        scopes: Scopes,
        *,
        headers: Mapping[str, str] | None = None,
        body: BodySource | None = None,
        stream: bool = False,
        retry: bool = True,
    ) -> Answer:
        """The answer to a request that needs `scopes`: a path of the API, or a URL that `location` gave.

        Redirects of GET and HEAD are followed. AuthError if the registry refuses whoever we are.
        """
        url = urljoin(self.base, target)
        for _ in range(_MAX_REDIRECTS):
            answer = self._authorised(method, url, scopes, dict(headers or {}), body, stream, retry)
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return answer
            url = self.location(answer)
        raise RegistryError(f"{self.endpoint.registry} redirects in circles")

    def location(self, answer: Answer) -> str:
        """The absolute URL of an answer's Location header; RegistryError if there is none that may be used."""
        location = answer.header("location")
        if not location:
            raise RegistryError(f"{self.endpoint.registry} answered {answer.status} without a Location")
        return follow(answer.url, location, self.transport.settings.may_be_plain)

    def _authorised(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        headers: dict[str, str],
        body: BodySource | None,
        stream: bool,
        retry: bool,
    ) -> Answer:
        own = origin(url) == origin(self.base)
        header = self._authorizer.header(scopes) if own else ""
        fresh = renewed = False
        while True:
            if header:
                headers["Authorization"] = header
            answer = self._send(method, url, headers, body, stream=stream, retry=retry)
            if answer.status not in (401, 403):
                return answer
            if not own:
                host = origin(url).host
                message = f"{host}, where {self.endpoint.registry} sent us, answered with status {answer.status}"
                raise RegistryError(message)
            better = ""
            if answer.status == 401 and not renewed:
                challenges = parse_challenges(answer.challenges)
                better = self._authorizer.renew(challenges, url, scopes, header, fresh=fresh)
            if not better:
                raise self._refusal(scopes[0], answer, header)
            renewed, fresh, header = bool(header), True, better

    def _refusal(self, scope: Scope, answer: Answer, header: str) -> AuthError:
        """The error for an answer to a request sent with `header`: a token server's token says who we are."""
        known = answer.status == 403 or header.startswith("Bearer ")
        return refusal(
            self.endpoint.registry,
            scope.repository,
            scope.actions[-1],
            self._authorizer.credential(scope.repository),
            answer.body,
            hop="scope" if known else "identity",
            advice=self._authorizer.advice(scope),
        )

    def _fetch_token(self, request: TokenRequest) -> TokenAnswer:
        body = (lambda: request.body) if request.body else None
        answer = self._send(request.method, request.url, request.headers, body)
        return TokenAnswer(answer.status, answer.body, answer.header("location"))

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: BodySource | None = None,
        *,
        stream: bool = False,
        retry: bool = True,
    ) -> Answer:
        registry = self.endpoint.registry
        answer = self.transport.send(method, url, headers, body, stream=stream, retry=retry, registry=registry)
        if answer.status < 400:
            return answer
        masked = self._authorizer.redactor
        shown = {name: masked.text(value) for name, value in answer.headers.items()}
        return replace(answer, headers=shown, body=masked(answer.body))

    def _probe(self, base: str) -> Answer:
        """What the API's root answers, asked once, of a server that may not be there."""
        return self.transport.send("GET", base + "v2/", {}, retry=False, registry=self.endpoint.registry, probe=True)

    def _known_base(self) -> str:
        """The base where it needs no asking, else the empty string."""
        settings = self._settings
        if settings.plain_http:
            return self.endpoint.base("http")
        certified = settings.authorities or settings.client_certificate or settings.skip_verify
        open_question = settings.insecure or (self.endpoint.loopback and not certified)
        return "" if open_question else self.endpoint.base("https")

    def _offers_tls(self) -> bool:
        try:
            self._probe(self.endpoint.base("https"))
        except NetworkError as error:
            broken = error
        else:
            return True
        try:
            self._probe(self.endpoint.base("http"))
        except NetworkError:
            raise broken from None
        return False

    def _wants_tls(self) -> bool:
        try:
            answer = self._probe(self.endpoint.base("http"))
        except NetworkError as error:
            broken = error
        else:
            return answer.status == 400 and b"HTTPS" in answer.body
        try:
            self._probe(self.endpoint.base("https"))
        except NetworkError:
            raise broken from None
        return True
