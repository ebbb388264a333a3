"""Report: what a CI build did, as one value that every platform renders its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from coopery.ci.revision import Revision

Level = Literal["error", "warning", "notice"]
StepOutcome = Literal["done", "cached", "failed", "canceled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about the build that has, or may have, a place in a file."""

    level: Level
    message: str
    hint: str = ""
    detail: str = ""  # more lines: an excerpt, a registry's own words
    log: str = ""  # the end of the failed step's output
    rule: str = ""  # the name of the check that found it, such as a lint rule's
    file: str = ""  # relative to the repository where it lies in it
    line: int = 0  # from 1; 0 if there is no place
    end_line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One step of a build. Times are seconds."""

    name: str
    outcome: StepOutcome
    seconds: float
    saved: float | None = None  # what it took when it last ran, if it was found in a cache and that is known
    line: int = 0  # in the Dockerfile, from 1; 0 for the builder's own steps
    end_line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """A layer of the image. Sizes are bytes."""

    digest: str
    size: int  # compressed
    created_by: str
    base: bool  # whether it came with the base image
    platform: str = ""  # of the image that has it, if there are several


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheResult:
    """What the cache did for a build. Sizes are bytes, times seconds."""

    hits: int = 0
    misses: int = 0
    seconds_saved: float = 0.0
    pulled: int = 0  # bytes that came from registries and remote caches
    pushed: int = 0  # bytes that were uploaded
    reused: int = 0  # bytes of the image that lay at its destinations already, or were mounted there
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One built image: of a target, for a platform or as an index of several."""

    target: str  # in coopery.yaml; empty if there is only one
    platforms: tuple[str, ...]
    names: tuple[str, ...]  # every `image:tag`, pushed or not
    version: str  # the main tag
    pushed: bool
    digest: str  # of the manifest or index, `sha256:…`
    image_id: str  # of the configuration; empty for an index
    media_type: str
    size: int  # bytes to pull: the sum of the blobs, of all platforms
    seconds: float
    manifest_size: int = 0  # bytes of what `digest` names
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    layers: tuple[LayerResult, ...] = ()
    steps: tuple[StepResult, ...] = ()
    cache: CacheResult = CacheResult()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that one `coopery ci` run did."""

    revision: Revision
    images: tuple[ImageResult, ...] = ()
    findings: tuple[Finding, ...] = ()  # warnings and notices, in order
    error: Finding | None = None  # why it failed
    failed_target: str = ""  # which of several targets `error` is about
    steps: tuple[StepResult, ...] = ()  # of the build that failed; those of others are in `images`
    exit_code: int = 0
    seconds: float = 0.0
