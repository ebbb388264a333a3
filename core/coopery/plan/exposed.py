"""EXPOSE's port specifications (BuildKit, dockerfile2llb/convert_expose.go)."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.plan.words import Words

_PROTOCOLS = ("tcp", "udp", "sctp")


def exposed_ports(texts: Sequence[str], words: Words) -> list[str]:
    """`port/protocol` for every port that `texts` name, in their order, ranges spelled out."""
    found: list[str] = []
    for text in texts:
        spec, _, protocol = text.partition("/")
        protocol = protocol.lower() or "tcp"
        container = spec.rpartition(":")[2]
        first, dash, last = container.partition("-")
        last = last if dash else first
        good = all(port.isascii() and port.isdecimal() for port in (first, last)) and protocol in _PROTOCOLS
        if not good or not int(first) <= int(last) <= 65535:
            raise words.error(f"EXPOSE: {text!r} is not a port", "write PORT, PORT/udp or FIRST-LAST", text)
        found += (f"{port}/{protocol}" for port in range(int(first), int(last) + 1))
    return found
