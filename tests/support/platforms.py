"""Images for several platforms under one name, with programs that run wherever the platform's can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import plainoci
import plainregistry
from coopery.oci.platform import Platform, host
from coopery.sandbox.foreign import TRIABLE, obstacles, trial_program
from plainoci import file
from support import bases

#: What the base is there for: this machine's platform comes first.
PLATFORMS = (str(host()), *(text for text in ("linux/amd64", "linux/arm64", "linux/386") if text != str(host())))
PLATFORMS += ("linux/arm/v7", "linux/arm/v6", "linux/s390x")


def push_base(reference: str, platforms: Sequence[str] = PLATFORMS) -> str:
    """Push the index, and return its digest. Each image has `/which`, the name of its platform, and `/trial`, a program
    that ends well; that for this machine is busybox besides."""
    name = plainregistry.Reference.parse(reference)
    entries = []
    for text in platforms:
        platform = Platform.parse(text)
        tree = {"which": file(text), "trial": file(trial_program(platform.architecture), 0o755)}
        tree |= bases.busybox_tree() if platform == host() else {}
        image = plainoci.image([plainoci.layer(tree)], Env=["PATH=/usr/bin:/bin"])
        described = {"architecture": platform.architecture, "os": platform.os}
        described |= {"variant": platform.variant} if platform.variant else {}
        config = plainoci.canonical({**json.loads(image.config), **described})
        image = plainoci.Image(config, image.layers)
        digest = plainregistry.push(image, f"{reference}-{text.replace('/', '-')}")
        size = len(image.manifest)
        entries.append({"mediaType": plainoci.OCI_MANIFEST, "digest": digest, "size": size, "platform": described})
    index = {"schemaVersion": 2, "mediaType": plainoci.OCI_INDEX, "manifests": entries}
    registry = plainregistry.Registry(name.registry)
    return registry.put_manifest(name.repository, name.tag, json.dumps(index).encode(), plainoci.OCI_INDEX)


@cache
def foreign(directory: Path, *, runnable: bool) -> str:
    """A platform of the base, not this machine's, whose commands can be run here or can't; empty if there is none."""
    mine = [platform for platform in TRIABLE if str(platform) in PLATFORMS and platform != host()]
    reasons = obstacles(mine, str(directory))
    return next((str(platform) for platform in mine if (not reasons[platform]) is runnable), "")
