"""Which proxy a URL is reached through, by the environment's usual variables. Pure.

The rules are those of Go's golang.org/x/net/http/httpproxy, which other container tools follow, so that one set of
variables serves all. (requests' own look-up changes os.environ while it works, which other threads would see.)
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from coopery.registry.endpoint import is_loopback, origin


def proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """The proxy's URL, or the empty string for a direct connection. This machine is never reached by proxy."""
    where = origin(url)
    name = f"{where.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    if not proxy or is_loopback(where.host):
        return ""
    excepted = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_matches(pattern.strip().lower(), where.host, where.port) for pattern in excepted.split(",")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _matches(pattern: str, host: str, port: int) -> bool:
    if not pattern or pattern == "*":
        return bool(pattern)
    if "/" in pattern:
        return _in_network(pattern, host)
    if pattern.count(":") > 1 and not pattern.startswith("["):
        return _in_network(pattern, host)  # an address of IPv6 on its own
    try:
        parts = urlsplit(f"//{pattern}")
        name, only = parts.hostname or "", parts.port
    except ValueError:
        return False
    if only not in (None, port):
        return False
    name = name.removeprefix("*")
    return host == name or (name.startswith(".") and host.endswith(name)) or host.endswith(f".{name}")


def _in_network(pattern: str, host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
