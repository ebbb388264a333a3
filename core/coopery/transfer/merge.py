"""Several images into one index, as `docker buildx imagetools create` puts them together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from coopery.errors import UsageError
from coopery.oci.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index
from coopery.oci.platform import Platform
from coopery.transfer.content import Document

#: What BuildKit's attestations say of the image that they are about.
ATTESTS = "vnd.docker.reference.digest"
#: Architectures with the variant that they are without any (containerd's platforms/database.go).
_IMPLIED = (("amd64", "v1"), ("arm", "v7"), ("arm64", "v8"))


def merge(entries: Iterable[Descriptor], annotations: Mapping[str, str]) -> Index:
    """The index of `entries`. Of two for one platform the later takes the earlier one's place, and the earlier one's
    attestations go with it. It is a Docker manifest list if all entries are Docker's and there is nothing that only an
    OCI index can say.
    """
    kept: list[Descriptor] = []
    replaced = set()
    for entry in entries:
        same = [other for other in kept if _same(other, entry)]
        place = kept.index(same[0]) if same else len(kept)
        kept = [*kept[:place], entry, *(other for other in kept[place:] if other not in same)]
        replaced |= {str(other.digest) for other in same}
    replaced -= {str(entry.digest) for entry in kept}
    kept = [entry for entry in kept if entry.annotations.get(ATTESTS) not in replaced]
    plain = not annotations and not any(entry.annotations for entry in kept)
    docker = plain and all(entry.media_type == DOCKER_MANIFEST for entry in kept)
    return Index(tuple(kept), DOCKER_INDEX if docker else OCI_INDEX, annotations)


def unchanged(sources: Sequence[Document], annotations: Mapping[str, str]) -> Document | None:
    """The one index that is asked for under new names, as it is; None if a new one is wanted."""
    only = sources[0] if len(sources) == 1 and not annotations else None
    return only if only and isinstance(only.value, Index) else None


def parse_annotations(texts: Iterable[str]) -> dict[str, str]:
    """What `--annotation` values say of the index: `KEY=VALUE` or `index:KEY=VALUE`. UsageError for anything else."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        level, colon, key = name.rpartition(":")
        if not equals or not key or (colon and level != "index"):
            hint = "write KEY=VALUE; the images that the index lists keep their own annotations"
            raise UsageError(f"--annotation {text!r} is not an annotation of an index", hint=hint)
        found[key] = value
    return found


def _same(one: Descriptor, other: Descriptor) -> bool:
    return one.digest == other.digest or (one.platform is not None and _platform(one) == _platform(other))


def _platform(entry: Descriptor) -> Platform | Digest | None:
    """What sets an entry apart: its platform, spelt in one way; its digest if it is an attestation."""
    platform = entry.platform
    if platform and platform.os == "unknown":
        return entry.digest
    if platform and (platform.architecture, platform.variant) in _IMPLIED:
        return replace(platform, variant="")
    return platform
