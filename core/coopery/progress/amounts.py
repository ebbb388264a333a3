"""Sizes and times as people read them."""

from __future__ import annotations


def human_size(count: int) -> str:
    """So many bytes, in decimal units as registries and disks are sold: `310.0 MB`."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def human_time(seconds: float) -> str:
    """So many seconds, to the second from ten on: `4.2 s`, `42 s`, `1 m 12 s`, `2 h 3 m`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} m"
