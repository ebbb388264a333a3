"""Layers that are known and not here: what remote caches say they have, fetched when somebody needs the bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coopery.errors import CooperyError, IntegrityError
from coopery.oci.digest import Digest
from coopery.oci.image import Layer
from coopery.oci.reference import Reference

if TYPE_CHECKING:
    from coopery.cache.remote.protocol import Cache


class LayerLost(IntegrityError):
    """A layer that a remote cache promised can't be had, or isn't what it should be: its step has to be run."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A layer's blob in a cache, compressed as `coding` says (`str()` of a Codec)."""

    layer: Layer
    coding: str
    cache: Cache


class Offers:
    """What is on offer for a build. Safe to use from any thread."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """`warn` is told of each offer that turns out to be worthless."""
        self._warn = warn
        self._lock = threading.Lock()
        self._offers: list[Offer] = []
        self._refused: set[tuple[str, Layer]] = set()
        self._lost: set[Digest] = set()
        self._fetched: dict[str, int] = {}

    def add(self, offer: Offer) -> bool:
        """Note an offer; False if it was refused before."""
        with self._lock:
            if (offer.cache.identity, offer.layer) in self._refused:
                return False
            if offer not in self._offers:
                self._offers.append(offer)
            return True

    def of_layer(self, diff_id: Digest) -> Offer | None:
        """An offer of the layer, or None."""
        with self._lock:
            return next((offer for offer in self._offers if offer.layer.diff_id == diff_id), None)

    def of_blob(self, digest: Digest) -> Offer | None:
        """An offer of the blob, or None."""
        with self._lock:
            return next((offer for offer in self._offers if offer.layer.descriptor.digest == digest), None)

    def places(self, digest: Digest) -> Sequence[Reference]:
        """The repositories that should have the blob."""
        with self._lock:
            found = [offer.cache.place for offer in self._offers if offer.layer.descriptor.digest == digest]
        return [place for place in found if place]

    def pieces(self, offer: Offer) -> Iterator[bytes]:
        """The blob's bytes, counted."""
        name = offer.cache.name
        for piece in offer.cache.blob(offer.layer.descriptor):
            with self._lock:
                self._fetched[name] = self._fetched.get(name, 0) + len(piece)
            yield piece

    def refuse(self, offer: Offer, error: CooperyError) -> None:
        """The offer is worthless for the reason that `error` gives: it isn't made again."""
        with self._lock:
            if offer not in self._offers:
                return
            self._offers.remove(offer)
            self._refused.add((offer.cache.identity, offer.layer))
            self._lost.add(offer.layer.diff_id)
        offer.cache.refuse(offer.layer.descriptor)
        self._warn(f"{offer.cache.name}: a cached layer is refused: {error.message}")

    def is_lost(self, diff_id: Digest) -> bool:
        """Whether offers of the layer were refused and none is left."""
        with self._lock:
            return diff_id in self._lost and all(offer.layer.diff_id != diff_id for offer in self._offers)

    def take_lost(self) -> Sequence[Digest]:
        """The layers of which an offer was refused since this was asked last."""
        with self._lock:
            lost, self._lost = self._lost, set()
        return list(lost)

    def fetched(self, name: str) -> int:
        """How many bytes came from the cache of that name."""
        with self._lock:
            return self._fetched.get(name, 0)
