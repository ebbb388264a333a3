"""Records of remote caches: they come back as they were, and nothing else gets through."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coopery.cache.records import CacheRecord, Outcome
from coopery.cache.remote.record import RemoteRecord
from coopery.errors import IntegrityError
from coopery.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from coopery.oci.digest import Digest

digests = st.binary(max_size=8).map(Digest.of)
layers = st.builds(
    Descriptor,
    st.sampled_from([OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD]),
    digests,
    st.integers(0, 1 << 40),
)
outcomes = st.builds(
    Outcome,
    digests,
    st.sampled_from(["2026-03-04T05:06:07Z", "2026-03-04T05:06:07.123456789Z", "1970-01-01T00:00:00+01:00"]),
    st.none() | st.floats(0, 1e6),
)
steps = st.lists(st.tuples(outcomes, layers), min_size=1, max_size=5)
KEY = Digest.of(b"key")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | digests.map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def made(pairs: list[tuple[Outcome, Descriptor]], stored: int = 7, ttl: int = 0) -> RemoteRecord:
    record = CacheRecord(KEY, tuple(outcome for outcome, _ in pairs))
    return RemoteRecord(record, tuple(layer for _, layer in pairs), "gzip-1", stored, ttl)


@given(steps, st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_records_come_back(pairs: list[tuple[Outcome, Descriptor]], stored: int, ttl: int) -> None:
    record = made(pairs, stored, ttl)
    assert RemoteRecord.parse(record.to_json(), KEY) == record


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused(data: bytes) -> None:
    try:
        assert RemoteRecord.parse(data, KEY) is None
    except IntegrityError:
        return


@given(steps, st.data())
def test_a_record_with_one_wrong_part_is_refused_or_still_one(
    pairs: list[tuple[Outcome, Descriptor]], data: st.DataObject
) -> None:
    """Whatever stands in the place of one member: no other error than IntegrityError, and no other kind of value."""
    value: dict[str, Any] = json.loads(made(pairs).to_json())
    place = data.draw(st.sampled_from([value, value["steps"][0]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(values)
    try:
        record = RemoteRecord.parse(json.dumps(value).encode(), KEY)
    except IntegrityError:
        return
    if record:
        assert record.record.key == KEY
        assert all(type(layer.size) is int and not layer.urls for layer in record.layers)
        assert len(record.layers) == len(record.record.outcomes)


def test_a_record_of_another_step_is_refused() -> None:
    record = made([(Outcome(KEY, "2026-03-04T05:06:07Z"), Descriptor(OCI_LAYER, KEY, 1))])
    try:
        RemoteRecord.parse(record.to_json(), Digest.of(b"other"))
    except IntegrityError:
        return
    raise AssertionError
