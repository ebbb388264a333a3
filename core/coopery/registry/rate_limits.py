"""How many pulls a registry still grants: Docker Hub's headers (docs.docker.com, "Pull usage and limits").

Their form is draft-polli-ratelimit-headers-03's: `ratelimit-limit: 100;w=21600`, a number and a window in seconds.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: A warning is due when fewer than this share of the granted pulls is left.
FEW = 0.1

_QUANTITY = re.compile(r"\s*([0-9]{1,9})\s*(?:;\s*w\s*=\s*([0-9]{1,9})\s*)?(?:[;,].*)?")
_SOURCE = re.compile(r"[0-9A-Za-z:.-]{1,64}")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer said: `remaining` of `limit` pulls in `window` seconds (0: not said), counted for `source`.

    `source` is an address or an account's UUID, empty if it wasn't said. `str()` is a phrase for people.
    """

    limit: int
    remaining: int
    window: int = 0
    source: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """The limit that an answer's headers tell, their names in lower case; None if they don't."""
        limit = _QUANTITY.fullmatch(headers.get("ratelimit-limit", ""))
        remaining = _QUANTITY.fullmatch(headers.get("ratelimit-remaining", ""))
        if not limit or not remaining:
            return None
        source = headers.get("docker-ratelimit-source", "").strip()
        window = limit.group(2) or remaining.group(2) or "0"
        known = source if _SOURCE.fullmatch(source) else ""
        return cls(int(limit.group(1)), int(remaining.group(1)), int(window), known)

    @property
    def few(self) -> bool:
        """Whether it is time to say so."""
        return self.remaining < self.limit * FEW

    def __str__(self) -> str:
        hours, rest = divmod(self.window, 3600)
        period = f" per {hours} h" if hours and not rest else f" per {self.window} s" if self.window else ""
        counted = f", counted for {self.source}" if self.source else ""
        return f"{self.remaining} of {self.limit} pulls{period} left{counted}"


class RateLimits:
    """The last limit that each registry told. Safe to use from any thread."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        """`notice` is told once for each registry when few pulls are left, and once more when none is."""
        self._notice = notice
        self._lock = threading.Lock()
        self._known: dict[str, RateLimit] = {}
        self._told: dict[str, bool] = {}  # by registry: whether it was that none is left

    def see(self, registry: str, headers: Mapping[str, str]) -> None:
        """Take note of an answer's headers."""
        limit = RateLimit.of(headers)
        if not limit:
            return
        none = limit.remaining == 0
        with self._lock:
            self._known[registry] = limit
            tell = limit.few and (registry not in self._told or (none and not self._told[registry]))
            if tell:
                self._told[registry] = none
        if tell:
            self._notice(f"{registry}: {limit}; a credential often raises the limit")

    def known(self) -> dict[str, RateLimit]:
        """What is known, by registry."""
        with self._lock:
            return dict(self._known)
