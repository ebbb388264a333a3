"""Points in time as image configurations have them."""

from __future__ import annotations

import time


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC, to the nanosecond, for a time since 1970."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest:09}Z" if rest else f"{text}Z"
