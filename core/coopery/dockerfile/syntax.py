"""`# syntax=`, which names an image that BuildKit would parse the file with. Here nothing but this version reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: The last version of the language whose features are here, of docker/dockerfile.
VERSION = (1, 26)

_OFFICIAL = re.compile(
    r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?::([0-9]+)(?:\.([0-9]+))?(?:\.[0-9]+)?)?(?:@.*)?"
)


def note(directives: Mapping[str, str]) -> str:
    """What to say of the syntax that a file asks for when it has what isn't known here; empty if we know all of it."""
    wanted = directives.get("syntax", "").split(" ")[0]
    if not wanted:
        return ""
    official = _OFFICIAL.fullmatch(wanted)
    if official:
        major, minor = int(official[1] or VERSION[0]), int(official[2] or 0)
        if (major, minor) <= VERSION:
            return ""
    known = ".".join(map(str, VERSION))
    return f"The file asks for the syntax {wanted}, which isn't executed here; what Dockerfile {known} has is known."
