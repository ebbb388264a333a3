"""Counts what a client moves."""

from __future__ import annotations

import threading
from types import MappingProxyType

from coopery.oci.digest import Digest
from coopery.ports import BlobOutcome, Traffic


class Counter:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pulled = 0
        self._pushed = 0
        self._blobs: dict[tuple[str, Digest], BlobOutcome] = {}

    def pulled(self, size: int) -> None:
        """So many bytes came."""
        with self._lock:
            self._pulled += size

    def pushed(self, size: int) -> None:
        """So many bytes went."""
        with self._lock:
            self._pushed += size

    def placed(self, repository: str, digest: Digest, size: int, outcome: BlobOutcome) -> None:
        """A blob is in a repository now. What was uploaded before, and is found there again, stays uploaded."""
        with self._lock:
            if outcome == "uploaded":
                self._pushed += size
            self._blobs.setdefault((repository, digest), outcome)

    def total(self) -> Traffic:
        """All so far."""
        with self._lock:
            return Traffic(self._pulled, self._pushed, MappingProxyType(dict(self._blobs)))
