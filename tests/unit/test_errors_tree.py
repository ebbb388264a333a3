"""The exception tree: exit codes are an interface, excerpts are for people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coopery import errors
from coopery.errors import CooperyError, DockerfileError, Location, StepFailed, excerpt

README = Path(__file__).resolve().parents[2] / "README.md"


def classes() -> list[type[CooperyError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, CooperyError)]


def test_every_class_has_an_exit_code_of_its_own():
    codes = {cls: cls.exit_code for cls in classes()}
    assert len(set(codes.values())) == len(codes) == 14
    assert all(0 < code < 256 for code in codes.values())
    assert all("exit_code" in vars(cls) for cls in classes())


def test_the_readme_and_the_docstring_list_the_same_codes():
    table = README.read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert listed == sorted({0, *(cls.exit_code for cls in classes())})
    documented = dict(re.findall(r"([A-Z]\w+) +(\d+)(?= |$)", errors.__doc__ or "", re.MULTILINE))
    assert {name: int(code) for name, code in documented.items()} == {cls.__name__: cls.exit_code for cls in classes()}


def test_subclasses_elsewhere_share_their_parents_code():
    from coopery.solver.users import UnknownUser

    assert UnknownUser.exit_code == DockerfileError.exit_code


LINES = ("FROM base", "RUN one \\", "\ttwo", "COPY a b", "CMD c")


@pytest.mark.parametrize(
    ("first", "last", "column", "shown"),
    [
        (1, 1, 0, "   1 | >>> FROM base\n   2 |     RUN one \\\n   3 |     \ttwo"),
        (1, 1, 6, "   1 | >>> FROM base\n" + " " * 16 + "^\n   2 |     RUN one \\\n   3 |     \ttwo"),
        (
            2,
            3,
            0,
            "   1 |     FROM base\n   2 | >>> RUN one \\\n   3 | >>> \ttwo\n   4 |     COPY a b\n   5 |     CMD c",
        ),
        (5, 5, 0, "   3 |     \ttwo\n   4 |     COPY a b\n   5 | >>> CMD c"),
        (5, 99, 0, "   3 |     \ttwo\n   4 |     COPY a b\n   5 | >>> CMD c"),
        (6, 6, 0, ""),
    ],
)
def test_excerpts(first, last, column, shown):
    assert excerpt(LINES, Location("f", first, last), column) == shown


def test_no_excerpt_without_source():
    assert excerpt((), Location("f", 1, 1)) == ""


def test_the_first_place_said_stays():
    error = StepFailed("status 3", status=3, detail="the log")
    error.at(Location("Dockerfile", 2, 3), LINES)
    error.at(Location("Other", 1, 1), LINES)
    assert str(error) == "Dockerfile:2: status 3"
    assert error.detail.startswith("   1 |     FROM base\n   2 | >>> RUN one")
    assert error.detail.endswith("\nthe log")
    assert error.location == Location("Dockerfile", 2, 3)
