"""What is wrong with a piece of a Dockerfile, before its place in the file is known."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.errors import DockerfileError, Location


class Fault(ValueError):
    """Raised by the functions that see one statement only; `at` makes a DockerfileError of it.

    `near` is the piece of source that is at fault, for the caret under it.
    """

    def __init__(self, message: str, *, hint: str = "", near: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.near = near

    def at(self, location: Location | None, source: Sequence[str] = ()) -> DockerfileError:
        """The error to show to the user, with an excerpt of `source` around `location`."""
        return DockerfileError(self.message, location=location, source=source, near=self.near, hint=self.hint)


class UnknownFault(Fault):
    """An instruction or a flag that the language doesn't have; a later version of it might."""
