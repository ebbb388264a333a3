"""Manifests and indexes, well-formed and not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coopery.errors import IntegrityError
from coopery.oci.descriptor import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index, Manifest, parse_manifest
from coopery.oci.platform import Platform

CONFIG = Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2)
LAYER = Descriptor(OCI_LAYER_GZIP, Digest.of(b"layer"), 5, annotations={"k": "v"}, urls=("https://e.example/x",))
MANIFEST = Manifest(CONFIG, (LAYER,), annotations={"b": "2", "a": "1"})
INDEX = Index((Descriptor(OCI_MANIFEST, Digest.of(b"m"), 9, Platform("linux", "arm", "v7")),), annotations={"org": "é"})


def document(**changes: Any) -> bytes:
    value = json.loads(MANIFEST.serialize()) | changes
    return json.dumps({key: inner for key, inner in value.items() if inner is not None}).encode()


@pytest.mark.parametrize(
    "value",
    [MANIFEST, INDEX, Manifest(CONFIG, (), artifact_type="application/x", subject=LAYER), Manifest(CONFIG, ())],
)
def test_what_is_written_is_read_back(value: Manifest | Index) -> None:
    data = value.serialize()
    assert parse_manifest(data) == value
    assert parse_manifest(data).serialize() == data


def test_annotations_are_sorted_so_that_bytes_repeat() -> None:
    other = Manifest(CONFIG, (LAYER,), annotations={"a": "1", "b": "2"})
    assert MANIFEST.serialize() == other.serialize()


def test_type_comes_from_the_registry_when_the_document_is_silent() -> None:
    silent = document(mediaType=None)
    assert parse_manifest(silent).media_type == OCI_MANIFEST
    assert parse_manifest(silent, DOCKER_MANIFEST + "; charset=utf-8").media_type == DOCKER_MANIFEST
    assert parse_manifest(b'{"manifests": []}').media_type == OCI_INDEX


@pytest.mark.parametrize("named", [DOCKER_MANIFEST, OCI_INDEX, DOCKER_INDEX])
def test_document_cannot_be_of_two_types(named: str) -> None:
    with pytest.raises(IntegrityError):
        parse_manifest(MANIFEST.serialize(), named)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"schemaVersion": 1}',
        b"{}",
        document(manifests=[]),
        document(config=None),
        document(config=[]),
        document(layers=None),
        document(layers=7),
        document(layers=[{}]),
        document(layers=[{"mediaType": OCI_LAYER_GZIP, "digest": "sha256:x", "size": 1}]),
        document(layers=[{"mediaType": OCI_LAYER_GZIP, "digest": str(CONFIG.digest), "size": -1}]),
        document(layers=[{"mediaType": OCI_LAYER_GZIP, "digest": str(CONFIG.digest), "size": 1.5}]),
        document(layers=[{"mediaType": OCI_LAYER_GZIP, "digest": str(CONFIG.digest), "size": True}]),
        document(layers=[{"mediaType": 7, "digest": str(CONFIG.digest), "size": 1}]),
        document(annotations=[1]),
        document(mediaType=["x"]),
        document(mediaType={"x": 1}),
        document(mediaType="text/plain"),
        b" " * ((4 << 20) + 1),
    ],
)
def test_malformed_manifest_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(data)
    assert len(caught.value.message) < 400


def test_schema_1_gets_a_hint() -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(b'{"schemaVersion": 1}')
    assert caught.value.hint


def test_lone_surrogates_can_be_written() -> None:
    escaped = document(annotations={"a": "x"}).replace(b'"x"', b'"\\ud800"')
    assert json.loads(parse_manifest(escaped).serialize())["annotations"] == {"a": "\ufffd"}
