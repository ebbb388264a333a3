"""Images as values: a change gives a new image (go-containerregistry's mutate package is the model)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coopery.errors import IntegrityError
from coopery.oci.config import HistoryEntry, ImageConfig
from coopery.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    DOCKER_TYPE_OF,
    OCI_CONFIG,
    OCI_MANIFEST,
    OCI_TYPE_OF,
    Descriptor,
)
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its blob as transported, and the digest of its uncompressed tar."""

    descriptor: Descriptor
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class Image:
    """A configuration and its layers, in step with each other."""

    config: ImageConfig
    layers: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if tuple(layer.diff_id for layer in self.layers) != self.config.diff_ids:
            raise IntegrityError("the image's configuration lists other layers than its manifest")

    def append(self, layer: Layer | None, entry: HistoryEntry) -> Image:
        """This image with one more line of history and, unless it is None, one more layer."""
        diff_ids = (*self.config.diff_ids, layer.diff_id) if layer else self.config.diff_ids
        history = (*self.config.history, replace(entry, empty_layer=layer is None))
        config = replace(self.config, diff_ids=diff_ids, history=history)
        return Image(config, (*self.layers, layer) if layer else self.layers)

    @property
    def chain_ids(self) -> tuple[Digest, ...]:
        """The chain ID after each layer (OCI image specification, config.md#layer-chainid)."""
        return chain_ids([layer.diff_id for layer in self.layers])

    def manifest(self, *, docker: bool = False, annotations: Mapping[str, str] | None = None) -> tuple[Manifest, bytes]:
        """The manifest of this image and the config blob it names, in OCI's media types or Docker's."""
        data = self.config.serialize()
        config = Descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, Digest.of(data), len(data))
        types = DOCKER_TYPE_OF if docker else OCI_TYPE_OF
        layers = tuple(
            replace(
                layer.descriptor,
                media_type=types.get(layer.descriptor.media_type, layer.descriptor.media_type),
            )
            for layer in self.layers
        )
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        return Manifest(config, layers, media_type, dict(annotations or {})), data


def chain_ids(diff_ids: Sequence[Digest]) -> tuple[Digest, ...]:
    """The chain ID after each of `diff_ids`."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        if chain:
            text = f"{chain[-1]} {diff_id}".encode()
            chain.append(Digest("sha256", hashlib.sha256(text).hexdigest()))
        else:
            chain.append(diff_id)
    return tuple(chain)
