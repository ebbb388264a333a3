"""HTTP over urllib3: connections kept alive, time-outs, retries, and failures as NetworkError.

Only this module and `failures` know urllib3. It is what requests is made of, and it is used bare for what requests
would add: a session's .netrc and cookies, redirects of its own, and a third of a cached build's start-up time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from coopery import __version__
from coopery.errors import NetworkError
from coopery.oci.manifest import MAX_MANIFEST_SIZE
from coopery.registry.endpoint import Origin, origin
from coopery.registry.proxies import proxy_for
from coopery.registry.settings import RegistrySettings

if TYPE_CHECKING:
    import ssl

    from urllib3 import PoolManager

    from coopery.registry.tls import Trust

#: How much is read from a connection at once. At 8 KiB, pulling takes twice the CPU time.
READ_SIZE = 1 << 20
#: How much is sent at once. urllib3 sends under the connect time-out, so this bounds how slow a line may be.
SEND_SIZE = 256 << 10

#: How many requests of a kind one host gets at once.
CONNECTIONS = 6

_CONNECT_SECONDS = 20.0
_READ_SECONDS = 120.0
_LONGEST_WAIT = 60.0  # seconds, for one retry
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_USER_AGENT = f"coopery/{__version__}"
_MAX_BODY = MAX_MANIFEST_SIZE + 1


class Body(Protocol):
    """A request's body as a stream: it knows its length, which becomes Content-Length."""

    def __len__(self) -> int: ...
    def read(self, amount: int = -1, /) -> bytes: ...


#: Makes a request's body, anew for every time it is sent.
BodySource = Callable[[], Body | bytes]


