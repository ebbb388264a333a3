"""A blob on its way out: whatever is sent again, the registry gets the blob or the push is an error."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopery.errors import IntegrityError
from coopery.oci.descriptor import OCI_LAYER, Descriptor
from coopery.oci.digest import Digest
from coopery.registry import body
from coopery.registry.body import BlobSource

DATA = st.binary(min_size=1, max_size=400)
#: Where to go back to, and how much to read at a time, as fractions and as numbers.
STEPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 90), st.integers(0, 6)), max_size=8)


def described(data: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER, Digest.of(data), len(data))


class OneWay(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.fixture(autouse=True, scope="module")
def short_marks() -> object:
    patch = pytest.MonkeyPatch()
    patch.setattr(body, "MARK_EVERY", 32)
    yield
    patch.undo()


def sent(source: BlobSource, size: int, steps: list[tuple[float, int, int]]) -> bytes:
    """What a registry holds after `steps` that break, each going on from a place it says it has, and a last one."""
    held = bytearray()
    for fraction, amount, reads in [*steps, (1.0, 64, 1 << 20)]:
        start = int(fraction * len(held))
        del held[start:]
        span = source.span(start, size)
        assert len(span) == size - start
        for piece in itertools.islice(iter(lambda: span.read(amount), b""), reads):  # noqa: B023
            assert len(piece) <= amount
            held += piece
    return bytes(held)


@given(DATA, STEPS, st.sampled_from([io.BytesIO, OneWay]))
def test_the_registry_gets_the_blob_however_often_it_breaks(
    data: bytes, steps: list[tuple[float, int, int]], kind: type[io.BytesIO]
) -> None:
    source = BlobSource(lambda: kind(data), described(data))
    assert sent(source, len(data), steps) == data


@settings(max_examples=50)
@given(DATA, STEPS, st.data())
def test_a_blob_that_differs_is_never_sent_whole(
    data: bytes, steps: list[tuple[float, int, int]], draw: st.DataObject
) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    wrong = draw.draw(
        st.sampled_from([data[:place], data + b"!", data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]])
    )
    from_then = draw.draw(st.integers(0, 3))  # the file changes while it is pushed
    opened = itertools.count()
    source = BlobSource(lambda: io.BytesIO(wrong if next(opened) >= from_then else data), described(data))
    try:
        held = sent(source, len(data), steps)
    except IntegrityError:
        return
    assert held == data
