"""Opens the object stores that specifications name, through obstore, as the job's environment says we may.

What a specification leaves out comes from the variables that BuildKit reads and from those of the clouds' own tools.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from coopery.cache.objects import ObjectCache
from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.request import CacheSpec, CacheType, ObjectPlace

#: Tokens are sent to these alone: anybody may have named the server, and a token is all that it takes to be us.
_AZURE = re.compile(
    r"[a-z0-9-]+(\.[a-z0-9]+)?\.(blob|dfs)\.(core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)|storage\.azure\.net)"
)
_SECRET_VARIABLES = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN"),
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY", "AZURE_STORAGE_SAS_KEY"),
    *("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"),
    *("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN"),
)
_AZURE_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
#: With one of these, obstore knows who we are on AWS by itself.
_AWS_IDENTITIES = (
    *("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
_LIFE = timedelta(minutes=30)  # of credentials that don't say when they end
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


def open_objects(spec: CacheSpec, environ: Mapping[str, str], mask: Callable[[bytes], None]) -> ObjectCache:
    """The cache of an `OBJECT_STORES` type. `mask` is told every secret before it is used.

    UsageError if something is missing in the specification and in the environment; EnvironmentUnsuitable without
    obstore. Nothing is asked yet.
    """
    try:
        import obstore.store  # noqa: F401
    except ImportError as error:
        raise EnvironmentUnsuitable(
            f"caches of type {spec.type} need the package obstore",
            hint="install the extra: pip install coopery[objects]",
        ) from error
    place = spec.objects or ObjectPlace()
    for secret in (place.secret, place.session_token, *(environ.get(name, "") for name in _SECRET_VARIABLES)):
        if secret:
            mask(secret.encode("utf-8", "surrogateescape"))
    store, where = _STORES[spec.type](place, environ)
    return ObjectCache(store, f"{spec.type} {where}", place)


def _s3(place: ObjectPlace, environ: Mapping[str, str]) -> tuple[Any, str]:
    from obstore.store import S3Store

    bucket = _needed("s3", "bucket", place.bucket, environ, "AWS_BUCKET")
    endpoint = place.endpoint or _first(environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL").rstrip("/")
    region = place.region or _first(environ, "AWS_REGION", "AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else "")
    if not region:
        raise UsageError("type=s3: nothing says in which region the bucket is", hint="add region=… or set AWS_REGION")
    config: dict[str, Any] = {"region": region, "virtual_hosted_style_request": False}
    parts = urlsplit(endpoint)
    # A certificate for *.HOST isn't one for A.B.HOST, and an address has no names below it.
    if not place.path_style and "." not in bucket and not _is_address(parts.hostname or ""):
        config["virtual_hosted_style_request"] = True
        endpoint = endpoint and parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
    if endpoint:
        config["endpoint"] = endpoint
        # It may stand in the environment as well, without the bucket, and would come first.
        config["aws_endpoint_url_s3"] = endpoint
    if place.secret:
        config |= {"access_key_id": place.key_id, "secret_access_key": place.secret}
        config |= {"session_token": place.session_token} if place.session_token else {}
    elif provider := _aws_profile(environ):
        config["credential_provider"] = provider
    return S3Store(bucket, **config, **_client(endpoint, place)), f"{parts.netloc or region}/{bucket}"


def _azblob(place: ObjectPlace, environ: Mapping[str, str]) -> tuple[Any, str]:
    from obstore.store import AzureStore

    variable = "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL"
    url = _needed("azblob", "account_url", place.endpoint, environ, variable).rstrip("/")
    host = (urlsplit(url).hostname or "").lower()
    account = place.account or _first(environ, "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME") or host.split(".")[0]
    container = place.bucket or _first(environ, "BUILDKIT_AZURE_STORAGE_CONTAINER") or "buildkit-cache"
    config: dict[str, Any] = {"account_name": account, "endpoint": url}
    key = place.secret or _first(environ, *_AZURE_KEYS)
    if place.secret or not _AZURE.fullmatch(host) or url.startswith("http:"):
        if not key:
            hint = "add secret_access_key=… or set AZURE_STORAGE_ACCOUNT_KEY: tokens are sent to Azure's own hosts only"
            raise UsageError(f"type=azblob: {host} needs an account key", hint=hint)
        config |= {"account_key": key, "credential_type": "access_key"}
    return AzureStore(container, **config, **_client(url, place)), f"{host}/{container}"


def _gcs(place: ObjectPlace, environ: Mapping[str, str]) -> tuple[Any, str]:
    from obstore.store import GCSStore

    bucket = _needed("gcs", "bucket", place.bucket, environ, "GOOGLE_BUCKET")
    config: dict[str, Any] = {}
    # The variable by which Google's own libraries know an emulator, which wants to know nobody.
    emulator = _first(environ, "STORAGE_EMULATOR_HOST").rstrip("/")
    if emulator:
        emulator = emulator if "://" in emulator else f"http://{emulator}"
        config |= {"base_url": emulator, "bearer_token": "emulator"}
    elif provider := _google_federated(environ):
        config["credential_provider"] = provider
    return GCSStore(bucket, **config, **_client(emulator, place)), bucket


_STORES: Mapping[CacheType, Callable[[ObjectPlace, Mapping[str, str]], tuple[Any, str]]] = {
    "s3": _s3,
    "azblob": _azblob,
    "gcs": _gcs,
}


def _client(url: str, place: ObjectPlace) -> dict[str, Any]:
    """Time-outs and retries like those for registries; plain HTTP if the URL says so."""
    seconds = {"connect_timeout": 20, "read_timeout": 120, "timeout": 3600}
    options = {name: timedelta(seconds=value) for name, value in seconds.items()}
    retries = {
        "max_retries": place.attempts - 1,
        "retry_timeout": timedelta(minutes=3),
        "backoff": {"init_backoff": timedelta(milliseconds=250), "max_backoff": timedelta(seconds=15), "base": 2},
    }
    return {"client_options": options | {"allow_http": url.startswith("http:")}, "retry_config": retries}


def _needed(type_: str, key: str, given: str, environ: Mapping[str, str], variable: str) -> str:
    value = given or environ.get(variable, "")
    if not value:
        raise UsageError(f"type={type_}: nothing says where it is", hint=f"add {key}=… or set {variable}")
    return value


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environ.get(name, ""))), "")


def _is_address(host: str) -> bool:
    return host == "localhost" or ":" in host or re.fullmatch(r"[0-9.]+", host) is not None


def _aws_profile(environ: Mapping[str, str]) -> Callable[[], dict[str, Any]] | None:
    """Who AWS's own files say we are, if there are such files and nothing else says it: read by botocore, if that is
    installed (`coopery[aws]`). obstore doesn't read them."""
    home = os.path.join(environ.get("HOME", ""), ".aws")
    files = [
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, "credentials"),
        environ.get("AWS_CONFIG_FILE") or os.path.join(home, "config"),
    ]
    if any(environ.get(name) for name in _AWS_IDENTITIES) or not any(map(os.path.exists, files)):
        return None
    try:
        import botocore.session
    except ImportError:
        return None
    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        return None

    def current() -> dict[str, Any]:
        found = credentials.get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + _LIFE,
        }

    return current


def _google_federated(environ: Mapping[str, str]) -> Callable[[], dict[str, Any]] | None:
    """A workload identity that GOOGLE_APPLICATION_CREDENTIALS describes, by google-auth (`coopery[google]`): obstore
    knows keys of service accounts, gcloud's logins and the metadata server."""
    path = environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    try:
        with open(path, encoding="utf-8") as file:
            federated = '"external_account' in file.read(65_536)
    except (OSError, UnicodeDecodeError):
        return None
    if not federated:
        return None
    try:
        import google.auth
        from google.auth.transport.requests import Request
    except ImportError as error:
        raise EnvironmentUnsuitable(
            "type=gcs: a workload identity needs the package google-auth",
            hint="install the extra: pip install coopery[google]",
        ) from error

    auth: Any = google.auth  # half of it has no types
    credentials, _ = auth.load_credentials_from_file(path, scopes=[_SCOPE])

    def current() -> dict[str, Any]:
        credentials.refresh(Request())
        ends = credentials.expiry
        aware = ends.replace(tzinfo=UTC) if ends else datetime.now(UTC) + _LIFE
        return {"token": credentials.token, "expires_at": aware}

    return current
