"""Expanding the words of one instruction, with its place in every error."""

from __future__ import annotations

from collections.abc import Callable

from coopery.dockerfile.expand import expand, expand_shown, expand_words
from coopery.dockerfile.instructions import Dockerfile
from coopery.errors import DockerfileError, Location


class Words:
    """Expands words with the variables that `get` knows."""

    def __init__(self, dockerfile: Dockerfile, location: Location, get: Callable[[str], str | None]) -> None:
        self._dockerfile = dockerfile
        self._location = location
        self._get = get

    def one(self, text: str) -> str:
        """`text` as one word, quotes removed. DockerfileError if it can't be expanded."""
        return expand(
            text, self._get, self._dockerfile.escape, location=self._location, source=self._dockerfile.lines
        ).text

    def body(self, text: str) -> str:
        """The body of a here-document: quotes are plain characters there, and the escape is always a backslash."""
        return expand(text, self._get, "\\", quotes=False, location=self._location, source=self._dockerfile.lines).text

    def shown(self, text: str) -> str:
        """`text` for people: variables that have a value replaced, everything else as written."""
        return expand_shown(text, self._get, self._dockerfile.escape)

    def many(self, text: str) -> list[str]:
        """The words that `text` becomes: a variable's value may hold several."""
        return expand_words(
            text, self._get, self._dockerfile.escape, location=self._location, source=self._dockerfile.lines
        )

    def error(self, message: str, hint: str = "", near: str = "") -> DockerfileError:
        """An error at this instruction's place, `near` being the piece of it that is at fault."""
        return DockerfileError(message, location=self._location, source=self._dockerfile.lines, near=near, hint=hint)
