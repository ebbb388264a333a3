"""A step's record as remote caches keep it: all that is needed to use the step without having any of its layers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coopery.cache.records import CacheRecord, Outcome
from coopery.errors import IntegrityError
from coopery.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_TYPE_OF, Descriptor
from coopery.oci.digest import Digest

#: Raised when the meaning of a record changes; others are passed over as if they weren't there.
FORMAT = 1
#: No Dockerfile has more steps than this; no record is larger.
_MOST_STEPS = 2000
_LARGEST = 4 << 20
_LARGEST_LAYER = 1 << 40  # bytes
_LONGEST_STEP = 1e7  # seconds
_LAYER_TYPES = frozenset({OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD})
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_CODING = re.compile(r"[a-z]{1,20}(?:-[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """A step's record with the blobs its layers are, and how long it may be used."""

    record: CacheRecord
    layers: tuple[Descriptor, ...]  # in step with the outcomes
    coding: str  # of the layers: `str()` of a Codec
    stored: int  # when, in seconds since 1970
    ttl: int = 0  # seconds from then; 0: for ever

    def is_fresh(self, now: float, ttl: int = 0) -> bool:
        """Whether the record may still be used at `now` (seconds since 1970) by who wants it `ttl` seconds old at
        most."""
        limits = [limit for limit in (self.ttl, ttl) if limit]
        return not limits or now - self.stored < min(limits)

    def to_json(self) -> bytes:
        """The record as a document of its own."""
        steps = [
            {
                "diffId": str(outcome.diff_id),
                "created": outcome.created,
                "type": layer.media_type,
                "digest": str(layer.digest),
                "size": layer.size,
                # Who finds the record has saved it.
                "seconds": outcome.seconds,
            }
            for outcome, layer in zip(self.record.outcomes, self.layers, strict=True)
        ]
        value = {
            "format": FORMAT,
            "key": str(self.record.key),
            "coding": self.coding,
            "stored": self.stored,
            "ttl": self.ttl,
            "steps": steps,
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes | str, key: Digest) -> RemoteRecord | None:
        """The record of `key` that `data` holds; None if it is of another format. IntegrityError for anything that
        isn't such a record."""
        if len(data) > _LARGEST:
            raise IntegrityError("the record is too large")
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                return None
            if value["key"] != str(key):
                raise IntegrityError("the record is that of another step")
            return _record(key, value)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise IntegrityError(f"the record is malformed ({type(error).__name__})") from error


def _record(key: Digest, value: Mapping[str, Any]) -> RemoteRecord:
    steps = value["steps"]
    if not isinstance(steps, list) or not 0 < len(steps) <= _MOST_STEPS:
        raise IntegrityError("the record is malformed: it has no steps, or too many")
    outcomes, layers = [], []
    for step in steps:
        outcomes.append(outcome_of(step["diffId"], step["created"], step.get("seconds")))
        layers.append(checked_layer(Descriptor.from_json({**step, "mediaType": step["type"], "urls": None})))
    return RemoteRecord(
        CacheRecord(key, tuple(outcomes)),
        tuple(layers),
        checked_coding(value["coding"]),
        _whole(value["stored"]),
        _whole(value["ttl"]),
    )


def outcome_of(diff_id: Any, created: Any, seconds: Any = None) -> Outcome:
    """An outcome out of untrusted values; IntegrityError unless they can be such."""
    if not isinstance(created, str) or not _TIME.fullmatch(created):
        raise IntegrityError(f"{str(created)[:100]!r} is not a time")
    known = type(seconds) in (int, float) and 0 <= seconds < _LONGEST_STEP
    return Outcome(Digest.parse(diff_id), created, float(seconds) if known else None)


def checked_layer(descriptor: Descriptor) -> Descriptor:
    """The descriptor of a layer's blob, in OCI's types and with nothing beyond what is needed; IntegrityError if
    it can't be one."""
    media_type = OCI_TYPE_OF.get(descriptor.media_type, descriptor.media_type)
    if media_type not in _LAYER_TYPES or descriptor.size > _LARGEST_LAYER or descriptor.urls:
        raise IntegrityError(f"{descriptor.digest} is not the blob of a layer")
    return Descriptor(media_type, descriptor.digest, descriptor.size)


def checked_coding(value: Any) -> str:
    """The name of a codec and its level; IntegrityError for anything else."""
    if not isinstance(value, str) or not _CODING.fullmatch(value):
        raise IntegrityError(f"{str(value)[:100]!r} is not a way of compressing")
    return value


def seconds_since_1970(time: str) -> int:
    """What an RFC 3339 time says; IntegrityError if it isn't one."""
    from datetime import datetime  # only inline caches need it

    try:
        return int(datetime.fromisoformat(time).timestamp())
    except (ValueError, OverflowError) as error:
        raise IntegrityError(f"{time[:100]!r} is not a time") from error


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 60:
        raise IntegrityError(f"{str(value)[:100]!r} is not a number of seconds")
    return value