class Stream:
    """A body that is read in pieces. It holds one of the host's connections until it is closed."""

    def __init__(self, raw: Any, host: str, release: Callable[[], None]) -> None:
        self._raw = raw
        self._host = host
        self._release = release
        self._open = True
        self._ended = False

    def read(self, amount: int = READ_SIZE) -> bytes:
        """Up to `amount` bytes, empty at the end. NetworkError when the connection breaks."""
        try:
            data: bytes = self._raw.read(amount, decode_content=False)
        except Exception as error:
            from coopery.registry.failures import translated

            raise translated(error, self._host)[0] from error
        self._ended = not data
        return data

    def close(self) -> None:
        """Give the connection back if the body was read to its end, and drop it otherwise. May be called again."""
        if self._open:
            self._open = False
            try:
                if self._ended:
                    self._raw.release_conn()
                else:
                    self._raw.close()
            finally:
                self._release()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `body` is all of it, or empty where a stream was asked for and the status was 200 or 206."""

    status: int
    url: str
    headers: Mapping[str, str] = field(repr=False)
    challenges: Sequence[str] = ()
    body: bytes = field(default=b"", repr=False)
    stream: Stream | None = None

    def header(self, name: str) -> str:
        """The header's value, empty if it isn't there. The name is in lower case."""
        return self.headers.get(name, "")


class Transport:
    """Sends requests, many at once if many threads do. To one host there are at most `connections` streamed answers and
    as many other exchanges at a time; the two are counted apart, so that an upload can draw on a download.
    """

    def __init__(
        self,
        *,
        settings: RegistrySettings | None = None,
        connections: int = CONNECTIONS,
        attempts: int = 4,
        probe_seconds: float = 15.0,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings or RegistrySettings()
        self._connections = connections
        self._attempts = attempts
        self._probe_seconds = probe_seconds
        self._sleep = sleep
        self._wall_clock = wall_clock
        self._environ = environ
        self._lock = threading.Lock()
        # By proxy, the empty string for direct connections; without trust for plain HTTP.
        self._pools: dict[tuple[str, Trust | None], PoolManager] = {}
        self._trusts: dict[tuple[Origin, str], Trust] = {}
        self._slots: dict[tuple[str, bool], threading.Semaphore] = {}

    def close(self) -> None:
        """Close the connections that lie idle."""
        for pool in self._pools.values():
            pool.clear()

    def wait(self, attempt: int, retry_after: str = "") -> bool:
        """Pause before retry number `attempt` (from 1): the server's wish, else twice as long each time, with jitter.

        False, without a pause, if the server wants longer than a build should stand still.
        """
        wished = _seconds(retry_after, self._wall_clock()) if retry_after else None
        if wished is None:
            jitter = int.from_bytes(os.urandom(2)) / 0xFFFF
            wished = 0.25 * 2 ** (attempt - 1) * (0.5 + jitter)
        if wished > _LONGEST_WAIT:
            return False
        self._sleep(wished)
        return True

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: BodySource | None = None,
        *,
        stream: bool = False,
        retry: bool = True,
        registry: str = "",
        probe: bool = False,
    ) -> Answer:
        """Send a request and return its answer, whatever its status. Redirects are not followed.

        With `retry` (for requests that may arrive twice), lost connections and the statuses 408, 429 and 5xx but 501
        are tried again. `registry` is on whose behalf a server is asked: its certificate authorities count. A `probe`
        is to find out whether a server answers: it gets `probe_seconds` for that, where others get two minutes.
        NetworkError when no answer came.
        """
        attempt = 1
        while True:
            last = not retry or attempt >= self._attempts
            try:
                answer = self._exchange(method, url, headers, body, stream, registry, probe)
            except Exception as error:
                from coopery.registry.failures import translated

                shown, passing = translated(error, urlsplit(url).netloc)
                if last or not passing:
                    if shown is error:
                        raise
                    raise shown from error
                self.wait(attempt)
            else:
                if answer.status == 407:  # from a proxy, for plain HTTP; for HTTPS the tunnel fails
                    raise NetworkError(
                        f"the proxy on the way to {urlsplit(url).netloc} wants to know who we are",
                        hint="put user and password into its URL: HTTP_PROXY=http://USER:PASSWORD@HOST:PORT",
                    )
                if last or answer.status not in _TRANSIENT or not self.wait(attempt, answer.header("retry-after")):
                    return answer
            attempt += 1

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: BodySource | None,
        stream: bool,
        registry: str,
        probe: bool,
    ) -> Answer:
        import urllib3

        data = body() if body else None
        sent = {"User-Agent": _USER_AGENT, **headers}
        if data is not None:
            sent["Content-Length"] = str(len(data))
        proxy = proxy_for(url, self._environ)
        pool = self._pool(proxy, self._trust(origin(url), registry))
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        if probe:
            timeout = urllib3.Timeout(connect=self._probe_seconds, read=self._probe_seconds)
        slot = self._slot(urlsplit(url).netloc.lower(), stream)
        slot.acquire()
        kept = False
        try:
            response = pool.urlopen(
                method,
                url,
                body=data or None,
                headers=sent,
                redirect=False,
                retries=False,
                timeout=timeout,
                preload_content=False,
                decode_content=False,
            )
            found = {name.lower(): value for name, value in response.headers.items()}
            challenges = response.headers.getlist("www-authenticate") if response.status == 401 else []
            reader = Stream(response, urlsplit(url).netloc, slot.release)
            kept = True
        finally:
            if not kept:
                slot.release()
        if stream and response.status in (200, 206):
            return Answer(response.status, url, found, stream=reader)
        try:
            content = _all(reader)
        finally:
            reader.close()
        return Answer(response.status, url, found, challenges, content)

    def _trust(self, where: Origin, registry: str) -> Trust | None:
        if where.scheme != "https":
            return None
        found = self._trusts.get((where, registry))
        if found is None:
            from coopery.registry.tls import trust_in

            found = self._trusts[where, registry] = trust_in(self.settings, where, registry)
        return found

    def _pool(self, proxy: str, trust: Trust | None) -> PoolManager:
        with self._lock:
            pool = self._pools.get((proxy, trust))
            if pool is None:
                pool = self._pools[proxy, trust] = self._open_pool(proxy, trust)
            return pool

    def _open_pool(self, proxy: str, trust: Trust | None) -> PoolManager:
        import urllib3

        options: dict[str, Any] = {"maxsize": 2 * self._connections, "blocksize": SEND_SIZE}
        if trust:
            options["ssl_context"] = self._context(trust)
            if not trust.verify:  # the user said so
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if not proxy:
            return urllib3.PoolManager(**options)
        if proxy.lower().startswith("https://"):
            from coopery.registry.tls import Trust

            options["proxy_ssl_context"] = self._context(Trust())
        return urllib3.ProxyManager(proxy, proxy_headers=_proxy_headers(proxy), **options)

    def _context(self, trust: Trust) -> ssl.SSLContext:
        from coopery.registry.tls import make_context

        return make_context(trust, self._environ)

    def _slot(self, host: str, stream: bool) -> threading.Semaphore:
        with self._lock:
            return self._slots.setdefault((host, stream), threading.BoundedSemaphore(self._connections))


def _proxy_headers(proxy: str) -> dict[str, str]:
    """What a proxy with a user in its URL is told of them."""
    from urllib.parse import unquote

    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    from urllib3.util import make_headers

    return make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")


def _all(reader: Stream) -> bytes:
    pieces = []
    size = 0
    while size < _MAX_BODY and (piece := reader.read(min(64 << 10, _MAX_BODY - size))):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _seconds(retry_after: str, now: float) -> float | None:
    """The pause a Retry-After header asks for (RFC 9110, section 10.2.3), in seconds; None if it can't be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
