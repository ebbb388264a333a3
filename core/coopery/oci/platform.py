"""Platforms: operating system, architecture and variant, spelled as Docker and the OCI index spell them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from coopery.errors import UsageError

# GOARCH names for what uname(2) and people call machines; containerd platforms/database.go has the same pairs.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}


_PART = re.compile(r"[a-z0-9_][a-z0-9_-]*")
_IMPLIED_VARIANTS = {"amd64": "v1", "arm": "v7", "arm64": "v8"}


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on. `str()` is `os/architecture[/variant]`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """The platform that `text` names, normalised (`x86_64` is amd64, `linux/arm64/v8` is linux/arm64, and linux/arm
        is linux/arm/v7), as containerd does.

        A lone architecture means linux. UsageError if it can't be read.
        """
        parts = text.strip().lower().split("/")
        if len(parts) == 1 and parts[0] in ("linux", "windows", "darwin"):
            parts = [parts[0], host().architecture]
        elif len(parts) == 1:
            parts = ["linux", parts[0]]
        if len(parts) > 3 or not all(map(_PART.fullmatch, parts)):
            raise UsageError(f"{text!r} is not a platform", hint="write os/architecture[/variant], such as linux/amd64")
        architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        if len(parts) == 3:
            variant = f"v{parts[2]}" if parts[2].isdigit() else parts[2]
        if architecture == "arm":
            variant = variant or _IMPLIED_VARIANTS["arm"]
        elif variant == _IMPLIED_VARIANTS.get(architecture):
            variant = ""
        return cls(parts[0], architecture, variant)

    def satisfies(self, wanted: Platform) -> bool:
        """Whether an image for this platform serves someone who wants `wanted`.

        An unset variant matches any; and a processor runs what is made for the lower variants of its architecture
        (containerd's platforms/compare.go).
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return False
        if not self.variant or not wanted.variant or self.variant == wanted.variant:
            return True
        return 0 < self._level <= wanted._level

    def closeness(self, wanted: Platform) -> tuple[bool, bool, int]:
        """Among platforms that satisfy `wanted`, the greatest of these is the best choice.

        arm64 without a variant is v8, arm without one v7, amd64 without one v1.
        """
        return self.variant == wanted.variant, self._level == wanted._level, self._level

    @property
    def _level(self) -> int:
        variant = self.variant or _IMPLIED_VARIANTS.get(self.architecture, "")
        digits = variant.removeprefix("v")
        return int(digits[:9]) if digits.isascii() and digits.isdigit() else 0


def host() -> Platform:
    """The platform of this machine."""
    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)
