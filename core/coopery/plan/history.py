"""Lines of an image's history as BuildKit writes them (dockerfile2llb/convert.go), by Go's `%q`, `%v` and `%+v`."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.oci.config import HealthCheck

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPES |= {"\t": "\\t", "\v": "\\v"}


def quoted(argv: Sequence[str]) -> str:
    """The words of a CMD or ENTRYPOINT: `["sh" "-c" "a \\"b\\""]`."""
    return f"[{' '.join(_quoted(word) for word in argv)}]"


def _quoted(word: str) -> str:
    return '"' + "".join(_ESCAPES.get(each) or (each if each.isprintable() else _code(each)) for each in word) + '"'


def _code(character: str) -> str:
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def health(check: HealthCheck) -> str:
    """A HEALTHCHECK with all that it says and doesn't say."""
    from coopery.dockerfile.durations import show_duration  # HEALTHCHECK is rare

    times = (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    )
    shown = " ".join(f"{name}:{show_duration(time)}" for name, time in times)
    return f"HEALTHCHECK {{Test:[{' '.join(check.test)}] {shown} Retries:{check.retries}}}"
