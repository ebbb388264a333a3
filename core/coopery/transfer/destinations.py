"""Where images are written to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from coopery.errors import UsageError
from coopery.export.contents import Blob
from coopery.export.docker_archive import put_docker_archive
from coopery.export.oci_layout import REF_NAME, put_archive, put_directory
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import DOCKER_CONFIG, OCI_CONFIG, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest
from coopery.oci.reference import Reference
from coopery.ports import Registry, StepProgress
from coopery.transfer.content import Content, Document, as_oci, blobs_of
from coopery.transfer.places import Place
from coopery.transfer.scratch import Scratch
from coopery.transfer.sources import Source, config_of
from coopery.transfer.unpacking import unpack

#: How many blobs are on their way at once.
CONCURRENCY = 5

_OUTCOMES = {"exists": "is already there", "mounted": "mounted", "uploaded": "uploaded"}


def to_registry(
    registry: Registry,
    reference: Reference,
    content: Content,
    source: Source,
    step: StepProgress,
    near: Sequence[Reference] = (),
) -> None:
    """Bring `content` into the repository of `reference`, under its tag, or under its digest alone if that is all it
    has. `near` are repositories of that registry that have the blobs already.

    UsageError if `reference` has another digest than the content. The registry's errors.
    """
    top = content.top
    if reference.digest and reference.digest != top.descriptor.digest:
        raise UsageError(f"{reference} can't be what {top.descriptor.digest} is copied to", hint="give it a tag")
    found = registry.head(reference)
    if found and found.digest == top.descriptor.digest:
        step.status(f"{reference} is up to date")
        return
    to_repository(registry, reference, content.children, source, step, near)
    _push_blobs(registry, reference, blobs_of([top]), source, step, near)
    registry.push_manifest(reference, top.descriptor, top.data)
    step.status(f"manifest {top.descriptor.digest} pushed as {reference}")


def to_repository(
    registry: Registry,
    reference: Reference,
    documents: Sequence[Document],
    source: Source,
    step: StepProgress,
    near: Sequence[Reference] = (),
) -> None:
    """Bring documents and their blobs into the repository of `reference`, under their digests. What the registry lists
    it holds whole, and is passed over.
    """
    bare = Reference(reference.registry, reference.repository)
    missing = [document for document in documents if registry.head(bare.at(document.descriptor.digest)) is None]
    _push_blobs(registry, bare, blobs_of(missing), source, step, near)
    for document in missing:
        registry.push_manifest(bare, document.descriptor, document.data)
        step.status(f"manifest {document.descriptor.digest} pushed")


def _push_blobs(
    registry: Registry,
    reference: Reference,
    blobs: Sequence[Descriptor],
    source: Source,
    step: StepProgress,
    near: Sequence[Reference],
) -> None:
    origins = [*source.origins, *near]

    def push(blob: Descriptor) -> None:
        outcome = registry.push_blob(reference, blob, partial(source.open, blob), origins)
        step.status(f"blob {blob.digest} ({blob.size} bytes) {_OUTCOMES[outcome]}")

    if not blobs:
        return
    with ThreadPoolExecutor(min(CONCURRENCY, len(blobs)), "coopery-copy") as pool:
        futures = [pool.submit(push, blob) for blob in blobs]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def to_layout(place: Place, content: Content, source: Source) -> Descriptor:
    """Write `content` into the layout directory or archive at `place`, under its name there if it has one.

    Returns the descriptor of what is there: another than the source's only if that came in Docker's media types.
    """
    converted = as_oci(content)
    blobs = [Blob("blob", blob, partial(source.open, blob)) for blob in converted.blobs]
    blobs += [Blob("manifest", one.descriptor, partial(io.BytesIO, one.data)) for one in converted.documents]
    top = converted.top.descriptor
    entry = replace(top, annotations={REF_NAME: place.name} if place.name else {})
    if place.kind == "oci":
        put_directory(place.path, blobs, [entry], at_once=CONCURRENCY)
    else:
        put_archive(place.path, blobs, [entry])
    return top


def to_docker_archive(place: Place, content: Content, source: Source, scratch: Scratch) -> Descriptor:
    """Write one image as an archive for `docker load`; its layers are unpacked into `scratch` first.

    Returns the descriptor of the manifest in it. The image's ID stays what it was.
    """
    manifest = content.image
    data = config_of(source, manifest)
    config = ImageConfig.parse(data)
    if len(config.diff_ids) != len(manifest.layers):
        raise UsageError(
            f"{content.top.descriptor.digest} is an artifact rather than an image",
            hint="a docker archive takes images only; an image layout takes anything",
        )
    layers = unpack(source, manifest.layers, config.diff_ids, scratch)
    described = replace(
        manifest.config,
        media_type=OCI_CONFIG if manifest.config.media_type == DOCKER_CONFIG else manifest.config.media_type,
    )
    plain = Manifest(described, tuple(layers), OCI_MANIFEST, manifest.annotations)
    paths = {layer.digest: f"{scratch.path}/{layer.digest.hex}" for layer in layers}

    def tar(diff_id: Digest) -> BinaryIO:
        return open(paths[diff_id], "rb")

    names = [place.reference] if place.reference else []
    return put_docker_archive(place.path, plain, data, config.platform, names, tar)
