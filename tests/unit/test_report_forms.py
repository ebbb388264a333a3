"""The forms of the report, against copies that people have looked at, and against what reads them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cmarkgfm
import jsonschema
import pytest
from sarif_pydantic import Sarif

from coopery.ci.rendering.codequality import code_quality
from coopery.ci.rendering.dotenv import dotenv
from coopery.ci.rendering.jsonform import decode, encode, schema
from coopery.ci.rendering.markdown import markdown
from coopery.ci.rendering.metadata import metadata
from coopery.ci.rendering.sarif import sarif
from coopery.ci.rendering.text import text
from coopery.ci.report import Finding, Report
from coopery.errors import UsageError
from coopery.progress.amounts import human_size, human_time
from support.reports import FAILED, IMAGE, PUSH, PUSHED, SEVERAL

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "report"
REPORTS = {"pushed": PUSHED, "several": SEVERAL, "failed": FAILED}


def golden(name: str, told: str) -> None:
    """Compares with the kept copy; COOPERY_GOLDEN=write replaces that."""
    path = GOLDEN / name
    if os.environ.get("COOPERY_GOLDEN") == "write":
        path.write_text(told)
    assert told == path.read_text()


@pytest.mark.parametrize("name", REPORTS)
def test_golden_copies(name: str) -> None:
    golden(f"{name}.md", markdown(REPORTS[name]))
    golden(f"{name}.txt", text(REPORTS[name]))
    golden(f"{name}.json", encode(REPORTS[name]))


def test_the_schema_is_what_people_rely_on() -> None:
    golden("schema.json", json.dumps(schema(), indent=2) + "\n")
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_json_fits_its_schema_and_comes_back_as_it_was(report: Report) -> None:
    jsonschema.validate(json.loads(encode(report)), schema())
    assert decode(encode(report)) == report


def test_json_of_a_later_version_is_read_and_of_another_format_refused() -> None:
    value = json.loads(encode(PUSHED))
    value["new"] = value["images"][0]["new"] = {"more": 1}
    assert decode(json.dumps(value)) == PUSHED
    value["format"] = 2
    with pytest.raises(UsageError, match="format 2"):
        decode(json.dumps(value))


@pytest.mark.parametrize(
    "change",
    [
        {"images": {}},
        {"images": [1]},
        {"revision": "x"},
        {"exit_code": "0"},
        {"exit_code": True},
        {"error": {"level": "fatal", "message": "x"}},
        {"seconds": None},
    ],
)
def test_json_that_is_no_report_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="not a report"):
        decode(json.dumps(json.loads(encode(PUSHED)) | change))


@pytest.mark.parametrize("other", ["", "[]", "null", "{}", "[" * 100_000])
def test_what_is_no_object_is_refused(other: str) -> None:
    with pytest.raises(UsageError, match="not a report"):
        decode(other)


def test_people_see_tables_folds_and_no_stray_marks() -> None:
    for report in REPORTS.values():
        shown = cmarkgfm.github_flavored_markdown_to_html(markdown(report), cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE)
        assert "<table>" in shown
        assert shown.count("<details>") == shown.count("</details>") > 0
        assert "| --- |" not in shown
        assert "```" not in shown


def test_an_image_is_pulled_by_a_command_that_a_shell_takes_for_nothing_else() -> None:
    wanted = f"docker pull registry.example/acme/shop@{IMAGE.digest}"
    assert wanted in markdown(PUSHED)
    for name in ("registry.example/a$(id)", "x;id", "-v", "registry.example/a b:1"):
        assert "docker pull" not in markdown(replace(PUSHED, images=(replace(IMAGE, names=(name,)),)))
    assert "docker pull" not in markdown(replace(PUSHED, images=(replace(IMAGE, pushed=False),)))


def test_little_room_keeps_what_matters_most() -> None:
    whole = markdown(FAILED)
    half = markdown(FAILED, len(whole.encode()) - 1)
    assert "Steps" not in half or "Error 1" in half
    small = markdown(FAILED, 400)
    assert "Build failed" in small
    assert "status 2" in small
    assert "left out" in small
    many = replace(PUSHED, images=(replace(IMAGE, steps=IMAGE.steps * 10_000, layers=IMAGE.layers * 10_000),))
    shown = markdown(many, 20_000)
    assert IMAGE.digest in shown
    assert markdown(PUSHED, 5) == ""


def test_code_quality_has_what_lies_in_the_repository() -> None:
    outside = Finding(level="warning", message="x", file="/etc/Dockerfile", line=1)
    above = replace(outside, file="../Dockerfile")
    twice = replace(SEVERAL.findings[1], line=9, end_line=0)
    report = replace(FAILED, findings=(*SEVERAL.findings, twice, outside, above))
    issues = code_quality(report)
    assert [(issue["location"]["path"], issue["location"]["lines"]["begin"]) for issue in issues] == [
        ("Dockerfile", 4),
        ("Dockerfile", 3),
        ("Dockerfile", 9),
    ]
    assert [issue["severity"] for issue in issues] == ["blocker", "major", "major"]
    assert [issue["check_name"] for issue in issues][:2] == ["build-error", "stage-name-casing"]
    assert len({issue["fingerprint"] for issue in issues}) == 3
    moved = replace(report, findings=tuple(replace(each, line=each.line + 1) for each in report.findings))
    assert [issue["fingerprint"] for issue in code_quality(moved)] == [issue["fingerprint"] for issue in issues]
    assert code_quality(PUSHED) == []


def test_sarif_is_read_by_others() -> None:
    named = replace(SEVERAL.findings[1], file="./a dir/Docker#file", rule="")
    log = json.loads(json.dumps(sarif(replace(SEVERAL, findings=(*SEVERAL.findings, named)))))
    read = Sarif.model_validate(log)
    (run,) = read.runs
    assert run.results is not None
    first, second = run.results
    assert (first.rule_id, first.message.text) == (
        "stage-name-casing",
        "the stage name Build has capitals; write build",
    )
    assert [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]] == ["stage-name-casing", "build-warning"]
    place = log["runs"][0]["results"][1]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20dir/Docker%23file"
    assert place["region"] == {"startLine": 3, "endLine": 3, "startColumn": 1}
    assert second.rule_id == "build-warning"
    assert Sarif.model_validate(sarif(PUSHED)).runs[0].results == []


def test_metadata_is_buildx_s() -> None:
    assert metadata(PUSHED) == {
        "containerimage.config.digest": IMAGE.image_id,
        "containerimage.descriptor": {"mediaType": IMAGE.media_type, "digest": IMAGE.digest, "size": 1234},
        "containerimage.digest": IMAGE.digest,
        "image.name": ",".join(IMAGE.names),
    }
    assert set(metadata(SEVERAL)) == {"web", "worker"}
    index = replace(IMAGE, image_id="", media_type="application/vnd.oci.image.index.v1+json")
    assert "containerimage.config.digest" not in metadata(replace(PUSHED, images=(index,)))
    assert metadata(Report(revision=PUSH)) == {}


def test_dotenv_holds_what_every_reader_takes_alike() -> None:
    values = {"DIGEST": IMAGE.digest, "IMAGE": IMAGE.names[0], "_EMPTY": "", "LIST": "a,b=c"}
    written = dotenv(values)
    assert dict(line.split("=", 1) for line in written.splitlines()) == values
    for value in ("a b", "a\nB=1", "$(id)", "'a'", '"a"', "a#b", "~", "a\\", "`id`", "\0", "a\u2028B=1", "ä", "a;b"):
        with pytest.raises(UsageError, match="VALUE can't be put"):
            dotenv({"VALUE": value})
    for name in ("", "1A", "A-B", "A B", "A=B", "A\n"):
        with pytest.raises(UsageError, match="not a variable's name"):
            dotenv({name: "x"})


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (310_000_000, "310.0 MB"), (2_500_000_000_000, "2.5 TB")],
)
def test_sizes_for_people(count: int, shown: str) -> None:
    assert human_size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 m 0 s"), (72, "1 m 12 s"),
     (3599.9, "1 h 0 m"), (7380, "2 h 3 m")],
)  # fmt: skip
def test_times_for_people(seconds: float, shown: str) -> None:
    assert human_time(seconds) == shown
