"""Whom we trust on a TLS connection, and who we say we are: certificates from options, from certs.d and the system.

The layout of certs.d is that of dockerd ("Verify repository client with certificates") and of containers-certs.d(5): a
directory for each registry, `HOST[:PORT]`, in which *.crt are authorities, and *.cert with *.key is our own pair. What
is found adds to the system's authorities, as in both.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple

from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.oci.reference import is_registry
from coopery.registry.endpoint import Origin
from coopery.registry.settings import ClientCertificate, RegistrySettings, names_at

#: Variables that name authorities in place of the system's: those of requests, curl and OpenSSL.
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
#: Where distributions keep their authorities (Go's crypto/x509, root_linux.go): for a Python that was built elsewhere.
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class Trust(NamedTuple):
    """What decides about a TLS connection."""

    verify: bool = True
    authorities: tuple[str, ...] = ()  # PEM files, besides the system's
    client: ClientCertificate | None = None


def trust_in(settings: RegistrySettings, where: Origin, registry: str = "") -> Trust:
    """How the server at `where` is to be trusted, asked for itself or on behalf of `registry`.

    A registry's own authorities also vouch for its token server and its storage, which often share them; to skip
    verification, or to show a certificate of ours, is for the registry alone. Reads certs.d. UsageError for
    authorities or certificates that aren't there.
    """
    own = settings.at(where)
    authorities: list[str] = []
    pair = own.client_certificate
    for folder in settings.certificate_folders:
        for name in names_at(where):
            if not is_registry(name):  # `..`, say: it names no directory of a registry's
                continue
            found, theirs = _read_folder(f"{folder}/{name}")
            authorities += found
            pair = pair or theirs
    for path in own.authorities:
        if os.path.isdir(path):
            found, theirs = _read_folder(path)
            authorities += found
            pair = pair or theirs
            if not found and not theirs:
                raise UsageError(f"{path} holds no certificates", hint="authorities are files that end in .crt")
        else:
            authorities.append(path)
    if registry:
        authorities += _vouching(settings, registry)
    return Trust(not (own.skip_verify or own.insecure), tuple(dict.fromkeys(authorities)), pair)


def make_context(trust: Trust, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The TLS settings that `trust` means. UsageError for files that can't be used, EnvironmentUnsuitable for the
    variables' authorities.
    """
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    if trust.verify:
        _load_system(context, environ)
        for path in trust.authorities:
            _load(context, path)
        if trust.authorities:
            # What Go's verifier takes, and with it Docker's: authorities of one's own often lack key identifiers.
            context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.client:
        _load_pair(context, trust.client)
    return context


def _vouching(settings: RegistrySettings, registry: str) -> list[str]:
    found: list[str] = []
    for folder in settings.certificate_folders:
        found += _read_folder(f"{folder}/{registry}")[0]
    for path in settings.host(registry).authorities:
        found += _read_folder(path)[0] if os.path.isdir(path) else [path]
    return found


def _read_folder(folder: str) -> tuple[list[str], ClientCertificate | None]:
    """Authorities, and the first pair by name, in one registry's directory; nothing if it isn't there."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return [], None
    except OSError as error:
        raise UsageError(f"{folder} can't be read: {error.strerror}") from error
    pair = None
    for name in names:
        stem, _, kind = name.rpartition(".")
        other = {"cert": "key", "key": "cert"}.get(kind)
        if other and f"{stem}.{other}" not in names:
            raise UsageError(
                f"{folder} has {name} without {stem}.{other}",
                hint="a certificate of ours is a .cert with its .key; authorities end in .crt",
            )
        if kind == "cert" and not pair:
            pair = ClientCertificate(f"{folder}/{name}", f"{folder}/{stem}.key")
    return [f"{folder}/{name}" for name in names if name.endswith(".crt")], pair


def _load_system(context: ssl.SSLContext, environ: Mapping[str, str]) -> None:
    for name in _VARIABLES:
        if path := environ.get(name):
            if not os.path.exists(path):
                raise EnvironmentUnsuitable(f"{name} names {path}, which isn't there")
            try:
                context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
            except OSError as error:
                raise EnvironmentUnsuitable(f"{name} names {path}, which holds no usable certificates") from error
            return
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        context.load_default_certs()
        return
    known = next((path for path in _SYSTEM if os.path.exists(path)), None)
    if known:
        context.load_verify_locations(cafile=known)


def _load(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        hint = "an authority is a PEM file: -----BEGIN CERTIFICATE-----"
        raise UsageError(f"{path} holds no usable certificates", hint=hint) from error
    except OSError as error:
        raise UsageError(f"{path}, authorities for a registry, can't be read: {error.strerror}") from error


def _load_pair(context: ssl.SSLContext, pair: ClientCertificate) -> None:
    for path in pair:
        if not os.path.exists(path):
            raise UsageError(f"{path}, of a certificate for a registry, isn't there")
    try:
        # Without the function, OpenSSL would ask the terminal for a passphrase.
        context.load_cert_chain(pair.certificate, pair.key, password=lambda: b"")
    except OSError as error:
        raise UsageError(
            f"{pair.certificate} and {pair.key} are no certificate and key that can be used",
            hint="both are PEM, the key belongs to the certificate and has no passphrase",
        ) from error
