"""`--chmod` with letters: what BuildKit makes of it (tonistiigi/dchapes-mode), and chmod(1) where both say the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopery.tree.modes import parse_symbolic


@pytest.mark.parametrize(
    ("text", "mode", "directory", "becomes"),
    [
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o611, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o4777, False, 0o755),
        ("a+x", 0o644, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("go-w", 0o666, False, 0o644),
        ("=", 0o7755, False, 0o1000),
        ("o=", 0o7755, False, 0o7750),
        ("g=u", 0o740, False, 0o770),
        ("go=u-w", 0o740, False, 0o755),
        ("u+s", 0o755, False, 0o4755),
        ("o+s", 0o755, False, 0o755),
        ("+t", 0o777, True, 0o1777),
        ("u-x,X", 0, False, None),
        ("-X", 0o755, False, 0o644),
        ("u-x,a+X", 0o700, False, 0o711),
    ],
)
def test_letters(text, mode, directory, becomes):
    if becomes is None:
        with pytest.raises(ValueError, match=text):
            parse_symbolic(text)
    else:
        assert oct(parse_symbolic(text)(mode, directory)) == oct(becomes)


@pytest.mark.parametrize("text", ["", "u", "u=rwx,", ",", "u=rwq", "u rwx", "x", "u==rwx9", "755x", "ü+x"])
def test_what_is_no_mode(text):
    with pytest.raises(ValueError, match=r"mode|nothing"):
        parse_symbolic(text)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.from_regex(r"[ugoa]{1,3}([+=-][rwxX]{0,3}|[+=-][ugo]){1,2}", fullmatch=True), min_size=1, max_size=3
    ).map(",".join),
    st.integers(0, 0o777),
    st.booleans(),
)
def test_as_chmod_does(tmp_path_factory, text, mode, directory):
    place: Path = tmp_path_factory.mktemp("modes") / "x"
    place.mkdir() if directory else place.touch()
    place.chmod(mode)
    # chmod(1) looks at each clause's X by the mode it has come to, and others by the one there was.
    if "X" in text and ("," in text or text.count("+") + text.count("-") + text.count("=") > 1):
        return
    subprocess.run(["chmod", "--", text, str(place)], check=True, env={**os.environ, "LC_ALL": "C"})
    assert oct(parse_symbolic(text)(mode, directory)) == oct(place.stat().st_mode & 0o7777)
