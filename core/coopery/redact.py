"""Keeps secrets out of logs: their values, and the Base64 forms of them, become `***`."""

from __future__ import annotations

import re
import threading
from binascii import b2a_base64
from collections.abc import Iterable

MASK = b"***"

#: Values shorter than this many bytes are not masked: they would blot out ordinary text and be guessed from it.
MIN_SECRET = 4
# Shorter lines of a secret of several lines, and shorter pieces of Base64, are too likely to be ordinary text.
_MIN_PIECE = 8
_SHORT = 512
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Redactor:
    """Masks the values it was told of. Values may be added at any time, from any thread.

    Masked are: a value without surrounding white space, each of its lines of 8 bytes or more, and the Base64 forms
    (both alphabets) of the value alone or inside something longer, such as `user:password`.
    """

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        self._lock = threading.Lock()
        self._needles: tuple[bytes, ...] = ()
        self._pattern = re.compile(b"(?!)")
        self._inner: frozenset[int] = frozenset()  # the bytes that needles have before their last one
        self.add(values)

    def add(self, values: Iterable[bytes]) -> None:
        """Mask these values too, from now on."""
        found = {needle for value in values for needle in _needles(value)}
        if not found:
            return
        with self._lock:
            needles = sorted(found | set(self._needles), key=lambda needle: (-len(needle), needle))
            # Longest first, so that the longest one wins where several begin at one place.
            self._pattern = re.compile(b"|".join(map(re.escape, needles)))
            self._inner = frozenset(byte for needle in needles for byte in needle[:-1])
            self._needles = tuple(needles)

    def __call__(self, data: bytes) -> bytes:
        """`data` with every secret masked; for text that is complete in itself."""
        return self._pattern.sub(MASK, data) if self._seen_in(data) else data

    def text(self, text: str) -> str:
        """The same for text."""
        if not self._needles:
            return text
        return self(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _seen_in(self, data: bytes) -> bool:
        # Many fast searches beat one with many alternatives where there is much to search.
        if len(data) < _SHORT:
            return self._pattern.search(data) is not None
        return any(needle in data for needle in self._needles)

    def stream(self) -> RedactedStream:
        """A masker for one stream that arrives in pieces."""
        return RedactedStream(self)


class RedactedStream:
    """One stream's state: the end of what arrived, while it may be the beginning of a secret."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown after `data`, masked.

        Whatever the pieces, their results joined (with `flush`) equal the whole stream masked at once.
        """
        redactor, held = self._redactor, self._held
        if held:
            data = held + data
            self._held = b""
        if not data or not redactor._needles:
            return data
        open_ends = _open_ends(data, redactor._needles) if data[-1] in redactor._inner else []
        if not redactor._seen_in(data):
            hold = open_ends[0] if open_ends else len(data)
            self._held = data[hold:]
            return data[:hold]
        shown: list[bytes] = []
        position = 0
        for match in redactor._pattern.finditer(data):
            # A longer secret may begin before this match, or at its place, and not have ended yet.
            if any(position <= place <= match.start() for place in open_ends):
                break
            shown += (data[position : match.start()], MASK)
            position = match.end()
        hold = next((place for place in open_ends if place >= position), len(data))
        shown.append(data[position:hold])
        self._held = data[hold:]
        return b"".join(shown)

    def flush(self) -> bytes:
        """The rest, masked, when the stream has ended."""
        rest, self._held = self._held, b""
        return self._redactor(rest)


def redactor(values: Iterable[bytes]) -> Redactor:
    """A redactor that masks `values`."""
    return Redactor(values)


def _open_ends(data: bytes, needles: tuple[bytes, ...]) -> list[int]:
    """The places, in order, from which on `data` is the beginning, but not all, of a needle."""
    found = set()
    for needle in needles:
        place = data.find(needle[:1], max(0, len(data) - len(needle) + 1))
        while place >= 0:
            if needle.startswith(data[place:]):
                found.add(place)
            place = data.find(needle[:1], place + 1)
    return sorted(found)


def _needles(value: bytes) -> Iterable[bytes]:
    value = value.strip()
    if len(value) < MIN_SECRET:
        return
    yield value
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _MIN_PIECE)
    for before in range(3):
        # Three bytes make four characters: of each alignment only the characters that depend on the value alone.
        encoded = b2a_base64(b"\0" * before + value, newline=False).rstrip(b"=")
        start = (0, 2, 3)[before]
        end = (before + len(value)) * 8 // 6
        for piece in (encoded[start:end], encoded if not before else b""):
            if len(piece) >= _MIN_PIECE:
                yield piece
                yield piece.translate(_URL_SAFE)
