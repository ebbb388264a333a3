"""From a reference to the image for one platform behind it."""

from __future__ import annotations

from collections.abc import Iterable

from coopery.errors import IntegrityError, NotFound
from coopery.oci.descriptor import INDEX_TYPES, Descriptor
from coopery.oci.manifest import Index, Manifest, parse_manifest
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import Fetched, Source

#: Configurations beyond this many bytes are refused: they are held in memory.
MAX_CONFIG_SIZE = 8 << 20


def fetch_image(source: Source, reference: Reference, platform: Platform) -> Fetched:
    """The manifest and configuration of the image that `reference` names for `platform`.

    An index is resolved, and an index within an index once. A manifest without an index is taken as it is, whatever
    its platform: the configuration says which that is. NotFound, listing what there is, if no manifest serves
    `platform`; the registry's errors otherwise.
    """
    reference = reference.or_latest()
    top, data = source.manifest(reference)
    chosen, document = top, parse_manifest(data, top.media_type)
    if isinstance(document, Index):
        chosen, data, document = _resolve(source, reference, document, platform)
    return Fetched(reference.at(top.digest), top, chosen, data, _config(source, reference, document))


def _resolve(
    source: Source, reference: Reference, index: Index, platform: Platform
) -> tuple[Descriptor, bytes, Manifest]:
    offered: list[Platform] = []
    chosen = index.select(platform)
    # An index that lists further indexes often doesn't say which platforms are in them.
    inner = [entry for entry in index.manifests if entry.media_type in INDEX_TYPES and not entry.platform]
    for entry in [chosen] if chosen else inner:
        data, document = _get(source, reference, entry)
        if isinstance(document, Manifest):
            return entry, data, document
        deeper = document.select(platform)
        if deeper:
            data, last = _get(source, reference, deeper)
            if isinstance(last, Index):
                raise IntegrityError(f"{reference} is an index within an index within an index")
            return deeper, data, last
        offered += _platforms(document.manifests)
    offered += _platforms(index.manifests)
    names = sorted({str(one) for one in offered})
    raise NotFound(
        f"{reference} has no {platform}; it offers {', '.join(names) or 'no platform at all'}",
        hint="build for a platform that the base image has, or choose another base",
    )


def _get(source: Source, reference: Reference, entry: Descriptor) -> tuple[bytes, Manifest | Index]:
    found, data = source.manifest(reference.at(entry.digest))
    if len(data) != entry.size:
        raise IntegrityError(f"{reference} lists {entry.digest} with {entry.size} bytes, but it has {len(data)}")
    if found.media_type != entry.media_type:
        raise IntegrityError(f"{reference} lists {entry.digest} as {entry.media_type}, but it is {found.media_type}")
    return data, parse_manifest(data, entry.media_type)


def _config(source: Source, reference: Reference, manifest: Manifest) -> bytes:
    if manifest.config.size > MAX_CONFIG_SIZE:
        raise IntegrityError(f"the configuration of {reference} is larger than {MAX_CONFIG_SIZE} bytes")
    return b"".join(source.blob(reference, manifest.config))


def _platforms(entries: Iterable[Descriptor]) -> list[Platform]:
    """The platforms of `entries`, without those of attestations, which call themselves unknown/unknown."""
    return [entry.platform for entry in entries if entry.platform and entry.platform.os != "unknown"]
