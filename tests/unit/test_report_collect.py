"""What the report takes from the engine, where the engine needn't run for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coopery.ci.collect import failure, notices, relative, step_results
from coopery.engines.account import built_layers, reused, told_once
from coopery.engines.outputs import Delivered
from coopery.errors import Location, NetworkError, StepFailed
from coopery.oci.config import HistoryEntry, ImageConfig
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image, Layer
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import StepRecord, Traffic
from coopery.progress import Redactor, make_progress
from coopery.registry.traffic import Counter

PLACE = Location("Dockerfile", 3, 4)


def blob(name: str, size: int, urls: tuple[str, ...] = ()) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, Digest.of(name.encode()), size, urls=urls)


def record(name: str, outcome: str, location: Location | None = PLACE, number: int = 1, **more: object) -> StepRecord:
    return StepRecord(number, name, outcome, 0.0, 1.0, "", (), location, **more)  # type: ignore[arg-type]


def delivered(name: str) -> Delivered:
    return Delivered("registry", name, None, Reference.parse(name))


def test_what_was_spared_is_counted_for_each_repository() -> None:
    one, two, foreign = blob("one", 1), blob("two", 10), blob("foreign", 1000, ("https://elsewhere.example/x",))
    a, b = "a.example/app", "b.example/app"
    traffic = Traffic(0, 0, {(a, one.digest): "uploaded", (a, two.digest): "mounted", (b, one.digest): "exists"})
    assert reused([one, two, foreign], [delivered(f"{a}:1"), delivered(f"{a}:2")], traffic) == (0, 10)
    # b was asked for one blob ahead of time; then its tag turned out to name the image.
    assert reused([one, two, foreign], [delivered(f"{a}:1"), delivered(f"{b}:1")], traffic) == (11, 10)
    assert reused([one, two], [Delivered("oci", "layout")], traffic) == (0, 0)


def test_what_was_uploaded_and_is_found_again_stays_uploaded() -> None:
    counter, digest = Counter(), Digest.of(b"x")
    counter.placed("a.example/app", digest, 7, "uploaded")
    counter.placed("a.example/app", digest, 7, "exists")
    counter.pulled(3)
    total = counter.total()
    assert (total.pulled, total.pushed, dict(total.blobs)) == (3, 7, {("a.example/app", digest): "uploaded"})


def test_a_step_of_a_build_that_began_anew_is_told_once() -> None:
    steps = [
        record("[internal] load", "done", None, 1),
        record("RUN a", "cached", number=2, saved=1.0),
        record("RUN b", "done", number=3),
        record("RUN a", "done", number=4),
        record("RUN b", "cached", number=5),
        record("RUN c", "waiting", Location("Dockerfile", 9, 9), 0),
    ]
    assert [(step.name, step.outcome) for step in told_once(steps)] == [
        ("[internal] load", "done"),
        ("RUN a", "done"),
        ("RUN b", "done"),
    ]


@pytest.mark.parametrize(("lines", "told"), [(2, ["FROM", "RUN"]), (1, ["", ""])])
def test_layers_have_their_line_of_history_if_there_is_one_for_each(lines: int, told: list[str]) -> None:
    history = (HistoryEntry("ENV", empty_layer=True), HistoryEntry("FROM"), HistoryEntry("RUN"))[: lines + 1]
    layers = tuple(Layer(blob(name, 1), Digest.of(name.encode())) for name in ("a", "b"))
    config = ImageConfig(Platform("linux", "amd64"), diff_ids=tuple(layer.diff_id for layer in layers), history=history)
    made = built_layers(Image(config, layers), 1)
    assert [layer.created_by for layer in made] == told
    assert [layer.base for layer in made] == [True, False]


def test_what_still_ran_was_canceled_and_what_never_began_is_left_out() -> None:
    results = step_results([record("a", "running"), record("b", "waiting"), record("c", "cached", None, saved=2.0)])
    assert [(step.name, step.outcome, step.line, step.end_line, step.saved) for step in results] == [
        ("a", "canceled", 3, 4, None),
        ("c", "cached", 0, 0, 2.0),
    ]


def test_an_error_becomes_a_finding_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = StepFailed("it failed", status=3, hint="look")
    error.at(Location(str(tmp_path / "sub/Dockerfile"), 2, 2), ["FROM a", "RUN b"])
    found = failure(error, [StepRecord(1, "b", "failed", 0, 0, "", ("one", "two"), None)], root=str(tmp_path))
    assert (found.message, found.hint, found.file, found.line) == ("it failed", "look", "sub/Dockerfile", 2)
    assert found.log == "one\ntwo"
    assert ">>> RUN b" in found.detail
    plain = failure(NetworkError("no answer"))
    assert (plain.message, plain.file, plain.line, plain.log) == ("no answer", "", 0, "")


def test_files_outside_the_repository_keep_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    assert relative("a/Dockerfile", "") == "a/Dockerfile"
    assert relative("./a/../Dockerfile", "") == "Dockerfile"
    assert relative("..dockerfile", "") == "..dockerfile"
    assert relative("../Dockerfile", "") == "../Dockerfile"
    assert relative("/etc/Dockerfile", str(tmp_path)) == "/etc/Dockerfile"


def test_each_notice_once() -> None:
    assert [(each.level, each.message) for each in notices(["a", "b", "a"])] == [("warning", "a"), ("warning", "b")]


def test_spared_steps_stand_where_they_would_have_been_and_are_not_shown() -> None:
    shown = _Stream()
    board = make_progress("plain", shown, environ={}, redactor=Redactor([b"hidden"]))
    board.step("first").done()
    board.spared("RUN hidden", PLACE, 4.0)
    late = board.step("late")
    late.cached(2.0)
    board.step("never", PLACE)
    board.close()
    assert [(step.name, step.number, step.outcome, step.saved) for step in board.steps] == [
        ("first", 1, "done", None),
        ("RUN ***", 0, "cached", 4.0),
        ("late", 2, "cached", 2.0),
        ("never", 0, "waiting", None),
    ]
    assert "RUN" not in shown.text
    assert board.announced == 3


class _Stream:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str, /) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError
