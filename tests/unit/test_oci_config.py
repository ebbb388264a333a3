"""Image configurations: what base images bring, and what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coopery.errors import IntegrityError
from coopery.oci.config import HealthCheck, HistoryEntry, ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform

FULL = ImageConfig(
    platform=Platform("linux", "arm", "v7"),
    created="2026-01-02T03:04:05Z",
    author="someone",
    user="app:app",
    exposed_ports=("80/tcp", "9/udp"),
    env=("PATH=/bin", "EMPTY=", "E=a=b"),
    entrypoint=("/init", "é"),
    cmd=(),
    volumes=("/data",),
    working_dir="/srv",
    labels={"b": "2", "a": "1"},
    stop_signal="SIGINT",
    healthcheck=HealthCheck(("CMD", "true"), interval=5_000_000_000, retries=3, start_interval=1),
    shell=("/bin/bash", "-c"),
    on_build=("RUN true",),
    os_features=("x",),
    diff_ids=(Digest.of(b"1"),),
    history=(HistoryEntry("RUN x", "2026-01-01T00:00:00Z", comment="c", author="a"), HistoryEntry("ENV x=1", "", True)),
)


def test_what_is_written_is_read_back() -> None:
    data = FULL.serialize()
    assert ImageConfig.parse(data) == FULL
    assert ImageConfig.parse(data).serialize() == data


def test_plain_configuration_leaves_out_what_is_not_set() -> None:
    value = json.loads(ImageConfig(Platform("linux", "amd64")).serialize())
    assert value == {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    }


def test_empty_command_is_not_an_unset_one() -> None:
    assert ImageConfig.parse(b'{"config": {"Cmd": []}}').cmd == ()
    assert ImageConfig.parse(b'{"config": {"Cmd": null}}').cmd is None


def test_nulls_of_docker_are_read_as_nothing() -> None:
    nulls = dict.fromkeys(("Env", "Cmd", "Entrypoint", "Volumes", "Labels", "OnBuild", "ExposedPorts", "Shell"))
    data = json.dumps({"config": nulls, "rootfs": None, "history": None, "os.features": None}).encode()
    assert ImageConfig.parse(data) == ImageConfig(Platform("linux", "amd64"))


@pytest.mark.parametrize(
    "value",
    [
        [],
        7,
        None,
        "text",
        {"config": []} | {"config": [1]},
        {"config": {"Env": "A=1"}},
        {"config": {"Labels": ["a"]}},
        {"config": {"Volumes": 7}},
        {"config": {"Healthcheck": [1]}},
        {"config": {"Healthcheck": {"Test": ["x"], "Interval": "soon"}}},
        {"config": {"Healthcheck": {"Test": ["x"], "Interval": float("inf")}}},
        {"rootfs": [1]},
        {"rootfs": {"diff_ids": ["sha256:short"]}},
        {"rootfs": {"diff_ids": [7]}},
        {"history": ["x"]},
        {"history": 7},
    ],
)
def test_malformed_configuration_is_an_integrity_error(value: Any) -> None:
    with pytest.raises(IntegrityError):
        ImageConfig.parse(json.dumps(value).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        ImageConfig.parse(data)


def test_lone_surrogates_can_be_written() -> None:
    config = ImageConfig.parse(b'{"config": {"Labels": {"a": "\\ud800"}}}')
    assert json.loads(config.serialize())["config"]["Labels"] == {"a": "\ufffd"}
