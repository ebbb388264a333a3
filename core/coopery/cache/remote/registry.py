"""A repository of a registry as a cache: every record is an image of its own, under a tag made from its key.

The image is a plain one (OCI image specification, manifest.md), which every registry takes: its layers are the step's
and those below it down to the base image, its configuration is just enough to unpack them, and the record stands in
an annotation, so that one request finds it. An image with an inline cache is found under the tag itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, BinaryIO, Literal

from coopery.cache.records import CacheRecord, Outcome
from coopery.cache.remote.protocol import MayNotWrite
from coopery.cache.remote.record import (
    FORMAT,
    RemoteRecord,
    checked_coding,
    checked_layer,
    outcome_of,
    seconds_since_1970,
)
from coopery.errors import AuthError, IntegrityError, NotFound, RegistryError
from coopery.oci.config import INLINE_CACHE, ImageConfig
from coopery.oci.descriptor import OCI_CONFIG, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import MAX_MANIFEST_SIZE, Manifest, parse_manifest
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import Registry

#: The manifest annotation that holds a record.
RECORD = "coopery.cache.record"
_ATTEMPTS = 3  # at a manifest whose blobs the registry doesn't find
_LONGEST_PREFIX = 60  # characters; a tag has 128, a key takes 64


class RegistryCache:
    """`Cache` in a repository."""

    def __init__(self, registry: Registry, reference: Reference, platforms: Sequence[Platform]) -> None:
        """The tag of `reference`, if it has one, sets its records apart from others in the repository. `platforms` are
        those that are built for: of an image index with inline caches, those for them count."""
        self.name = f"registry {reference}"
        self.identity = f"registry {reference}"
        self._registry = registry
        self._reference = reference
        self._platforms = platforms
        self._repository = replace(reference, tag="")
        self._lock = threading.Lock()
        self._inline: dict[Digest, RemoteRecord] | None = None

    @property
    def place(self) -> Reference | None:
        """See `Cache`."""
        return self._repository

    def tag(self, key: Digest) -> Reference:
        """Where the record under `key` is."""
        prefix = self._reference.tag
        if len(prefix) > _LONGEST_PREFIX:
            prefix = hashlib.sha256(prefix.encode()).hexdigest()[:_LONGEST_PREFIX]
        return replace(self._repository, tag=f"{prefix}-{key.hex}" if prefix else key.hex)

    def lookup(self, key: Digest) -> RemoteRecord | None:
        """See `Cache`: its own record, else one of the image under the cache's name."""
        try:
            _, data = self._registry.manifest(self.tag(key))
        except NotFound:
            return self._inline_records().get(key)
        manifest = parse_manifest(data)
        text = manifest.annotations.get(RECORD) if isinstance(manifest, Manifest) else None
        if text is None:
            raise IntegrityError(f"{self.tag(key)} is not a record")
        return RemoteRecord.parse(text, key)

    def blob(self, layer: Descriptor) -> Iterator[bytes]:
        """See `Cache`."""
        return self._registry.blob(self._repository, layer)

    def put_blob(
        self, layer: Descriptor, open_blob: Callable[[], BinaryIO], mount_from: Sequence[Reference] = ()
    ) -> Literal["exists", "mounted", "uploaded"]:
        """See `Cache`."""
        try:
            return self._registry.push_blob(self._repository, layer, open_blob, mount_from)
        except AuthError as error:
            raise MayNotWrite(error.message) from error

    def put_record(self, record: RemoteRecord, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
        """See `Cache`."""
        config = ImageConfig(self._platforms[0], diff_ids=record.record.diff_ids).serialize()
        described = Descriptor(OCI_CONFIG, Digest.of(config), len(config))
        manifest = Manifest(described, record.layers, OCI_MANIFEST, {RECORD: record.to_json().decode()})
        data = manifest.serialize()
        if len(data) > MAX_MANIFEST_SIZE:
            raise IntegrityError("the record is too large for a manifest")
        tag = self.tag(record.record.key)
        blobs: list[tuple[Descriptor, Callable[[], BinaryIO]]] = [(described, partial(io.BytesIO, config))]
        try:
            for attempt in range(_ATTEMPTS):
                for descriptor, opener in blobs:
                    self._registry.push_blob(self._repository, descriptor, opener)
                try:
                    self._registry.push_manifest(tag, Descriptor(OCI_MANIFEST, Digest.of(data), len(data)), data)
                    break
                except RegistryError as error:
                    # Where others push the same blob, or it is just being collected, a registry may miss what it had.
                    if "BLOB_UNKNOWN" not in error.detail or attempt == _ATTEMPTS - 1:
                        raise
                blobs += [(layer, partial(open_blob, layer)) for layer in record.layers]
        except AuthError as error:
            raise MayNotWrite(error.message) from error

    def touch(self, key: Digest) -> None:
        """See `Cache`: registries go by when an image was last pulled, which it just was."""

    def refuse(self, layer: Descriptor) -> None:
        """See `Cache`: registries check what they are given, so there is nothing to do."""

    # ------------------------------------------------------------------------------------------------ inline

    def _inline_records(self) -> dict[Digest, RemoteRecord]:
        """The records that the image under the cache's name holds; read once."""
        with self._lock:
            if self._inline is None:
                self._inline = {}
                self._inline = self._read_inline()
            return self._inline

    def _read_inline(self) -> dict[Digest, RemoteRecord]:
        reference = self._reference.or_latest()
        try:
            top = parse_manifest(self._registry.manifest(reference)[1])
            if isinstance(top, Manifest):
                return self._records_of(reference, top)
            own = {entry.digest for platform in self._platforms if (entry := top.select(platform))}
            found: dict[Digest, RemoteRecord] = {}
            for digest in own:
                manifest = parse_manifest(self._registry.manifest(reference.at(digest))[1])
                if isinstance(manifest, Manifest):
                    found |= self._records_of(reference, manifest)
        except NotFound:
            return {}
        return found

    def _records_of(self, reference: Reference, manifest: Manifest) -> dict[Digest, RemoteRecord]:
        if manifest.config.size > MAX_MANIFEST_SIZE:
            return {}
        config = b"".join(self._registry.blob(reference, manifest.config))
        try:
            return _records_in(manifest, json.loads(config))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise IntegrityError(f"the inline cache of {reference} is malformed ({type(error).__name__})") from error


def inline_cache(
    steps: Sequence[tuple[Digest, Outcome]], coding: str, links: Mapping[Digest, Digest] = MappingProxyType({})
) -> dict[str, Any]:
    """What the configuration of an image says of the steps that made it: the keys and outcomes of all of them, in
    order, and in `links` those of linked layers by the keys of their steps. Holds nothing that the image doesn't depend
    on anyway, so equal builds stay equal."""
    told = [
        {"key": str(key), "created": outcome.created} | ({"link": str(links[key])} if key in links else {})
        for key, outcome in steps
    ]
    return {"format": FORMAT, "coding": coding, "steps": told}


def _records_in(manifest: Manifest, config: Any) -> dict[Digest, RemoteRecord]:
    value = config.get(INLINE_CACHE) if isinstance(config, dict) else None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return {}
    steps, diff_ids = value["steps"], config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest.layers) or len(steps) > len(diff_ids):
        raise IntegrityError("the inline cache doesn't fit the image")
    below = len(diff_ids) - len(steps)
    outcomes = tuple(
        outcome_of(diff_id, step["created"]) for diff_id, step in zip(diff_ids[below:], steps, strict=True)
    )
    layers = tuple(checked_layer(layer) for layer in manifest.layers[below:])
    coding, stored = checked_coding(value["coding"]), seconds_since_1970(str(config["created"]))
    records = {}
    for count, step in enumerate(steps, 1):
        key = Digest.parse(step["key"])
        records[key] = RemoteRecord(CacheRecord(key, outcomes[:count]), layers[:count], coding, stored)
        if "link" in step:
            link, last = Digest.parse(step["link"]), slice(count - 1, count)
            records[link] = RemoteRecord(CacheRecord(link, outcomes[last]), layers[last], coding, stored)
    return records
