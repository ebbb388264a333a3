"""Checks every invariant of an image: the oracle that tests and `copy` hold results against."""

from __future__ import annotations

from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import DOCKER_MANIFEST, DOCKER_TYPE_OF, OCI_MANIFEST, OCI_TYPE_OF
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest


def violations(manifest: Manifest, config_data: bytes) -> list[str]:
    """What is wrong between a manifest and its config blob, a sentence each; empty if nothing is.

    Blobs of layers are not read here.
    """
    found = []
    if Digest.of(config_data) != manifest.config.digest:
        found.append(f"the config's digest is {Digest.of(config_data)}, the manifest says {manifest.config.digest}")
    if len(config_data) != manifest.config.size:
        found.append(f"the config has {len(config_data)} bytes, the manifest says {manifest.config.size}")
    config = ImageConfig.parse(config_data)
    if len(config.diff_ids) != len(manifest.layers):
        found.append(f"{len(config.diff_ids)} diff IDs for {len(manifest.layers)} layers")
    if config.history:
        filled = sum(not entry.empty_layer for entry in config.history)
        if filled != len(manifest.layers):
            found.append(f"history speaks of {filled} layers, there are {len(manifest.layers)}")
    names = [text.partition("=")[0] for text in config.env]
    if len(names) != len(set(names)):
        found.append("an environment variable is set twice")
    foreign = {OCI_MANIFEST: DOCKER_TYPE_OF.values(), DOCKER_MANIFEST: OCI_TYPE_OF.values()}
    mixed = foreign.get(manifest.media_type, ())
    types = [descriptor.media_type for descriptor in (manifest.config, *manifest.layers)]
    return found + [f"{media_type} inside {manifest.media_type}" for media_type in types if media_type in mixed]
