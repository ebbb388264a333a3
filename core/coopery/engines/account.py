"""The account of a build: what it made, how, and what that took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coopery.engines.built import BuiltImage
from coopery.engines.outputs import Delivered, annotations_of
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import StepRecord, Traffic
from coopery.request import BuildRequest


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer of the image, and the line of history it came with."""

    descriptor: Descriptor
    created_by: str  # empty if the history doesn't say
    base: bool  # whether it came with the base image


@dataclass(frozen=True, slots=True)
class ImageAccount:
    """One image that a build made."""

    platform: Platform
    image: Image
    digest: Digest  # of its manifest, in OCI's media types
    config_digest: Digest
    annotations: Mapping[str, str]  # of the manifest
    layers: tuple[BuiltLayer, ...]


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What one cache was good for."""

    cache: str  # its name
    hits: int  # steps that were found there
    fetched: int  # bytes of layers that came from there


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did, as one value. Sizes are bytes, times seconds."""

    images: tuple[ImageAccount, ...]  # one for each platform
    indexed: bool  # whether they are in an index
    manifest: Descriptor  # of the image, or of the index
    annotations: Mapping[str, str]  # of `manifest`
    names: tuple[Reference, ...]
    delivered: tuple[Delivered, ...]
    size: int  # to pull all of it: configurations and compressed layers, each once
    steps: tuple[StepRecord, ...]  # those with a location are the Dockerfile's, found or run
    warnings: tuple[str, ...]
    seconds: float
    pulled: int  # from registries
    pushed: int  # to registries
    found: int  # of the image, in the repositories it was pushed to
    mounted: int  # of the image, into the repositories it was pushed to
    caches: tuple[CacheUse, ...] = ()  # the remote ones, and this machine beside them

    @property
    def image_id(self) -> Digest:
        """What Docker calls the image: the digest of its configuration. An index goes by its own, as with buildx."""
        return self.manifest.digest if self.indexed else self.images[0].config_digest

    @property
    def hits(self) -> int:
        """How many steps of the Dockerfile were found in the cache."""
        return sum(step.location is not None and step.outcome == "cached" for step in self.steps)

    @property
    def misses(self) -> int:
        """How many steps of the Dockerfile were run."""
        return sum(step.location is not None and step.outcome == "done" for step in self.steps)

    @property
    def seconds_saved(self) -> float:
        """What the steps that were found took when they last ran, as far as that is known."""
        return sum(step.saved or 0.0 for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The account as `--metadata-file` has it, under `coopery.build`."""
        return {
            "seconds": round(self.seconds, 3),
            "size": self.size,
            "cache": {
                "hits": self.hits,
                "misses": self.misses,
                "secondsSaved": round(self.seconds_saved, 3),
                "sources": [{"cache": use.cache, "hits": use.hits, "fetched": use.fetched} for use in self.caches],
            },
            "traffic": {
                "pulled": self.pulled,
                "pushed": self.pushed,
                "found": self.found,
                "mounted": self.mounted,
            },
            "layers": [
                {
                    **({"platform": str(image.platform)} if self.indexed else {}),
                    **layer.descriptor.to_json(),
                    "createdBy": layer.created_by,
                    "base": layer.base,
                }
                for image in self.images
                for layer in image.layers
            ],
            "steps": [_step_json(step) for step in self.steps],
            "warnings": list(self.warnings),
        }


def image_account(built: BuiltImage, request: BuildRequest) -> ImageAccount:
    """The account of one image that was built as `request` asks."""
    manifest, _ = built.image.manifest(annotations=annotations_of(request, "manifest", built.platform))
    return ImageAccount(
        platform=built.platform,
        image=built.image,
        digest=Digest.of(manifest.serialize()),
        config_digest=manifest.config.digest,
        annotations=manifest.annotations,
        layers=built_layers(built.image, built.below),
    )


def built_layers(image: Image, below: int) -> tuple[BuiltLayer, ...]:
    """The layers of `image`, the first `below` of which came with its base."""
    lines = [entry.created_by for entry in image.config.history if not entry.empty_layer]
    told = len(lines) == len(image.layers)  # histories may be shortened, or missing
    return tuple(
        BuiltLayer(layer.descriptor, lines[index] if told else "", index < below)
        for index, layer in enumerate(image.layers)
    )


def reused(blobs: Sequence[Descriptor], delivered: Sequence[Delivered], traffic: Traffic) -> tuple[int, int]:
    """How many bytes of `blobs` were found in the repositories that the image was pushed to, and how many were
    mounted there. A repository whose tag named the image already was asked for none: it has them all.
    """
    found = mounted = 0
    repositories = {place.reference.name for place in delivered if place.reference}
    for repository in repositories:
        for blob in blobs:
            outcome = "elsewhere" if blob.urls else traffic.blobs.get((repository, blob.digest), "exists")
            found += blob.size if outcome == "exists" else 0
            mounted += blob.size if outcome == "mounted" else 0
    return found, mounted


def told_once(steps: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
    """The steps that something happened to. A build that had to begin anew, because a cache had lost a layer, has some
    of the Dockerfile's twice: of these the one that ran, or else the later one, is told of."""
    chosen: dict[object, StepRecord] = {}
    for step in steps:
        key = (step.name, step.location) if step.location else step.number
        if step.outcome != "waiting" and (key not in chosen or chosen[key].outcome != "done"):
            chosen[key] = step
    return tuple(chosen.values())


def _step_json(step: StepRecord) -> dict[str, Any]:
    value: dict[str, Any] = {"name": step.name, "outcome": step.outcome, "seconds": round(step.seconds, 3)}
    if step.location:
        value |= {"line": step.location.line, "endLine": step.location.end_line}
    if step.saved is not None:
        value["saved"] = round(step.saved, 3)
    return value
