"""Archives for `docker load`: what `docker save` writes since version 25, which older ones load as well.

The layers are there as plain tars, so that loading needs no decompression and every tool finds the digests it looks
for: `manifest.json` (Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format") names the
files, and an OCI image layout around them serves those who go by that.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from coopery.export.blobs import BlobArchive, blob_path, length
from coopery.export.destination import BlobOpener, replacing
from coopery.export.oci_layout import LAYOUT_FILE, index_entries
from coopery.oci.descriptor import OCI_LAYER, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image, Layer
from coopery.oci.manifest import Index, Manifest
from coopery.oci.platform import Platform
from coopery.oci.reference import DOCKER_HUB, Reference


def write_docker_archive(
    dest: str,
    image: Image,
    names: Sequence[Reference],
    tar: BlobOpener,
    *,
    docker_types: bool = True,
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Write the image to the file `dest`, or to standard output for `-`; `tar` opens seekable uncompressed tars.

    Returns the descriptor of the manifest in it, which is not the one a registry gets: its layers aren't compressed.
    ExportError if `dest` can't be written, StorageError if there is no room, IntegrityError if a tar is damaged.
    """
    layers = []
    for layer in image.layers:
        with tar(layer.diff_id) as source:
            layers.append(Layer(Descriptor(OCI_LAYER, layer.diff_id, length(source)), layer.diff_id))
    plain = replace(image, layers=tuple(layers))
    manifest, config = plain.manifest(docker=docker_types, annotations=annotations)
    return put_docker_archive(dest, manifest, config, image.config.platform, names, tar)


def put_docker_archive(
    dest: str, manifest: Manifest, config: bytes, platform: Platform, names: Sequence[Reference], tar: BlobOpener
) -> Descriptor:
    """Write an image whose manifest names uncompressed layers; otherwise like `write_docker_archive`."""
    data = manifest.serialize()
    descriptor = Descriptor(manifest.media_type, Digest.of(data), len(data), platform)
    listing = {
        "Config": blob_path(manifest.config.digest),
        "RepoTags": [familiar(name) for name in names if name.or_latest().tag] or None,
        "Layers": [blob_path(layer.digest) for layer in manifest.layers],
    }
    with replacing(dest) as write:
        archive = BlobArchive(write)
        # First, so that a reader of a stream knows what follows.
        archive.document("manifest.json", json.dumps([listing], separators=(",", ":")).encode())
        archive.document("oci-layout", LAYOUT_FILE)
        archive.document("index.json", Index(index_entries(descriptor, names)).serialize())
        archive.blob(manifest.config.digest, len(config), io.BytesIO(config), "configuration")
        archive.blob(descriptor.digest, descriptor.size, io.BytesIO(data), "manifest")
        for blob in manifest.layers:
            if blob.digest not in archive:
                with tar(blob.digest) as source:
                    archive.blob(blob.digest, blob.size, source, "layer")
        archive.close()
    return descriptor


def familiar(name: Reference) -> str:
    """The name with its tag, as Docker shows it: without `docker.io/library/`."""
    full = name.name
    for prefix in (f"{DOCKER_HUB}/library/", f"{DOCKER_HUB}/"):
        full = full.removeprefix(prefix)
    return f"{full}:{name.or_latest().tag}"
