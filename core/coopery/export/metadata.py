"""What a build leaves for scripts: `--metadata-file` and `--iidfile`, as buildx writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from coopery.export.destination import replacing
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference


def metadata(config: Digest | None, manifest: Descriptor, names: Sequence[Reference]) -> dict[str, Any]:
    """The members buildx's metadata file has for an image: its digests, its manifest's descriptor and its names. An
    index has no configuration."""
    value: dict[str, Any] = {
        "containerimage.descriptor": manifest.to_json(),
        "containerimage.digest": str(manifest.digest),
    }
    if config:
        value["containerimage.config.digest"] = str(config)
    if names:
        value["image.name"] = ",".join(str(name.or_latest()) for name in names)
    return value


def write_metadata(path: str, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON to `path`. ExportError or StorageError if that can't be."""
    with replacing(path) as write:
        write(memoryview((json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()))


def write_image_id(path: str, config: Digest) -> None:
    """Write the image's ID to `path`, without a newline: the digest of its configuration.

    buildx does so whenever there is one, also for images that were pushed (commands/build.go, getImageID).
    """
    with replacing(path) as write:
        write(memoryview(str(config).encode()))
