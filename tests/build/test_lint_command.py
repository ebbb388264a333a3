"""`coopery check`, `build --check`, and what builds say of a Dockerfile, as commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sarif_pydantic import Sarif

from support.command import Coopery

BAD = """\
FROM scratch AS Build
MAINTAINER me
COPY . /
CMD run me
"""
WRONG = """\
FROM scratch AS Build
RUN --moun=type=cache,target=/x y
COPY --from=2 /x /
EXPOSE nonsense
"""
FOUND = [("StageNameCasing", 1), ("MaintainerDeprecated", 2), ("JSONArgsRecommended", 4)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


def write(project: Path, text: str) -> None:
    (project / "Dockerfile").write_text(text)


def test_nothing_is_found(coopery: Coopery, project: Path) -> None:
    write(project, "FROM scratch\nCOPY . /\n")
    assert coopery("check", project).stdout == "Check complete: no warnings\n"
    assert coopery("build", "--check", project).stdout == "Check complete: no warnings\n"


@pytest.mark.parametrize("command", [["check"], ["build", "--check"]])
def test_text(coopery: Coopery, project: Path, command: list[str]) -> None:
    write(project, BAD)
    done = coopery(*command, ".", cwd=project, check=False)
    assert done.returncode == 1
    assert "WARNING: StageNameCasing - docs/lint.md#stagenamecasing\n./Dockerfile:1: " in done.stdout
    assert "   2 | >>> MAINTAINER me\n" in done.stdout
    assert "\nhint: write LABEL org.opencontainers" in done.stdout
    assert done.stdout.endswith("\nCheck complete: 3 warnings\n")
    assert done.stderr == ""


def test_json(coopery: Coopery, project: Path) -> None:
    write(project, BAD)
    done = coopery("check", "--format=json", project, check=False)
    warnings = json.loads(done.stdout)["warnings"]
    assert [(one["ruleName"], one["location"]["ranges"][0]["start"]["line"]) for one in warnings] == FOUND
    write(project, WRONG)
    done = coopery("check", "--format=json", project, check=False)
    value = json.loads(done.stdout)
    assert value["buildError"]["message"].endswith("has 3 errors")
    assert [error["location"]["ranges"][0]["start"]["line"] for error in value["errors"]] == [2, 3, 4]
    assert [one["ruleName"] for one in value["warnings"]] == ["StageNameCasing"]
    assert done.returncode == 3


def test_sarif_and_code_quality(coopery: Coopery, project: Path) -> None:
    write(project, BAD)
    done = coopery("check", "--format=sarif", cwd=project, check=False)
    assert done.returncode == 1
    (run,) = Sarif.model_validate_json(done.stdout).runs
    assert [
        (result.rule_id, result.locations[0].physical_location.region.start_line) for result in run.results
    ] == FOUND
    assert all(rule.short_description for rule in run.tool.driver.rules)
    assert run.results[0].locations[0].physical_location.artifact_location.uri == "Dockerfile"
    issues = json.loads(coopery("check", "--format=codeclimate", cwd=project, check=False).stdout)
    assert [(issue["check_name"], issue["location"]["lines"]["begin"]) for issue in issues] == FOUND
    write(project, WRONG)
    issues = json.loads(coopery("check", "--format=codeclimate", cwd=project, check=False).stdout)
    assert [(issue["severity"], issue["location"]["lines"]["begin"]) for issue in issues] == [
        ("blocker", 2),
        ("blocker", 3),
        ("blocker", 4),
        ("major", 1),
    ]


def test_errors_are_told_with_their_status(coopery: Coopery, project: Path) -> None:
    write(project, WRONG)
    done = coopery("check", project, check=False)
    assert done.returncode == 3
    assert done.stdout.endswith("Check complete: 1 warning, 3 errors\n")
    assert done.stderr.startswith(f"ERROR: {project}/Dockerfile has 3 errors\n")
    assert "hint: did you mean --mount?" in done.stderr


def test_error_true(coopery: Coopery, project: Path) -> None:
    write(project, "# check=error=true\n" + BAD)
    done = coopery("check", project, check=False)
    assert done.returncode == 3
    assert "Check complete: 3 warnings, 1 error\n" in done.stdout
    assert "checks failed: JSONArgsRecommended, MaintainerDeprecated, StageNameCasing" in done.stderr
    assert coopery("check", "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all", project).returncode == 0
    write(project, "# check=error=true\nFROM scratch\n")
    assert coopery("check", project).returncode == 0


def test_a_target_and_the_rest(coopery: Coopery, project: Path) -> None:
    write(project, "FROM scratch AS a\nCMD x\nFROM scratch AS b\nCMD y\n")
    everything = coopery("check", project, check=False).stdout
    assert everything.endswith("2 warnings\n")
    of_a = coopery("check", "--target=a", project, check=False).stdout
    assert "Dockerfile:2:" in of_a and "Dockerfile:4:" not in of_a
    done = coopery("check", "--target=c", project, check=False)
    assert done.returncode == 2 and "has no stage 'c'" in done.stderr


def test_a_check_needs_no_files_to_copy(coopery: Coopery, project: Path) -> None:
    write(project, "FROM scratch\nCOPY made/later /\n")
    assert coopery("check", project).returncode == 0


def test_a_base_image_that_is_not_there(coopery: Coopery, project: Path, registry, base_image: str) -> None:
    write(
        project,
        f"FROM {base_image} AS tools\nFROM {registry.host}/no/such:1\nFROM scratch\nCOPY --from=tols /a /\nCMD x\n",
    )
    done = coopery("check", "--registry-mirror", registry.host, project, check=False)
    assert done.returncode == 8
    assert "JSONArgsRecommended" in done.stdout
    assert "Dockerfile:2:" in done.stderr
    assert "did you mean tools? That is a stage" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")
def test_a_build_shows_warnings_once_and_goes_on(coopery: Coopery, project: Path, tmp_path: Path) -> None:
    write(project, BAD)
    done = coopery("build", "--progress=plain", "-o", f"type=oci,dest={tmp_path}/image.tar", project)
    assert done.stderr.count("WARNING: StageNameCasing: ") == 1
    assert "\n 3 warnings found:\n - StageNameCasing: " in done.stderr
    events = coopery("build", "--progress=json", "-o", f"type=oci,dest={tmp_path}/image.tar", project).stderr
    texts = [event["text"] for event in map(json.loads, events.splitlines()) if event["event"] == "warning"]
    assert [text.partition(":")[0] for text in texts] == [rule for rule, _ in FOUND]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")
def test_a_build_with_error_true_builds_nothing(coopery: Coopery, project: Path, tmp_path: Path) -> None:
    write(project, "# check=error=true\n" + BAD)
    done = coopery("build", "-o", f"type=oci,dest={tmp_path}/image.tar", project, check=False)
    assert done.returncode == 3
    assert not (tmp_path / "image.tar").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")
def test_a_build_tells_all_mistakes(coopery: Coopery, project: Path) -> None:
    write(project, WRONG.replace("EXPOSE nonsense", "COPY missing /\nVOLUME $nobody\nUSER fine"))
    done = coopery("build", project, check=False)
    assert done.returncode == 3
    for place in (
        "Dockerfile:2: RUN has no flag",
        "Dockerfile:3: COPY --from=2",
        "Dockerfile:4: 'missing'",
        "Dockerfile:5:",
    ):
        assert place in done.stderr
    assert "Dockerfile:6:" not in done.stderr
