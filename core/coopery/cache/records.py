"""Step records: what a cache key led to, kept in the local store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from coopery.cache.store import Store
from coopery.errors import IntegrityError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest


class Outcome(NamedTuple):
    """What one step gave: its layer's diff ID, when it ran (RFC 3339), and how many seconds that took."""

    diff_id: Digest
    created: str
    seconds: float | None = None  # None: not known


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """The outcomes of all steps from the base image up to and including the one with this key.

    Whoever finds a record needs no other: steps in between may have left the cache. The times make a build that
    was found in the cache have the very digest it had at first.
    """

    key: Digest
    outcomes: tuple[Outcome, ...]

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The layers on top of the base image, lowest first."""
        return tuple(outcome.diff_id for outcome in self.outcomes)


class LocalRecords:
    """Records and codings in a Store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def lookup(self, key: Digest) -> CacheRecord | None:
        """The record under `key` if its layers are all still here, else None."""
        value = self._store.read_document("records", key.hex)
        try:
            outcomes = tuple(_outcome(*item) for item in value)
        except (TypeError, ValueError, AttributeError, IntegrityError):
            return None
        record = CacheRecord(key, outcomes)
        return record if outcomes and all(self._store.has_layer(diff_id) for diff_id in record.diff_ids) else None

    def store(self, record: CacheRecord) -> None:
        """Keep `record`."""
        value = [[str(outcome.diff_id), *outcome[1:]] for outcome in record.outcomes]
        self._store.write_document("records", record.key.hex, value)

    def seconds(self, key: Digest) -> tuple[float | None, ...]:
        """How long each step up to the one with this key took when it last ran, whether or not their layers are still
        here; empty if nothing is known."""
        value = self._store.read_document("records", key.hex)
        try:
            return tuple(_outcome(*item).seconds for item in value)
        except (TypeError, ValueError, AttributeError, IntegrityError):
            return ()

    def coded(self, diff_id: Digest, codec: str) -> Descriptor | None:
        """The blob that the layer became under `codec`, if it is still here."""
        value = self._store.read_document("coded", f"{diff_id.hex}.{codec}")
        try:
            descriptor = Descriptor.from_json(value)
        except (IntegrityError, TypeError, AttributeError):
            return None
        return descriptor if self._store.has_blob(descriptor) else None

    def store_coded(self, diff_id: Digest, codec: str, descriptor: Descriptor) -> None:
        """Remember which blob the layer became under `codec`."""
        self._store.write_document("coded", f"{diff_id.hex}.{codec}", descriptor.to_json())


def _outcome(diff_id: str, created: str, seconds: float | None = None) -> Outcome:
    """The outcome that a list of these stands for; older stores don't have the seconds."""
    return Outcome(Digest.parse(diff_id), str(created), None if seconds is None else float(seconds))
