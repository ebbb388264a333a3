"""What scripts want to know of images, under buildx's names."""

from __future__ import annotations

from typing import Any

from coopery.ci.report import ImageResult, Report
from coopery.export.metadata import metadata as buildx_members
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference


def metadata(report: Report) -> dict[str, Any]:
    """The object that buildx writes as its metadata file: of one image its members, of several targets an object
    of such objects by target, as `buildx bake` does. Empty if nothing was built."""
    images = report.images
    if len(images) == 1:
        return _members(images[0])
    return {image.target: _members(image) for image in images}


def _members(image: ImageResult) -> dict[str, Any]:
    manifest = Descriptor(image.media_type, Digest.parse(image.digest), image.manifest_size)
    config = Digest.parse(image.image_id) if image.image_id else None
    return buildx_members(config, manifest, [Reference.parse(name) for name in image.names])
