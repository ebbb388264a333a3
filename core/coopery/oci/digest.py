"""Content digests, as in the OCI image specification, descriptor.md#digests."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from coopery.errors import IntegrityError

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")


class Digest(NamedTuple):
    """An algorithm and the hexadecimal digits it gave; `str()` is the usual `sha256:…`."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that `text` spells; IntegrityError if it isn't one of a known algorithm and right length."""
        algorithm, _, digits = text.partition(":")
        if _LENGTHS.get(algorithm) != len(digits) or not _HEX.fullmatch(digits):
            raise IntegrityError(f"{text[:100]!r} is not a digest", hint="a digest looks like sha256:<64 hex digits>")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Digest:
        """The SHA-256 digest of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def check(self, data: bytes, what: str) -> bytes:
        """`data` itself if it has this digest; IntegrityError naming `what` otherwise."""
        actual = hashlib.new(self.algorithm, data).hexdigest()
        if actual != self.hex:
            raise IntegrityError(f"{what} has digest {self.algorithm}:{actual}, but {self} was expected")
        return data
