"""Durations as Go's `time.ParseDuration` reads them, which is what HEALTHCHECK takes."""

from __future__ import annotations

import re

from coopery.dockerfile.faults import Fault

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, micro sign
    "μs": 1_000,  # U+03BC, Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")
_MAX = (1 << 63) - 1
#: Digits that a fraction or a whole number can have before they stop to matter or overflow.
_MAX_DIGITS = 18


def parse_duration(text: str) -> int:
    """`1h30m`, `1.5s`, `250ms`, `-2m` in nanoseconds; a plain `0` needs no unit.

    Raises Fault for anything else, and beyond 292 years.
    """
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total = 0
    at = 0
    while part := _PART.match(rest, at):
        whole, fraction, unit = part.groups()
        if not whole and not fraction:
            break
        if unit not in _UNITS:
            raise Fault(f"unknown unit {unit!r} in the duration {text!r}", hint="units are ns, us, ms, s, m, h")
        significant = whole.lstrip("0")
        if len(significant) > _MAX_DIGITS + 1:
            raise _too_long(text)
        total += int(significant or "0") * _UNITS[unit]
        if fraction:
            digits = fraction[:_MAX_DIGITS]
            total += int(float(digits) * (_UNITS[unit] / 10.0 ** len(digits)))
        at = part.end()
    if at == 0 or at != len(rest):
        missing = "has no unit" if re.fullmatch(r"[0-9]*\.?[0-9]+", rest) else "isn't one"
        raise Fault(f"{text!r} is not a duration: it {missing}", hint="write it like 30s, 1m30s or 500ms", near=text)
    if total > _MAX:
        raise _too_long(text)
    return -total if negative else total


def show_duration(nanoseconds: int) -> str:
    """A duration as Go's `Duration.String` writes it, for the history: `1h0m0s`, `1.5s`, `250ms`."""
    if nanoseconds < 0:
        return f"-{show_duration(-nanoseconds)}"
    if nanoseconds < _UNITS["s"]:
        unit = next((unit for unit in ("ms", "µs") if nanoseconds >= _UNITS[unit]), "ns")
        return f"{_decimal(nanoseconds, _UNITS[unit])}{unit}" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{shown}{_decimal(rest, _UNITS['s'])}s"


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = f"{rest:0{len(str(unit)) - 1}}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _too_long(text: str) -> Fault:
    return Fault(f"the duration {text!r} is too long", near=text)
