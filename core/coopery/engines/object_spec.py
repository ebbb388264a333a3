"""What `--cache-from` and `--cache-to` say of a cache in an object store: BuildKit's keys (its README, "S3 cache" and
"Azure Blob Storage cache"), and the like for Google Cloud Storage, which it doesn't have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from coopery.errors import UsageError
from coopery.export.output_spec import parse_bool
from coopery.request import CacheType, ObjectPlace

_PLACE = ("prefix", "blobs_prefix", "manifests_prefix", "name", "retry_max_attempts")
_S3 = ("bucket", "region", "endpoint_url", "use_path_style", "access_key_id", "secret_access_key", "session_token")
#: The keys of each type for reading and for writing, and those for writing alone.
OBJECT_KEYS: Mapping[CacheType, tuple[str, ...]] = {
    "s3": (*_S3, *_PLACE, "retry_mode", "disable_accept_encoding"),
    "azblob": ("account_url", "account_name", "container", "secret_access_key", *_PLACE),
    "gcs": ("bucket", *_PLACE),
}
OBJECT_WRITTEN = ("upload_parallelism", "touch_refresh")
#: The keys whose values nobody is to see.
SECRETS = ("secret_access_key", "session_token")

_SEGMENT = re.compile(r"[A-Za-z0-9_.@:=+-]{1,200}")
_HOUR = 3600.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": _HOUR, "d": 24 * _HOUR, "w": 168 * _HOUR}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|[smhdw]))+")
_MOST_AT_ONCE = 64


def object_place(name: str, type_: CacheType, values: Mapping[str, str]) -> ObjectPlace:
    """Where the cache is that `values` describe, which have only known keys. UsageError, which begins with `name`."""
    if values.get("retry_mode", "standard") not in ("standard", ""):
        raise UsageError(f"{name}: the only retry_mode is standard", hint="leave retry_mode out")
    # Nothing is asked to be sent encoded, so there is nothing to turn off.
    parse_bool(values.get("disable_accept_encoding") or "true", f"{name}: disable_accept_encoding")
    if type_ == "s3" and bool(values.get("access_key_id")) != bool(values.get("secret_access_key")):
        raise UsageError(f"{name}: half a credential", hint="give access_key_id with secret_access_key, or neither")
    usual = ObjectPlace()
    names = tuple(filter(None, (_path(name, "name", part) for part in values.get("name", "").split(";"))))
    return ObjectPlace(
        bucket=values.get("container" if type_ == "azblob" else "bucket", ""),
        region=values.get("region", ""),
        endpoint=_url(name, "account_url" if type_ == "azblob" else "endpoint_url", values),
        path_style=parse_bool(values.get("use_path_style") or "false", f"{name}: use_path_style"),
        account=values.get("account_name", ""),
        key_id=values.get("access_key_id", ""),
        secret=values.get("secret_access_key", ""),
        session_token=values.get("session_token", ""),
        prefix=_path(name, "prefix", values.get("prefix", "")),
        blobs_prefix=_path(name, "blobs_prefix", values.get("blobs_prefix", usual.blobs_prefix)),
        records_prefix=_path(name, "manifests_prefix", values.get("manifests_prefix", usual.records_prefix)),
        names=names or usual.names,
        parallel=_number(name, "upload_parallelism", values, usual.parallel),
        attempts=_number(name, "retry_max_attempts", values, usual.attempts),
        touch=_seconds(name, values["touch_refresh"]) if values.get("touch_refresh") else usual.touch,
    )


def _path(name: str, key: str, text: str) -> str:
    """The path without slashes around it. Repeated slashes would name other objects in some stores than in others."""
    segments = text.strip().strip("/").split("/")
    if segments == [""]:
        return ""
    if not all(_SEGMENT.fullmatch(part) and part.strip(".") for part in segments):
        hint = "letters, digits and _.@:=+- between single slashes"
        raise UsageError(f"{name}: {key}={text} can't be part of an object's name", hint=hint)
    return "/".join(segments)


def _url(name: str, key: str, values: Mapping[str, str]) -> str:
    text = values.get(key, "").rstrip("/")
    parts = urlsplit(text)
    if text and (parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.username):
        raise UsageError(f"{name}: {key} is not the URL of a server", hint="write https://HOST[:PORT]")
    return text


def _number(name: str, key: str, values: Mapping[str, str], usual: int) -> int:
    text = values.get(key)
    if not text:
        return usual
    if not re.fullmatch(r"[0-9]{1,2}", text) or not 0 < int(text) <= _MOST_AT_ONCE:
        raise UsageError(f"{name}: {key}={text} is not a number from 1 to {_MOST_AT_ONCE}", hint=f"such as {usual}")
    return int(text)


def _seconds(name: str, text: str) -> int:
    """A duration as Go writes them, and in days and weeks."""
    if not _DURATION.fullmatch(text):
        raise UsageError(f"{name}: touch_refresh={text} is not a duration", hint="write it like 24h or 90m")
    parts = re.findall(r"([0-9.]+)(ms|[smhdw])", text)
    return int(sum(float(number) * _UNITS[unit] for number, unit in parts))
