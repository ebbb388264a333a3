"""Where a registry's API is, and which URLs a registry may send its client to. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from coopery.errors import RegistryError, UsageError
from coopery.oci.reference import DOCKER_HUB

_HUB_API = "registry-1.docker.io"
# Anything else in a URL is read differently by one parser or another, and then "same host" means nothing.
_URL = re.compile(r"https?://[A-Za-z0-9.\-_:\[\]]+(?:[/?][!-\[\]-~]*)?", re.IGNORECASE)
_LOOPBACK_V4 = re.compile(r"127(?:\.\d{1,3}){3}")
#: The ports that URLs leave out.
PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """What must be equal for two URLs to be of one server (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int


#: Says with which servers plain HTTP is acceptable.
PlainRule = Callable[[Origin], bool]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registry: its name in references, and the host (with its port) that answers for it."""

    registry: str
    host: str

    @classmethod
    def of(cls, registry: str) -> Endpoint:
        """The endpoint for a reference's `registry`; Docker Hub's API has a host of its own.

        UsageError if it can't be an address (a port of 99999, say).
        """
        host = _HUB_API if registry == DOCKER_HUB else registry
        if not is_url(f"https://{host}"):
            raise UsageError(f"{registry!r} is not the address of a registry")
        return cls(registry, host)

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, where plain HTTP is acceptable."""
        return is_loopback(urlsplit(f"//{self.host}").hostname or "")

    def base(self, scheme: str) -> str:
        """The URL that API paths are relative to."""
        return f"{scheme}://{self.host}/"


def is_loopback(host: str) -> bool:
    """Whether `host`, without a port, can only be this machine."""
    return host in ("localhost", "::1") or _LOOPBACK_V4.fullmatch(host) is not None


def is_url(text: str) -> bool:
    """Whether `text` is an http(s) URL without user information that all parsers read alike."""
    if not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def origin(url: str) -> Origin:
    """The origin of a URL that `is_url` accepts."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return Origin(scheme, parts.hostname or "", parts.port or PORTS[scheme])


def within_machine(where: Origin) -> bool:
    """The plain rule of those who configured nothing: this machine, where nobody else can listen."""
    return is_loopback(where.host)


def follow(base: str, location: str, plain: PlainRule = within_machine) -> str:
    """The URL that a `Location` header of an answer from `base` names.

    An HTTPS registry that calls itself http:// (behind a proxy that ends TLS) is kept on HTTPS. RegistryError if the
    URL is malformed, or would take the exchange from HTTPS to plain HTTP, or from this machine to a server for which
    `plain` doesn't allow it. What is plain HTTP on a network already may go on like that.
    """
    try:
        # urljoin would drop line breaks and tabs without a word.
        url = urljoin(base, location).partition("#")[0] if location.isprintable() else ""
    except ValueError:
        url = ""
    if not is_url(url):
        raise RegistryError(f"{origin(base).host} answered with a Location that is not a usable URL")
    start, end = origin(base), origin(url)
    if (start.scheme, end.scheme) == ("https", "http") and start.host == end.host:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return urljoin(base, "/") + parts.path.lstrip("/") + query
    already_open = start.scheme == "http" and not is_loopback(start.host)
    if end.scheme == "http" and (start.scheme == "https" or not (already_open or plain(end))):
        raise RegistryError(f"{start.host} sends us to {end.host} over plain HTTP, which is refused")
    return url
