"""What the planner asks of the world."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.engines.contexts import Contexts
from coopery.engines.images import Images
from coopery.errors import CooperyError, Location
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp
from coopery.plan.plan import BaseImage


class Lookups:
    """What the planner asks, answered with errors that have a place."""

    def __init__(self, images: Images, contexts: Contexts, source: Sequence[str]) -> None:
        self._images = images
        self._contexts = contexts
        self._source = source

    def image(self, reference: str, location: Location) -> BaseImage:
        """The image that `reference` names."""
        try:
            return self._images.get(reference)
        except CooperyError as error:
            error.at(location, self._source)
            raise

    def context_files(self, op: CopyOp, location: Location) -> Digest:
        """The key of the files that a COPY or ADD selects."""
        try:
            return self._contexts.key(op)
        except CooperyError as error:
            error.at(location, self._source)
            raise
