"""No secret gets through, however its bytes arrive."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from coopery.progress import redactor
from coopery.redact import MASK, MIN_SECRET

# Few letters, so that secrets overlap each other and themselves.
SECRETS = st.lists(
    st.binary(min_size=MIN_SECRET, max_size=12).map(lambda b: bytes(b"ab"[x % 2] for x in b)), max_size=4
)
PIECES = st.lists(st.binary(max_size=9).map(lambda b: bytes(b"abc\n"[x % 4] for x in b)), max_size=12)


@given(SECRETS, PIECES)
def test_any_chunking_gives_what_the_whole_gives(secrets: list[bytes], pieces: list[bytes]) -> None:
    mask = redactor(secrets)
    stream = mask.stream()
    shown = b"".join([*map(stream.feed, pieces), stream.flush()])
    assert shown == mask(b"".join(pieces))
    assert not any(secret in shown for secret in secrets)


@given(st.binary(min_size=6), st.binary(max_size=20), st.binary(max_size=20), st.data())
def test_a_secret_is_masked_wherever_it_is_split(
    secret: bytes, before: bytes, after: bytes, data: st.DataObject
) -> None:
    secret = b"s" + secret + b"t"
    if MASK in secret or secret in MASK + after or secret in before + MASK:
        return
    whole = before + secret + after
    cut = data.draw(st.integers(0, len(whole)))
    stream = redactor([secret]).stream()
    shown = stream.feed(whole[:cut]) + stream.feed(whole[cut:]) + stream.flush()
    assert secret not in shown


@given(st.binary(min_size=9, max_size=40), st.binary(max_size=10), st.binary(max_size=10))
def test_base64_of_a_secret_is_masked_also_inside_something_longer(secret: bytes, before: bytes, after: bytes) -> None:
    secret = b"s" + secret + b"t"
    mask = redactor([secret])
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        assert mask(encode(secret)).rstrip(b"=") == MASK
        assert MASK in mask(encode(before + secret + after))


@given(PIECES)
def test_nothing_is_held_back_without_reason(pieces: list[bytes]) -> None:
    stream = redactor([b"zzzz"]).stream()
    assert b"".join(map(stream.feed, pieces)) == b"".join(pieces)
    assert stream.flush() == b""


def test_lines_of_a_secret_are_masked_one_by_one() -> None:
    mask = redactor([b"-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n-----END KEY-----\n"])
    assert mask(b"> MIIEvQIBADANBg <") == b"> *** <"
    assert mask(b"a short line") == b"a short line"


def test_white_space_around_a_secret_does_not_count() -> None:
    assert redactor([b"hunter2!\n"])(b"<hunter2!>") == b"<***>"


def test_short_values_are_left_alone() -> None:
    assert redactor([b"", b"1", b"abc"])(b"1 abc") == b"1 abc"
