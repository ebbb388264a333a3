"""Variables without a value where an instruction needs one: what BuildKit makes of them."""

from __future__ import annotations

import pytest

from coopery.errors import DockerfileError
from support.plans import config_of, copies_of


def test_no_user_is_root() -> None:
    assert config_of("FROM base\nUSER app\nUSER $NONE\n").user == ""


def test_no_working_directory_is_the_one_before() -> None:
    assert config_of("FROM base\nWORKDIR /a\nWORKDIR $NONE\n").working_dir == "/a"
    assert config_of("FROM base\nWORKDIR $NONE\n").working_dir == "/"


def test_no_destination_is_the_working_directory() -> None:
    (copy,) = copies_of("FROM base\nWORKDIR /a\nCOPY file $NONE\n")
    assert copy.destination == "/a/"


@pytest.mark.parametrize("text", ["COPY $NONE /x", "COPY a $NONE b", "VOLUME $NONE", "STOPSIGNAL $NONE", "ENV $NONE=x"])
def test_others_need_one(text: str) -> None:
    with pytest.raises(DockerfileError):
        config_of(f"FROM base\n{text}\n")
