"""Whatever an auth file holds: a login is found again, and logging out leaves all else as it was."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from coopery.credentials.auth_file import parse_auth_file
from coopery.credentials.keeping import forget, keep
from coopery.credentials.keys import Key, parse_key
from coopery.ports import Credential

_text = st.text(max_size=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_host = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.example)?(:[1-9][0-9]{0,3})?", fullmatch=True)
_namespace = st.just("") | st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True)
_places = st.builds(Key, _host, _namespace)
_name = st.text(st.characters(codec="utf-8", exclude_characters=":\0"), min_size=1, max_size=10)
_secret = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
_others = st.dictionaries(
    _text.filter(lambda key: key not in ("auths", "credHelpers", "credsStore")), _json, max_size=4
)
_spellings = st.builds(
    lambda scheme, place, end: f"{scheme}{place}{end}",
    st.sampled_from(["", "https://", "http://"]),
    _places,
    st.sampled_from(["", "/", "/v2/"]),
)


@settings(deadline=None)
@given(_others, st.dictionaries(_spellings | _text, _json, max_size=4), _places, _name, _secret)
def test_login_and_logout(others: dict[str, Any], auths: dict[str, Any], place: Key, user: str, password: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(others | {"auths": auths}))
        keep(str(path), place, Credential(user, password), {})
        repository = f"{place.namespace or 'any'}/app"
        found = parse_auth_file(path.read_bytes(), "file").credential(place.host, f"{repository}")
        mine = [key for key in json.loads(path.read_text())["auths"] if parse_key(key) == place]
        assert len(mine) == 1
        assert found == Credential(user, password)
        assert forget(str(path), place, {})
        after = json.loads(path.read_text())
        assert after.pop("auths") == {key: value for key, value in auths.items() if parse_key(key) != place}
        assert after == others
        assert list(after) == list(others)
