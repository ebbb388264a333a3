"""What went wrong with a connection, from urllib3's many exceptions to one sentence."""

from __future__ import annotations

import socket
import ssl
from typing import Any, TypeVar

import urllib3

from coopery.errors import NetworkError, RegistryError
from coopery.registry.answers import clean

#: What OpenSSL calls the alerts of a server that wants a certificate, or another one.
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_HANDSHAKE_FAILURE", "ALERT_UNKNOWN_CA")
#: How http.client begins its error for a CONNECT that a proxy refused.
_TUNNEL = "Tunnel connection failed: "

E = TypeVar("E", bound=BaseException)


def translated(error: Exception, host: str) -> tuple[Exception, bool]:
    """The error to raise in place of `error` from an exchange with `host`, and whether trying again may help.

    An error that isn't the connection's (from reading the body to be sent, say) comes back as it is.
    """
    if isinstance(error, NetworkError):  # translated already, while the answer was read
        return error, True
    ours = (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError, ssl.SSLError)
    if not isinstance(error, ours):
        return error, False
    chain = _chain(error)
    if untrusted := _first(chain, ssl.SSLCertVerificationError):
        hint = (
            "name the registry's certificate authority with --registry-certificate HOST=FILE, put it into certs.d, "
            "or name all authorities with SSL_CERT_FILE"
        )
        message = f"the certificate of {host} is not trusted: {untrusted.verify_message}"
        return NetworkError(message, hint=hint), False
    if broken := _first(chain, ssl.SSLError):
        reason = broken.reason or "broken handshake"
        hint = "does it speak plain HTTP? only registries on this machine may, and those of --insecure-registry"
        if any(word in reason for word in _WANTS_CERTIFICATE):
            hint = "it may want a certificate of ours: --registry-client-cert HOST=CERTIFICATE,KEY, or certs.d"
        return NetworkError(f"TLS with {host} failed: {reason}", hint=hint), False
    if unknown := _first(chain, socket.gaierror):
        hint = "check the registry's name, and this machine's DNS"
        return NetworkError(f"{host} can't be found: {unknown.strerror}", hint=hint), unknown.errno == socket.EAI_AGAIN
    if _first(chain, urllib3.exceptions.ProxyError) or _first(chain, urllib3.exceptions.ProxySchemeUnknown):
        hint = "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        refused = next((one for one in chain if str(one).startswith(_TUNNEL)), None)
        said = str(refused).removeprefix(_TUNNEL)[:100] if refused else ""
        # A proxy that refuses a tunnel answers with a status; it will say the same again.
        message = f"the proxy on the way to {host} failed{': ' if said else ''}{clean(said)}"
        return NetworkError(message, hint=hint), not said.startswith("4")
    if isinstance(error, (urllib3.exceptions.LocationValueError, urllib3.exceptions.InvalidHeader)):
        return RegistryError(f"{host} is not an address that can be asked"), False
    if _first(chain, ConnectionRefusedError):
        return NetworkError(f"{host} refused the connection", hint="is the registry running, and the port right?"), True
    if _first(chain, TimeoutError) or _first(chain, urllib3.exceptions.TimeoutError):
        hint = "check the network, its firewall and its proxy settings"
        return NetworkError(f"{host} did not answer in time", hint=hint), True
    causes = [one for one in chain if isinstance(one, OSError) and one.strerror]
    reason = f": {causes[0].strerror}" if causes else ""
    return NetworkError(f"the connection to {host} failed{reason}", hint="trying again may help"), True


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and everything it was made from: causes, contexts, urllib3's reasons and exceptions as arguments."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _first(chain: list[BaseException], kind: type[E]) -> E | None:
    return next((one for one in chain if isinstance(one, kind)), None)
