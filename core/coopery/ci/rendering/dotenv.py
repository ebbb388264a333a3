"""Variables as a dotenv file that means the same to everyone who reads such files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from coopery.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Nothing that a shell, a CI system or a dotenv library would expand, unquote, cut off or take for a comment.
_VALUE = re.compile(r"[A-Za-z0-9._/:@%+,=-]*")


def dotenv(variables: Mapping[str, str]) -> str:
    """One `NAME=value` line for each variable.

    There is no quoting that all readers agree on: some keep the quotes, some expand what is inside them. So values are
    written bare, and UsageError is raised for one that would need quotes, as for a name that isn't one.
    """
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not a variable's name", hint="letters, digits and _")
        if not _VALUE.fullmatch(value):
            raise UsageError(
                f"the value of {name} can't be put into a dotenv file: {value[:100]!r}",
                hint="letters, digits and . _ / : @ % + , = - can stand there",
            )
    return "".join(f"{name}={value}\n" for name, value in variables.items())
