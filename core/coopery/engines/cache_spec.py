"""The grammar of `--cache-from` and `--cache-to`: buildx's (util/buildflags/cache.go), read strictly."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Literal

from coopery.archive.compress import Codec
from coopery.engines.object_spec import OBJECT_KEYS, OBJECT_WRITTEN, SECRETS, object_place
from coopery.errors import UsageError
from coopery.export.output_spec import csv_fields, parse_bool
from coopery.oci.reference import Reference
from coopery.request import CacheMode, CacheSpec, CacheType, Compression

Option = Literal["--cache-from", "--cache-to"]

_WRITTEN = ("mode", "ignore-error", "compression", "compression-level", "force-compression")
_LAYOUT = ("oci-mediatypes", "image-manifest")
#: The keys of each type, for reading and for writing.
_KEYS: dict[CacheType, dict[Option, tuple[str, ...]]] = {
    "registry": {"--cache-from": ("ref", "ttl"), "--cache-to": ("ref", "ttl", *_WRITTEN, *_LAYOUT)},
    "local": {"--cache-from": ("src", "ttl"), "--cache-to": ("dest", "ttl", *_WRITTEN, *_LAYOUT)},
    "inline": {"--cache-from": (), "--cache-to": ()},
    "gha": {
        "--cache-from": ("url", "url_v2", "token", "scope", "version", "ttl"),
        "--cache-to": ("url", "url_v2", "token", "scope", "version", "ttl", *_WRITTEN),
    },
    **{
        type_: {"--cache-from": (*keys, "ttl"), "--cache-to": (*keys, *OBJECT_WRITTEN, "ttl", *_WRITTEN)}
        for type_, keys in OBJECT_KEYS.items()
    },
}
_MODES: dict[str, CacheMode] = {"min": "min", "max": "max"}
_COMPRESSIONS: dict[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "uncompressed"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SECRET_KEYS = frozenset({*SECRETS, "token"})
_DURATION = re.compile(r"(?:[0-9]{1,9}[smhdw])+")


def parse_cache(text: str, option: Option) -> CacheSpec:
    """The cache that `text` names: `type=registry,ref=…`, or a repository alone.

    Paths become absolute. UsageError for anything that can't be honoured.
    """
    name = f"{option} {shown(text)}"
    try:
        fields = csv_fields(text) if "=" in text else ["type=registry", f"ref={text}"]
    except UsageError as error:
        raise UsageError(f"{name}: the quotes don't fit", hint=error.hint) from None
    values: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            hint = "write key=value, and double quotes around what has a comma"
            raise UsageError(f"{name}: a part is not of the form key=value", hint=hint)
        values[key.strip().lower()] = value
    given = values.pop("type", "")
    type_ = next((known for known in _KEYS if known == given), None)
    if type_ is None:
        problem = f"there is no cache of type {given!r}" if given else "no type"
        raise UsageError(f"{name}: {problem}", hint=f"types are {_listed(_KEYS)}")
    if type_ == "inline" and option == "--cache-from":
        hint = "name the image that holds it: --cache-from type=registry,ref=IMAGE"
        raise UsageError(f"{name}: an inline cache is read from an image", hint=hint)
    _check_keys(name, type_, option, values)
    return _spec(name, type_, option, values)


def shown(text: str) -> str:
    """The specification `text` for people: without the secrets in it."""
    if "=" not in text:
        return text
    try:
        fields = [field.partition("=") for field in csv_fields(text)]
    except UsageError:
        return "***"  # nobody knows where a secret ends
    # What follows a secret's comma is part of it, had it been quoted.
    return ",".join(
        f"{key}={'***' if key.strip().lower() in _SECRET_KEYS else value}" if equals else "***"
        for key, equals, value in fields
    )


def parse_ttl(text: str, what: str) -> int:
    """A time to live in seconds: `336h`, `14d`, `2w`, `1h30m`. UsageError naming `what` for anything else."""
    if not _DURATION.fullmatch(text):
        raise UsageError(f"{what}: {text!r} is not a time to live", hint="write it like 336h, 14d or 2w")
    return sum(int(part[:-1]) * _SECONDS[part[-1]] for part in re.findall(r"[0-9]+[smhdw]", text))


def _check_keys(name: str, type_: CacheType, option: Option, values: dict[str, str]) -> None:
    for key in values:
        if key in _KEYS[type_][option]:
            continue
        if any(key in keys for keys in _KEYS[type_].values()):
            other = next(each for each, keys in _KEYS[type_].items() if key in keys)
            raise UsageError(f"{name}: {key} has no meaning for {option}", hint=f"it is for {other}")
        known = _KEYS[type_][option]
        hint = f"type={type_} knows {_listed(known)}" if known else f"type={type_} takes nothing else"
        raise UsageError(f"{name}: unknown key {key!r}", hint=hint)
    for key in _LAYOUT:
        if not parse_bool(values.get(key) or "true", f"{name}: {key}"):
            hint = f"leave {key} out: every registry takes OCI image manifests"
            raise UsageError(f"{name}: caches are OCI image manifests", hint=hint)
    if values.get("version", "2") not in ("2", ""):
        raise UsageError(f"{name}: only version 2 of the service is spoken", hint="leave version out")
    # Layers are always compressed as asked, also those that were found: there is nothing to force.
    parse_bool(values.get("force-compression") or "true", f"{name}: force-compression")


def _spec(name: str, type_: CacheType, option: Option, values: dict[str, str]) -> CacheSpec:
    path_key = "src" if option == "--cache-from" else "dest"
    needed = {"registry": "ref", "local": path_key}.get(type_, "")
    if needed and not values.get(needed):
        raise UsageError(f"{name}: nothing says where it is", hint=f"add {needed}=…")
    if "ref" in values and Reference.parse(values["ref"]).digest:
        raise UsageError(f"{name}: a digest can't name a cache", hint="give a repository, with a tag or without")
    mode = _MODES.get(values.get("mode", "min"))
    if mode is None:
        raise UsageError(f"{name}: there is no mode {values['mode']!r}", hint="modes are min and max")
    compression, level = _compression(name, values)
    return CacheSpec(
        type=type_,
        ref=values.get("ref", ""),
        path=os.path.abspath(values[path_key]) if values.get(path_key) else "",
        scope=values.get("scope", ""),
        url=values.get("url_v2") or values.get("url", ""),
        token=values.get("token", ""),
        objects=object_place(name, type_, values) if type_ in OBJECT_KEYS else None,
        mode=mode,
        ttl=parse_ttl(values["ttl"], f"{name}: ttl") if values.get("ttl") else 0,
        compression=compression,
        compression_level=level,
        ignore_error=parse_bool(values.get("ignore-error") or "false", f"{name}: ignore-error"),
    )


def _compression(name: str, values: dict[str, str]) -> tuple[Compression | None, int | None]:
    text, number = values.get("compression"), values.get("compression-level")
    compression = _COMPRESSIONS.get(text) if text else None
    if text and compression is None:
        raise UsageError(f"{name}: there is no compression {text!r}", hint=f"compressions are {_listed(_COMPRESSIONS)}")
    if number is None:
        return compression, None
    if not re.fullmatch(r"[0-9]{1,3}", number):
        raise UsageError(f"{name}: compression-level={number} is not a number", hint="such as 6")
    if compression is None:
        raise UsageError(f"{name}: a compression-level without a compression", hint="add compression=gzip or zstd")
    Codec(compression, int(number))  # UsageError if it has no such level
    return compression, int(number)


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
