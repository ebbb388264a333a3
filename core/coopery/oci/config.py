"""Image configurations: OCI image specification config.md, with Docker's additions (moby image/spec)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.oci.jsontext import encode_json
from coopery.oci.platform import Platform

#: The member that tells which steps made an image (`cache.remote.registry`).
INLINE_CACHE = "coopery.cache"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """HEALTHCHECK; the times are nanoseconds, 0 for "as inherited". `test` is ("NONE",) to switch it off."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of `docker history`. `created` is RFC 3339 text, empty when unknown."""

    created_by: str
    created: str = ""
    empty_layer: bool = False
    comment: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """A whole image configuration as a value. None in a command list means "not set"."""

    platform: Platform
    created: str = ""
    author: str = ""
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # NAME=value, in order, each name once
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    stop_signal: str = ""
    healthcheck: HealthCheck | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    os_features: tuple[str, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    #: Of this image alone: `parse` leaves it out, so that images made from this one don't inherit it.
    inline_cache: Mapping[str, Any] | None = field(default=None, hash=False)

    @classmethod
    def parse(cls, data: bytes) -> ImageConfig:
        """The configuration in a config blob; IntegrityError if it is malformed."""
        try:
            value = json.loads(data)
            config = value.get("config") or {}
            rootfs = value.get("rootfs") or {}
            check = config.get("Healthcheck")
            return cls(
                platform=Platform(
                    str(value.get("os") or "linux"),
                    str(value.get("architecture") or "amd64"),
                    str(value.get("variant") or ""),
                    str(value.get("os.version") or ""),
                ),
                created=str(value.get("created") or ""),
                author=str(value.get("author") or ""),
                user=str(config.get("User") or ""),
                exposed_ports=_keys(config.get("ExposedPorts")),
                env=_strings(config.get("Env")) or (),
                entrypoint=_strings(config.get("Entrypoint")),
                cmd=_strings(config.get("Cmd")),
                volumes=_keys(config.get("Volumes")),
                working_dir=str(config.get("WorkingDir") or ""),
                labels=MappingProxyType({str(k): str(v) for k, v in (config.get("Labels") or {}).items()}),
                stop_signal=str(config.get("StopSignal") or ""),
                healthcheck=_healthcheck(check) if check else None,
                shell=_strings(config.get("Shell")),
                on_build=_strings(config.get("OnBuild")) or (),
                args_escaped=bool(config.get("ArgsEscaped")),
                os_features=_strings(value.get("os.features")) or (),
                diff_ids=tuple(Digest.parse(text) for text in rootfs.get("diff_ids") or ()),
                history=tuple(_history(entry) for entry in value.get("history") or ()),
            )
        except (ValueError, AttributeError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise IntegrityError(f"malformed image configuration: {error}") from error

    def serialize(self) -> bytes:
        """The config blob. Equal values give equal bytes."""
        config: dict[str, Any] = {}
        _put(config, "User", self.user)
        _put(config, "ExposedPorts", {port: {} for port in sorted(self.exposed_ports)})
        _put(config, "Env", list(self.env))
        if self.entrypoint is not None:
            config["Entrypoint"] = list(self.entrypoint)
        if self.cmd is not None:
            config["Cmd"] = list(self.cmd)
        if self.healthcheck:
            config["Healthcheck"] = _healthcheck_json(self.healthcheck)
        _put(config, "ArgsEscaped", self.args_escaped)
        _put(config, "Volumes", {path: {} for path in sorted(self.volumes)})
        _put(config, "WorkingDir", self.working_dir)
        _put(config, "Labels", dict(sorted(self.labels.items())))
        _put(config, "OnBuild", list(self.on_build))
        _put(config, "StopSignal", self.stop_signal)
        _put(config, "Shell", list(self.shell or ()))
        value: dict[str, Any] = {}
        _put(value, "created", self.created)
        _put(value, "author", self.author)
        value["architecture"] = self.platform.architecture
        _put(value, "variant", self.platform.variant)
        value["os"] = self.platform.os
        _put(value, "os.version", self.platform.os_version)
        _put(value, "os.features", list(self.os_features))
        value["config"] = config
        value["rootfs"] = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in self.diff_ids]}
        value["history"] = [_history_json(entry) for entry in self.history]
        _put(value, INLINE_CACHE, self.inline_cache)
        return encode_json(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value:
        target[key] = value


def _strings(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {value!r:.100}")
    return tuple(str(item) for item in value)


def _keys(value: Any) -> tuple[str, ...]:
    return tuple(sorted(str(key) for key in (value or {})))


def _healthcheck(value: Any) -> HealthCheck:
    return HealthCheck(
        test=_strings(value.get("Test")) or (),
        interval=int(value.get("Interval") or 0),
        timeout=int(value.get("Timeout") or 0),
        start_period=int(value.get("StartPeriod") or 0),
        start_interval=int(value.get("StartInterval") or 0),
        retries=int(value.get("Retries") or 0),
    )


def _healthcheck_json(check: HealthCheck) -> dict[str, Any]:
    value: dict[str, Any] = {}
    _put(value, "Test", list(check.test))
    _put(value, "Interval", check.interval)
    _put(value, "Timeout", check.timeout)
    _put(value, "StartPeriod", check.start_period)
    _put(value, "StartInterval", check.start_interval)
    _put(value, "Retries", check.retries)
    return value


def _history(value: Any) -> HistoryEntry:
    return HistoryEntry(
        created_by=str(value.get("created_by") or ""),
        created=str(value.get("created") or ""),
        empty_layer=bool(value.get("empty_layer")),
        comment=str(value.get("comment") or ""),
        author=str(value.get("author") or ""),
    )


def _history_json(entry: HistoryEntry) -> dict[str, Any]:
    value: dict[str, Any] = {}
    _put(value, "created", entry.created)
    _put(value, "created_by", entry.created_by)
    _put(value, "author", entry.author)
    _put(value, "comment", entry.comment)
    _put(value, "empty_layer", entry.empty_layer)
    return value
