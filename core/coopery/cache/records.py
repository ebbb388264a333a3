"""Step records: what a cache key led to, kept in the local store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from coopery.cache.store import Store
from coopery.errors import IntegrityError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest


class Outcome(NamedTuple):
    """What one step gave: its layer's diff ID, and when it ran (RFC 3339)."""

    diff_id: Digest
    created: str


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
            outcomes = tuple(Outcome(Digest.parse(diff_id), str(created)) for diff_id, created in value)
        except (TypeError, ValueError, AttributeError, IntegrityError):
            return None
        record = CacheRecord(key, outcomes)
        return record if outcomes and all(self._store.has_layer(diff_id) for diff_id in record.diff_ids) else None

    def store(self, record: CacheRecord) -> None:
        """Keep `record`."""
        value = [[str(outcome.diff_id), outcome.created] for outcome in record.outcomes]
        self._store.write_document("records", record.key.hex, value)

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
