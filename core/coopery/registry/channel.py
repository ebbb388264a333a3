"""Authorised requests to one registry: its scheme, its challenges, and the redirects it gives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from urllib.parse import urljoin

from coopery.errors import NetworkError, RegistryError
from coopery.ports import CredentialProvider
from coopery.registry.answers import refusal
from coopery.registry.auth import Scopes, TokenAnswer, TokenRequest, parse_challenges
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
        self._authorizer = Authorizer(endpoint.registry, credentials, self._fetch_token, clock)
        self._lock = threading.Lock()
        self._base = "" if endpoint.loopback else endpoint.base("https")

    @property
    def base(self) -> str:
        """The URL that the registry's API paths are relative to.

        On this machine plain HTTP is tried first, and HTTPS if what answers isn't HTTP or says that it wants TLS.
        """
        with self._lock:
            if not self._base:
                self._base = self.endpoint.base("https" if self._wants_tls() else "http")
        return self._base

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
        return follow(answer.url, location)

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
            answer = self.transport.send(method, url, headers, body, stream=stream, retry=retry)
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
                scope = scopes[0]
                credential = self._authorizer.credential(scope.repository)
                raise refusal(self.endpoint.registry, scope.repository, scope.actions[-1], credential, answer.body)
            renewed, fresh, header = bool(header), True, better

    def _fetch_token(self, request: TokenRequest) -> TokenAnswer:
        body = (lambda: request.body) if request.body else None
        answer = self.transport.send(request.method, request.url, request.headers, body)
        return TokenAnswer(answer.status, answer.body, answer.header("location"))

    def _wants_tls(self) -> bool:
        try:
            answer = self.transport.send("GET", self.endpoint.base("http") + "v2/", {}, retry=False)
        except NetworkError as error:
            broken = error
        else:
            return answer.status == 400 and b"HTTPS" in answer.body
        try:
            self.transport.send("GET", self.endpoint.base("https") + "v2/", {}, retry=False)
        except NetworkError:
            raise broken from None
        return True
