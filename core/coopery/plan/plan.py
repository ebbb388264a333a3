"""A plan: what a build will do, known whole before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from coopery.errors import Location
from coopery.oci.config import ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.platform import Platform
from coopery.plan.ops import Vertex
from coopery.ports import Fetched


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that a FROM or a COPY --from names, resolved for the platform."""

    name: str  # as the Dockerfile has it
    image: Image
    fetched: Fetched

    @property
    def content(self) -> Digest | None:
        """The chain ID of the whole image; None if it has no layers."""
        chain = self.image.chain_ids
        return chain[-1] if chain else None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One instruction of a stage. With a vertex it makes a layer, without one it changes the configuration only."""

    vertex: Vertex | None
    created_by: str  # as `docker history` shows it


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage with everything expanded."""

    index: int
    name: str
    platform: Platform  # that its commands are run for
    base: Literal["image", "stage", "scratch"]
    base_image: BaseImage | None
    base_stage: int
    root: Digest  # key of the stage's start
    steps: tuple[PlannedStep, ...]
    config: ImageConfig  # the final one, without diff IDs and history
    title: str  # of the FROM line: `[build 1/4] FROM …`
    location: Location

    @property
    def vertices(self) -> tuple[Vertex, ...]:
        """The steps that change the file system."""
        return tuple(step.vertex for step in self.steps if step.vertex)

    @property
    def key(self) -> Digest:
        """The key of the stage's end."""
        vertices = self.vertices
        return vertices[-1].key if vertices else self.root


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages that the target needs, by index, and the images that COPY --from names.

    The plans of one build for several platforms have all their stages and images in common (`joining.join`).
    """

    platform: Platform  # of the image
    stages: Mapping[int, PlannedStage]
    target: int
    images: Mapping[str, BaseImage]
    warnings: tuple[str, ...] = ()

    @property
    def lineage(self) -> tuple[PlannedStage, ...]:
        """The target and the stages it was made FROM, the one with the base image first."""
        line: tuple[PlannedStage, ...] = (self.stages[self.target],)
        while line[0].base == "stage":
            line = (self.stages[line[0].base_stage], *line)
        return line
