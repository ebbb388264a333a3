"""Several mistakes in one Dockerfile are told at once, each with its place, and none that only follows from another."""

from __future__ import annotations

import pytest

from coopery.dockerfile import parse
from coopery.engines.definition import define
from coopery.errors import MOST_SHOWN, ContextError, CooperyError, DockerfileError, Location, NotFound, together
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform, host
from coopery.plan.ops import CopyOp, Surroundings
from coopery.plan.outline import outline
from coopery.plan.plan import BaseImage
from coopery.plan.planner import make_plan
from support.plans import World


def mistakes(error: CooperyError) -> list[int]:
    """The lines that an error is about."""
    return [each.location.line for each in error.errors or (error,) if each.location]


def parsed(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    return caught.value


class Placed(World):
    """A world whose refusals have a place, as the engine gives them one."""

    def image(self, reference: str, platform: Platform, location: Location) -> BaseImage:
        try:
            return super().image(reference, platform, location)
        except NotFound as error:
            error.at(location, ())
            raise


def planned(text: str, world: World | None = None) -> CooperyError:
    definition = define(text.encode(), "Dockerfile", {}, lambda: None)
    lined = definition.outline(target="", platform=host(), build_args={}, contexts={}, every=True)
    with pytest.raises(CooperyError) as caught:
        make_plan(
            lined,
            world or Placed(),
            platform=host(),
            build_args={},
            labels={},
            contexts={},
            around=Surroundings(),
            watch=definition.watch,
        )
    return caught.value


def test_every_instruction_that_is_wrong() -> None:
    error = parsed("FROM a\nRUN --moun=x y\nCOPY b\nADD --chekcsum=x a /\nHEALTHCHECK X\nONBUILD FROM b\nRUN fine\n")
    assert mistakes(error) == [2, 3, 4, 5, 6]
    assert error.message == "Dockerfile has 5 errors"
    assert error.location == Location("Dockerfile", 2, 2)
    for word in ("did you mean --mount?", "did you mean --checksum?", "   3 | >>> COPY b", "^"):
        assert word in error.detail


def test_one_mistake_is_told_as_it_is() -> None:
    error = parsed("FROM a\nCOPY b\n")
    assert error.errors == ()
    assert error.message.startswith("Dockerfile:2: ")


def test_lines_that_are_no_instructions_are_one_mistake() -> None:
    assert mistakes(parsed("FROM a\nRUN x\n && y\n && z\nRUN w\nNONSENSE\n")) == [3, 6]


def test_what_precedes_the_first_stage_is_one_mistake() -> None:
    assert mistakes(parsed("RUN x\nRUN y\nFROM a\n")) == [1]
    assert mistakes(parsed("FROM a b c\nRUN x\nRUN --y\n")) == [1, 3]
    assert mistakes(parsed("FORM a\nRUN x\n")) == [1]


def test_a_heredoc_without_an_end_and_what_stands_above() -> None:
    assert mistakes(parsed("FROM a\nCOPY b\nRUN <<EOF\nx\n")) == [2, 3]
    assert mistakes(parsed("FROM a\nRUN a\0b\nRUN --x\n")) == [2, 3]


def test_a_caret_stands_where_the_mistake_is_also_further_down() -> None:
    error = parsed("FROM a\nRUN --network=none \\\n    # --moun=not-here\n    --moun=x \\\n    y\n")
    lines = error.detail.splitlines()
    above = lines[lines.index(next(line for line in lines if line.strip() == "^")) - 1]
    assert above.endswith("    --moun=x \\")
    assert error.column == 0  # of the first line


def test_mistakes_that_only_a_plan_can_find() -> None:
    text = (
        "FROM base AS one\nRUN --mount=type=cahce,target=/x y\nCOPY --from=three a /\nVOLUME $nothing\n"
        "FROM base AS two\nEXPOSE nonsense\nFROM one AS three\nSTOPSIGNAL nonsense\nCOPY --from=two a /\n"
    )
    error = planned(text)
    assert mistakes(error) == [2, 3, 4, 6, 8]
    assert error.exit_code == DockerfileError.exit_code


def test_what_follows_from_a_mistake_is_not_one() -> None:
    # The stage that can't be made is missing in others, and no mistake of theirs.
    assert mistakes(
        planned("FROM nothing AS a\nRUN x\nFROM a\nFROM base\nCOPY --from=a /x /\nCOPY --from=0 /x /\n")
    ) == [1]
    # A variable that was to be set may be demanded.
    assert mistakes(planned("FROM base\nARG a=${b:?}\nWORKDIR ${a:?}\nENV c=${a:?}\n")) == [2]


def test_missing_files_and_wrong_lines_together() -> None:
    def files(op: CopyOp) -> Digest:
        if "missing" in op.patterns:
            error = ContextError("missing is not there")
            error.at(Location("Dockerfile", 2, 2), ())
            raise error
        return Digest.of(b"")

    error = planned("FROM base\nCOPY missing /\nCOPY there /\nVOLUME ''\n", World(files=files))
    assert mistakes(error) == [2, 4]
    assert isinstance(error, ContextError)  # the first one says with which status it ends


def test_what_was_known_before_the_plan_is_told_with_it() -> None:
    assert mistakes(planned("FROM base\nCOPY a\nVOLUME ''\n")) == [2, 3]


def test_outlines_alone_raise_all_they_find() -> None:
    text = "FROM base\nCOPY --from=1 a /\nCOPY --from=$x a /\nFROM ${nothing}\n"
    with pytest.raises(DockerfileError) as caught:
        outline(parse(text), target="", platform=host(), build_args={}, contexts={}, every=True)
    assert mistakes(caught.value) == [2, 3, 4]


def test_only_so_many_are_shown() -> None:
    error = parsed("FROM a\n" + "COPY b\n" * 30)
    assert error.message == "Dockerfile has 30 errors"
    assert error.detail.count("needs a source") == MOST_SHOWN
    assert error.detail.endswith("and 10 more")
    assert len(error.errors) == 30


def test_together_keeps_class_status_and_order() -> None:
    later, earlier = DockerfileError("b", location=Location("f", 9, 9)), NotFound("a", hint="h")
    earlier.at(Location("f", 3, 3), ())
    whole = together([later, earlier, later], "f")
    assert isinstance(whole, NotFound)
    assert whole.errors == (earlier, later)
    assert whole.location == Location("f", 3, 3)
    assert whole.detail.strip() == "f:3: a\nhint: h\n\nf:9: b"
    assert together([later], "f") is later
