"""What the report leaves in GitHub: outputs, annotations and the summary, with hostile text in every field."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import github_runner
import pytest
from github_runner import obeyed, read_outputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery.ci.report import CacheResult, Finding, ImageResult, LayerResult, Report, StepResult
from coopery.ci.revision import Revision
from coopery_github import GitHub

_DIGEST = "sha256:" + "ab" * 32
_IMAGE = ImageResult(
    target="",
    platforms=("linux/amd64",),
    names=("ghcr.io/acme/shop:1.2.3", "ghcr.io/acme/shop:latest", "docker.io/acme/shop:latest"),
    version="1.2.3",
    pushed=True,
    digest=_DIGEST,
    image_id="sha256:" + "cd" * 32,
    media_type="application/vnd.oci.image.manifest.v1+json",
    manifest_size=777,
    size=1234567,
    seconds=3.5,
    labels={"org.opencontainers.image.title": "shop", "org.opencontainers.image.description": "The\nshop"},
    annotations={"a": "b", "index:c": "d"},
    layers=(LayerResult(digest=_DIGEST, size=100, created_by="COPY . .", base=False),),
    steps=(StepResult(name="[1/2] RUN make", outcome="done", seconds=2.0, line=3),),
    cache=CacheResult(hits=1, misses=2),
)
_REPORT = Report(revision=Revision(event="push", branch="main"), images=(_IMAGE,), seconds=4.0)


def _publish(directory: Path, report: Report, **inputs: str) -> tuple[dict[str, str], str]:
    environ = github_runner.environment("push", directory)
    values = {name.replace("_", "-"): value for name, value in inputs.items()}
    GitHub(environ | {"COOPERY_INPUTS": json.dumps(values)}).publish(report)
    outputs, summary = Path(environ["GITHUB_OUTPUT"]), Path(environ["GITHUB_STEP_SUMMARY"])
    return read_outputs(outputs) if outputs.exists() else {}, summary.read_text() if summary.exists() else ""


def test_the_id_of_an_index_is_its_digest(tmp_path: Path) -> None:
    outputs, _ = _publish(tmp_path, replace(_REPORT, images=(replace(_IMAGE, image_id=""),)))
    assert outputs["imageid"] == outputs["digest"] == _DIGEST


def test_outputs(tmp_path: Path) -> None:
    outputs, summary = _publish(tmp_path, _REPORT)
    metadata, described = json.loads(outputs.pop("metadata")), json.loads(outputs.pop("json"))
    assert outputs == {
        "imageid": _IMAGE.image_id,
        "digest": _DIGEST,
        "version": "1.2.3",
        "tags": "\n".join(_IMAGE.names),
        "tag-names": "1.2.3\nlatest",
        "labels": "org.opencontainers.image.title=shop\norg.opencontainers.image.description=The shop",
        "annotations": "manifest:a=b\nindex:c=d",
        "pushed": "true",
    }
    assert metadata["containerimage.digest"] == _DIGEST
    assert metadata["containerimage.descriptor"] == {"mediaType": _IMAGE.media_type, "digest": _DIGEST, "size": 777}
    assert metadata["image.name"] == ",".join(_IMAGE.names)
    assert described["tags"] == list(_IMAGE.names)
    assert described["labels"]["org.opencontainers.image.description"] == "The\nshop"
    assert summary.startswith("## Image pushed")


def test_separators(tmp_path: Path) -> None:
    outputs, _ = _publish(tmp_path, _REPORT, sep_tags=",", sep_labels=r"\n\n")
    assert outputs["tags"] == ",".join(_IMAGE.names)
    assert outputs["labels"].count("\n") == 2


def test_outputs_of_several_targets(tmp_path: Path) -> None:
    images = (replace(_IMAGE, target="app"), replace(_IMAGE, target="worker", digest="sha256:" + "ef" * 32))
    outputs, _ = _publish(tmp_path, replace(_REPORT, images=images))
    assert outputs["digest"] == _DIGEST
    assert json.loads(outputs["metadata"])["worker"]["containerimage.digest"] == "sha256:" + "ef" * 32
    assert set(json.loads(outputs["json"])) == {"app", "worker"}


def test_a_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    error = Finding(
        level="error",
        message="RUN make ended with status 2",
        hint="look",
        detail="a\nb",
        file="x/Dockerfile",
        line=3,
        end_line=4,
    )
    outputs, summary = _publish(tmp_path, Report(revision=Revision(event="push"), error=error, exit_code=5))
    assert outputs == {}
    assert summary.startswith("## Build failed")
    (command,) = obeyed(capfd.readouterr().err)
    assert (command.name, command.text) == ("error", "RUN make ended with status 2\nlook\na\nb")
    assert command.properties == {"file": "x/Dockerfile", "line": "3", "endLine": "4", "title": "Coopery"}


def test_at_most_ten_annotations_of_a_level(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    findings = [Finding(level="warning", message=f"number {number}", rule="Rule", line=number) for number in range(30)]
    findings += [Finding(level="notice", message="one")]
    _publish(tmp_path, replace(_REPORT, findings=tuple(findings)))
    commands = obeyed(capfd.readouterr().err)
    assert [command.name for command in commands] == ["warning"] * 10 + ["notice"]
    assert commands[8].text == "number 8"
    assert commands[9].text == "21 more are in the log and the summary."


def test_what_was_noticed_is_not_annotated_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    platform = GitHub(github_runner.environment("push", tmp_path))
    platform.notice("not pushed")
    platform.publish(replace(_REPORT, findings=(Finding(level="notice", message="not pushed"),)))
    assert len(obeyed(capfd.readouterr().err)) == 1


def test_the_summary_stays_within_its_limit(tmp_path: Path) -> None:
    steps = tuple(StepResult(name="x" * 400, outcome="done", seconds=1.0) for _ in range(10_000))
    _, first = _publish(tmp_path, replace(_REPORT, images=(replace(_IMAGE, steps=steps),)))
    _, both = _publish(tmp_path, replace(_REPORT, images=(replace(_IMAGE, steps=steps),)))
    assert 1000 < len(first.encode()) <= len(both.encode()) <= 1 << 20


def test_files_that_cannot_be_written_fail_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    GitHub({"GITHUB_OUTPUT": str(tmp_path / "no" / "file")}).publish(_REPORT)
    assert [command.name for command in obeyed(capfd.readouterr().err)] == ["warning"]


_HOSTILE = (
    "x\n::set-env name=PATH::/evil\rEOF\ncoopery_\ndigest=evil\ndigest<<A\nevil\nA\n\"'`$(id)`\n"
    "##[add-path]/evil\n<script>alert(1)</script>\n</details>\n```\n# evil\n[evil](https://evil.example)\n"
    "@acme #1|a|\x1b[0m\u202e"
)


def _poisoned(value: Any, text: str) -> Any:
    """`value` with `text` in every field that holds text."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(_poisoned(each, text) for each in value)
    if isinstance(value, dict):
        return {text: text}
    if is_dataclass(value):
        kept = {"level", "event", "outcome"}
        changed = {f.name: _poisoned(getattr(value, f.name), text) for f in fields(value) if f.name not in kept}
        return replace(value, **changed)  # type: ignore[type-var]
    return value


@given(st.text(max_size=40) | st.just(_HOSTILE))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_text_anywhere_is_only_text(capfd: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    for file in (tmp_path / "file_commands").glob("*"):
        file.unlink()
    finding = Finding(level="warning", message="m", hint="h", detail="d", rule="r", file="f", line=1)
    report = _poisoned(replace(_REPORT, findings=(finding,), error=replace(finding, level="error")), text)
    outputs, summary = _publish(tmp_path, report)
    plain = {"imageid", "digest", "metadata", "version", "tags", "tag-names", "labels", "annotations", "json", "pushed"}
    assert set(outputs) == plain
    assert f"{outputs['digest']}\n" == f"{text}\n".replace("\r\n", "\n")
    assert [command.name for command in obeyed(capfd.readouterr().err)] == ["error", "warning"]
    assert summary
