"""Registries with the standard library alone: push, pull and look at images made by `plainoci`.

Speaks the distribution API (distribution-spec) without credentials: plain HTTP on loopback, HTTPS elsewhere.
"""

from __future__ import annotations

import http.client
import io
import json
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from plainoci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    Node,
    architecture,
    flatten,
    read_layout,
    sha256,
)


class RegistryError(Exception):
    """A registry answered with a status that was not expected."""


@dataclass(frozen=True, slots=True)
class Reference:
    registry: str
    repository: str
    tag: str  # or a digest

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Splits `host[:port]/repository[:tag|@digest]`. Raises ValueError without a host."""
        registry, slash, rest = text.partition("/")
        if not slash or not (":" in registry or "." in registry or registry == "localhost"):
            raise ValueError(f"{text}: a reference here begins with its registry, as in 127.0.0.1:5000/name:tag")
        repository, at, digest = rest.partition("@")
        if at:
            return cls(registry, repository, digest)
        repository, _, tag = rest.partition(":")
        return cls(registry, repository, tag or "latest")


class Registry:
    """The distribution API (distribution-spec) without credentials, one connection a request."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.plain = host.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")

    def _request(
        self, method: str, path: str, body: bytes | IO[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(self.host, timeout=300)
            if self.plain
            else http.client.HTTPSConnection(self.host, timeout=300, context=ssl.create_default_context())
        )
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def manifest(self, repository: str, reference: str) -> tuple[bytes, str]:
        """The manifest's or index's bytes and its media type."""
        accept = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))
        status, headers, body = self._request(
            "GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": accept}
        )
        if status != 200:
            raise RegistryError(f"{self.host}/{repository}:{reference}: {status} {body[:200]!r}")
        return body, headers.get("Content-Type", "")

    def blob(self, repository: str, digest: str) -> bytes:
        status, _, body = self._request("GET", f"/v2/{repository}/blobs/{digest}")
        if status != 200:
            raise RegistryError(f"{self.host}/{repository}@{digest}: {status} {body[:200]!r}")
        if sha256(body) != digest:
            raise RegistryError(f"{self.host}/{repository}@{digest}: the bytes have another digest")
        return body

    def has_blob(self, repository: str, digest: str) -> bool:
        return self._request("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200

    def tags(self, repository: str) -> list[str]:
        status, _, body = self._request("GET", f"/v2/{repository}/tags/list")
        return sorted(json.loads(body)["tags"] or []) if status == 200 else []

    def repositories(self) -> list[str]:
        return list(json.loads(self._request("GET", "/v2/_catalog?n=1000")[2])["repositories"])

    def put_blob(self, repository: str, digest: str, data: bytes | Path) -> None:
        """Uploads in one piece unless the repository has it."""
        if self.has_blob(repository, digest):
            return
        status, headers, body = self._request("POST", f"/v2/{repository}/blobs/uploads/")
        if status != 202:
            raise RegistryError(f"{self.host}/{repository}: no upload started: {status} {body[:200]!r}")
        url = urllib.parse.urlsplit(headers["Location"])
        query = "&".join(filter(None, (url.query, urllib.parse.urlencode({"digest": digest}))))
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        stream = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
        with stream:
            status, _, body = self._request(
                "PUT",
                f"{url.path}?{query}",
                stream,
                {"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            )
        if status != 201:
            raise RegistryError(f"{self.host}/{repository}@{digest}: not stored: {status} {body[:200]!r}")

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str = OCI_MANIFEST) -> str:
        """Stores a manifest or an index under a tag or a digest and returns its digest."""
        status, _, body = self._request(
            "PUT", f"/v2/{repository}/manifests/{reference}", data, {"Content-Type": media_type}
        )
        if status != 201:
            raise RegistryError(f"{self.host}/{repository}:{reference}: not stored: {status} {body[:200]!r}")
        return sha256(data)


def push(image: Image, reference: str) -> str:
    """Pushes and returns the manifest's digest. Raises RegistryError."""
    name = Reference.parse(reference)
    registry = Registry(name.registry)
    for each in image.layers:
        registry.put_blob(name.repository, each.digest, each.path or each.data)
    registry.put_blob(name.repository, sha256(image.config), image.config)
    return registry.put_manifest(name.repository, name.tag, image.manifest)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a registry holds under one name, digests verified."""

    digest: str
    media_type: str
    manifest: dict[str, Any]
    config: dict[str, Any]
    layers: tuple[bytes, ...] = field(repr=False)  # as stored, so compressed

    @property
    def size(self) -> int:
        """Bytes of all compressed layers: what a machine downloads."""
        return sum(each["size"] for each in self.manifest["layers"])


def resolve(reference: str, arch: str = "") -> tuple[str, str, dict[str, Any]]:
    """Digest, media type and manifest; of an index the manifest for `arch` (this machine's by default)."""
    name = Reference.parse(reference)
    registry = Registry(name.registry)
    body, media_type = registry.manifest(name.repository, name.tag)
    value: dict[str, Any] = json.loads(body)
    if "manifests" in value:
        wanted = [
            e for e in value["manifests"] if e.get("platform", {}).get("architecture") == (arch or architecture())
        ]
        if not wanted:
            raise RegistryError(f"{reference}: nothing for {arch or architecture()}")
        body, media_type = registry.manifest(name.repository, wanted[0]["digest"])
        value = json.loads(body)
    return sha256(body), media_type, value


def pull(reference: str, arch: str = "") -> Pulled:
    """Pulls one image whole into memory. Raises RegistryError."""
    name = Reference.parse(reference)
    registry = Registry(name.registry)
    digest, media_type, manifest = resolve(reference, arch)
    config = json.loads(registry.blob(name.repository, manifest["config"]["digest"]))
    layers = tuple(registry.blob(name.repository, each["digest"]) for each in manifest["layers"])
    return Pulled(digest, media_type, manifest, config, layers)


def tree(source: str | Path, arch: str = "") -> dict[str, Node]:
    """What a container of this image would see: of a reference in a registry, or of an OCI layout's first image."""
    if isinstance(source, str):
        return flatten(pull(source, arch).layers)
    return flatten((each.path or Path()).read_bytes() for each in read_layout(source).layers)


def image_size(reference: str) -> int:
    """Compressed bytes of an image's layers, from its manifest alone."""
    return sum(each["size"] for each in resolve(reference)[2]["layers"])
