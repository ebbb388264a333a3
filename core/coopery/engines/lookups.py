"""What the planner asks of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coopery.dockerfile.instructions import Dockerfile
from coopery.engines.contexts import Contexts
from coopery.engines.images import Images
from coopery.errors import CooperyError, Location, NetworkError, RegistryError, did_you_mean
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.plan.ops import CopyOp
from coopery.plan.plan import BaseImage

if TYPE_CHECKING:
    from coopery.dockerfile.lint.protocols import Lint


class Lookups:
    """What the planner asks, answered with errors that have a place."""

    def __init__(
        self,
        images: Images,
        contexts: Contexts,
        dockerfile: Dockerfile,
        lint: Lint | None = None,
        *,
        read: bool = True,
    ) -> None:
        """`lint` is told of images. Without `read` files are only looked for, and their key means nothing."""
        self._images = images
        self._contexts = contexts
        self._source = dockerfile.lines
        self._stages = dockerfile.stages
        self._lint = lint
        self._read = read

    def image(self, reference: str, platform: Platform, location: Location) -> BaseImage:
        """The image that `reference` names, for `platform`."""
        try:
            found = self._images.get(reference, platform)
        except (NetworkError, RegistryError) as error:
            above = [stage.name for stage in self._stages if stage.name and stage.location.line < location.line]
            if not error.location and (stage := did_you_mean(reference, above)):
                error.hint = f"{stage} That is a stage; otherwise {error.hint or 'see that the image is there'}"
            error.at(location, self._source, near=reference)
            raise
        except CooperyError as error:
            error.at(location, self._source, near=reference)
            raise
        if self._lint:
            got = found.image.config.platform
            is_for, wanted = (f"{one.os}/{one.architecture}" for one in (got, platform))
            self._lint.image(reference, wanted, is_for, location)
        return found

    def mounted_files(self, context: str, path: str, location: Location) -> Digest:
        """The key of what a mount shows of a context."""
        try:
            if not self._read:
                self._contexts.find_mounted(context, path)
                return Digest.of(b"")
            return self._contexts.mounted_key(context, path)
        except CooperyError as error:
            error.at(location, self._source, near=path)
            raise

    def context_files(self, op: CopyOp, location: Location) -> Digest:
        """The key of the files that a COPY or ADD selects."""
        try:
            if not self._read:
                self._contexts.find(op)
                return Digest.of(b"")
            return self._contexts.key(op)
        except CooperyError as error:
            error.at(location, self._source, near=next((text for text in op.patterns if text in error.message), ""))
            raise
