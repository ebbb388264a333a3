"""What is wrong with a piece of a Dockerfile, before its place in the file is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the element of `known` nearest to `word`; empty if none is near."""
    from difflib import get_close_matches  # only when something is wrong

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
