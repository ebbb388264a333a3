"""What always holds of the pure parts of the registry client."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from coopery.errors import RegistryError
from coopery.registry.answers import own_words
from coopery.registry.auth import choose, parse_challenges
from coopery.registry.endpoint import follow, origin

challenge_like = st.text(alphabet='BbearsicR lm=",\\\t\n;:/é', max_size=60)


@given(st.lists(st.text() | challenge_like, max_size=3))
def test_challenge_parser_never_raises(headers: list[str]) -> None:
    challenges = parse_challenges(headers)
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in challenges)
    chosen = choose(challenges)
    assert chosen is None or chosen in challenges


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)), st.text(alphabet="abc", min_size=1))
def test_quoted_parameters_are_read_back(value: str, name: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert dict(parse_challenges([f'Bearer {name}="{quoted}"'])[0].parameters) == {name: value}


@given(st.binary() | st.text(alphabet='{}[]":errorscodemsg,').map(str.encode))
def test_words_of_any_body_are_printable(body: bytes) -> None:
    for code, message in own_words(body):
        assert (code + message).isprintable()


@given(st.text(alphabet="htps:/@\\?#[].1270ab\t ", max_size=30) | st.text(max_size=30))
def test_no_location_leaves_for_plain_http(location: str) -> None:
    with contextlib.suppress(RegistryError):
        url = follow("https://registry.example/v2/x", location)
        assert origin(url).scheme == "https"
        assert "@" not in urlsplit(url).netloc
