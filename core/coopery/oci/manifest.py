"""Manifests and indexes of both families: OCI image specification manifest.md and image-index.md, Docker schema 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from coopery.errors import IntegrityError
from coopery.oci.descriptor import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
)
from coopery.oci.jsontext import encode_json
from coopery.oci.platform import Platform

#: Manifests beyond this many bytes are refused (the distribution specification lets registries stop at 4 MiB).
MAX_MANIFEST_SIZE = 4 << 20

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = OCI_MANIFEST
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    artifact_type: str = ""
    subject: Descriptor | None = None

    def serialize(self) -> bytes:
        """The manifest's bytes. Equal values give equal bytes."""
        value: dict[str, Any] = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        value["config"] = self.config.to_json()
        value["layers"] = [layer.to_json() for layer in self.layers]
        if self.subject:
            value["subject"] = self.subject.to_json()
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        return _dump(value)


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, usually one for each platform."""

    manifests: tuple[Descriptor, ...]
    media_type: str = OCI_INDEX
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)

    def serialize(self) -> bytes:
        """The index's bytes. Equal values give equal bytes."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [manifest.to_json() for manifest in self.manifests],
        }
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        return _dump(value)

    def select(self, wanted: Platform) -> Descriptor | None:
        """The manifest that serves `wanted` best: an exact match before a compatible one; None if none does."""
        best: Descriptor | None = None
        closest = (False, False, -1)
        for entry in self.manifests:
            if entry.platform and entry.platform.satisfies(wanted):
                closeness = entry.platform.closeness(wanted)
                if closeness > closest:
                    best, closest = entry, closeness
        return best


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """The manifest or index in `data`.

    `media_type` is what the registry called it; the document's own `mediaType` must agree, so that one
    document can't be read as two kinds (distribution's advisory GHSA-qq97-vm5h-rrhg). IntegrityError otherwise.
    """
    if len(data) > MAX_MANIFEST_SIZE:
        raise IntegrityError(f"the manifest has {len(data)} bytes; at most {MAX_MANIFEST_SIZE} are accepted")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"the manifest is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise IntegrityError("the manifest is not a JSON object")
    if value.get("schemaVersion") == 1:
        raise IntegrityError(
            "the image has a schema 1 manifest, which registries stopped serving",
            hint="push the image again with a current client, then build on that",
        )
    own = value.get("mediaType")
    named = media_type.partition(";")[0].strip()
    known = INDEX_TYPES | MANIFEST_TYPES
    if own and named in known and own != named:
        raise IntegrityError(f"the registry called the manifest {named}, but it calls itself {str(own)[:100]!r}")
    kind = own or (named if named in known else OCI_INDEX if "manifests" in value else OCI_MANIFEST)
    try:
        annotations = MappingProxyType({str(k): str(v) for k, v in (value.get("annotations") or {}).items()})
        if kind in INDEX_TYPES and "layers" not in value:
            entries = tuple(Descriptor.from_json(entry) for entry in value.get("manifests") or ())
            return Index(entries, kind, annotations)
        if kind in MANIFEST_TYPES and "manifests" not in value:
            subject = value.get("subject")
            return Manifest(
                config=Descriptor.from_json(value["config"]),
                layers=tuple(Descriptor.from_json(layer) for layer in value["layers"]),
                media_type=kind,
                annotations=annotations,
                artifact_type=str(value.get("artifactType") or ""),
                subject=Descriptor.from_json(subject) if subject else None,
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"malformed manifest: {error!r}") from error
    message = f"{str(kind)[:100]!r} is not a manifest or index this builder knows, or is two kinds at once"
    raise IntegrityError(message)


def _dump(value: Any) -> bytes:
    # Indented as Docker and BuildKit write manifests: people read these.
    return encode_json(json.dumps(value, indent=2, ensure_ascii=False))
