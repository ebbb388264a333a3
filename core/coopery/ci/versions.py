"""Version numbers in the names of tags: Semantic Versioning and PEP 440. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:[0-9]*[a-zA-Z-][0-9a-zA-Z-]*|{_NUMBER})"
_SEMVER = re.compile(
    rf"v?({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
# The limits of semver.js: its internal/constants.js.
_LONGEST = 256
_LARGEST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """A version number. `text` is its normal form, `raw` what was read."""

    raw: str
    text: str
    major: int
    minor: int
    patch: int
    release: bool  # rather than a version before one (or, in PEP 440, after one)
    prerelease: tuple[str, ...] = field(default=())  # Semantic Versioning only, as the next
    build: tuple[str, ...] = field(default=())


def semver(text: str) -> Version | None:
    """The version that `text` is by Semantic Versioning 2.0.0, also with a leading `v`; None if it isn't one.

    As semver.js reads it, which metadata-action uses: the build metadata is not part of the normal form.
    """
    match = _SEMVER.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        return None
    major, minor, patch = (int(part) for part in match.groups()[:3])
    if max(major, minor, patch) > _LARGEST:
        return None
    before, build = (tuple(part.split(".")) if part else () for part in match.groups()[3:])
    normal = f"{major}.{minor}.{patch}" + (f"-{match[4]}" if before else "")
    return Version(text, normal, major, minor, patch, not before, before, build)


def pep440(text: str) -> Version | None:
    """The version that `text` is by PEP 440, in any of its spellings; None if it isn't one."""
    from packaging.version import InvalidVersion
    from packaging.version import Version as Parsed

    if text != text.strip():
        return None
    try:
        found = Parsed(text)
    except (InvalidVersion, ValueError):
        return None
    release = not (found.is_prerelease or found.is_postrelease or found.is_devrelease)
    return Version(text, str(found), found.major, found.minor, found.micro, release)
