"""Descriptors and media types: OCI image specification descriptor.md and media-types.md, Docker schema 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from coopery.errors import IntegrityError
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

#: Docker's name of each OCI type; the bytes behind a layer type are the same in both families.
DOCKER_TYPE_OF: Mapping[str, str] = MappingProxyType(
    {
        OCI_INDEX: DOCKER_INDEX,
        OCI_MANIFEST: DOCKER_MANIFEST,
        OCI_CONFIG: DOCKER_CONFIG,
        OCI_LAYER: DOCKER_LAYER,
        OCI_LAYER_GZIP: DOCKER_LAYER_GZIP,
        OCI_LAYER_ZSTD: DOCKER_LAYER_ZSTD,
    }
)
OCI_TYPE_OF: Mapping[str, str] = MappingProxyType({docker: oci for oci, docker in DOCKER_TYPE_OF.items()})

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of one blob: its type, digest and size in bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    urls: tuple[str, ...] = ()
    artifact_type: str = ""

    @classmethod
    def from_json(cls, value: Any) -> Descriptor:
        """The descriptor in a parsed manifest; IntegrityError if it is malformed."""
        try:
            media_type, digest, size = value["mediaType"], Digest.parse(value["digest"]), value["size"]
            wanted = value.get("platform")
            platform = None
            if isinstance(wanted, dict) and wanted.get("os") and wanted.get("architecture"):
                platform = Platform(
                    str(wanted["os"]),
                    str(wanted["architecture"]),
                    str(wanted.get("variant") or ""),
                    str(wanted.get("os.version") or ""),
                )
            annotations = {str(key): str(text) for key, text in (value.get("annotations") or {}).items()}
            urls = tuple(str(url) for url in value.get("urls") or ())
        except (KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"malformed descriptor: {str(value)[:200]}") from error
        if not isinstance(media_type, str) or type(size) is not int or size < 0:
            raise IntegrityError(f"malformed descriptor: {str(value)[:200]}")
        kind = value.get("artifactType")
        artifact_type = kind if isinstance(kind, str) else ""
        return cls(media_type, digest, size, platform, MappingProxyType(annotations), urls, artifact_type)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this descriptor, members in the specification's order."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            value["urls"] = list(self.urls)
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform:
            value["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.os_version:
                value["platform"]["os.version"] = self.platform.os_version
            if self.platform.variant:
                value["platform"]["variant"] = self.platform.variant
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        return value
