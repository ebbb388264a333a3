"""What is noticed while a Dockerfile becomes a plan: errors in parts that don't depend on each other, and what checks
find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec

from coopery.errors import (
    ContextError,
    CooperyError,
    DockerfileError,
    NetworkError,
    RegistryError,
    UsageError,
    together,
)

if TYPE_CHECKING:
    from coopery.dockerfile.lint.protocols import Lint

Parameters = ParamSpec("Parameters")

#: Errors of one line, after which others are still worth looking at. Others end everything.
OF_A_LINE = (ContextError, DockerfileError, NetworkError, RegistryError, UsageError)


class LostError(Exception):
    """Something is wrong with what is needed, and was noticed already."""


class Watch:
    """Collects errors, and passes on to the checks, if there are any, what goes by."""

    def __init__(self, path: str, lint: Lint | None = None, errors: Sequence[CooperyError] = ()) -> None:
        """`path` is the Dockerfile's, for messages; `errors` are those known before."""
        self._path = path
        self.lint = lint
        self.errors = list(errors)

    def attempt(
        self, action: Callable[Parameters, object], *args: Parameters.args, **options: Parameters.kwargs
    ) -> bool:
        """Whether `action` went well; an error of a single line is kept, others are raised."""
        try:
            action(*args, **options)
        except LostError:
            return False
        except OF_A_LINE as error:
            self.errors.append(error)
            return False
        return True

    def check(self) -> None:
        """Raise what was kept, if anything."""
        if self.errors:
            raise together(self.errors, self._path)
