"""What a build has made, before it goes anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from coopery.oci.image import Image, Layer
from coopery.oci.platform import Platform
from coopery.plan.plan import BaseImage


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """The image for one platform, and the one that it was made from."""

    platform: Platform
    image: Image
    base: BaseImage | None

    @property
    def below(self) -> int:
        """How many of its layers came with the base."""
        return len(self.base.image.layers) if self.base else 0

    @property
    def above(self) -> tuple[Layer, ...]:
        """The layers that its own steps made."""
        return self.image.layers[self.below :]
