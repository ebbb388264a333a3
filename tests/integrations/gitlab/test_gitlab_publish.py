"""The files that a job keeps."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from gitlab_support import captured
from hypothesis import given
from hypothesis import strategies as st

from coopery.ci.report import Finding, ImageResult, Report
from coopery.ci.revision import Revision
from coopery_gitlab import GitLab
from coopery_gitlab.publish import LARGEST_DOTENV, MOST_VARIABLES, files, links, variables

DIGEST = "sha256:" + "ab" * 32
IMAGE = ImageResult(
    target="",
    platforms=("linux/amd64",),
    names=("registry.example.com/acme/shop:1.2.3", "registry.example.com/acme/shop:latest"),
    version="1.2.3",
    pushed=True,
    digest=DIGEST,
    image_id="sha256:" + "cd" * 32,
    media_type="application/vnd.oci.image.manifest.v1+json",
    size=1,
    seconds=1.0,
)
REPORT = Report(revision=Revision(event="push", branch="main"), images=(IMAGE,))


def read(text: str) -> dict[str, str]:
    """A dotenv report as GitLab reads it (app/services/ci/parse_dotenv_artifact_service.rb)."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        assert equals and name.replace("_", "").isalnum() and name.isascii(), line
        assert "$" not in value and value == value.strip()
        found[name] = value
    return found


def test_variables_for_later_jobs() -> None:
    assert read(variables(REPORT)) == {
        "COOPERY_IMAGE": "registry.example.com/acme/shop:1.2.3",
        "COOPERY_IMAGE_REF": f"registry.example.com/acme/shop@{DIGEST}",
        "COOPERY_DIGEST": DIGEST,
        "COOPERY_IMAGE_ID": "sha256:" + "cd" * 32,
        "COOPERY_VERSION": "1.2.3",
        "COOPERY_PUSHED": "true",
        "COOPERY_TAGS": "registry.example.com/acme/shop:1.2.3,registry.example.com/acme/shop:latest",
    }


def test_repository_of_a_registry_with_a_port() -> None:
    untagged = replace(IMAGE, names=("localhost:5000/app:1",))
    assert read(variables(replace(REPORT, images=(untagged,))))["COOPERY_IMAGE_REF"] == f"localhost:5000/app@{DIGEST}"


def test_variables_of_several_images() -> None:
    images = tuple(replace(IMAGE, target=name, version=name) for name in ("web", "the-worker"))
    found = read(variables(replace(REPORT, images=images)))
    assert (found["COOPERY_VERSION"], found["COOPERY_VERSION_WEB"]) == ("web", "web")
    assert found["COOPERY_IMAGE_REF_THE_WORKER"].endswith(DIGEST)
    assert len(found) <= MOST_VARIABLES


names = st.text(max_size=40) | st.from_regex(r"[a-z0-9./:$\"' \n-]{1,400}", fullmatch=True)


@given(
    st.lists(
        st.builds(
            ImageResult,
            target=names,
            platforms=st.just(()),
            names=st.lists(names, max_size=30).map(tuple),
            version=names,
            pushed=st.booleans(),
            digest=st.just(DIGEST),
            image_id=names,
            media_type=st.just(""),
            size=st.just(0),
            seconds=st.just(0.0),
        ),
        max_size=8,
    )
)
def test_limits_of_dotenv_reports_hold_whatever_there_is_to_say(images: list[ImageResult]) -> None:
    text = variables(replace(REPORT, images=tuple(images)))
    assert len(text.encode()) <= LARGEST_DOTENV
    assert len(read(text)) <= MOST_VARIABLES
    assert all(
        name.startswith(("COOPERY_I", "COOPERY_D", "COOPERY_V", "COOPERY_P", "COOPERY_T")) for name in read(text)
    )
    assert not any(name.startswith(("COOPERY_INPUT", "COOPERY_CI")) for name in read(text))


def test_links_to_images(tmp_path: Path) -> None:
    environ = captured("push", tmp_path)
    elsewhere = ("ghcr.io/acme/shop:1", "docker.io/acme/shop:1", "1234.dkr.ecr.eu-west-1.amazonaws.com/shop:1")
    image = replace(IMAGE, names=(*IMAGE.names, "registry.example.com/other/shop:1", *elsewhere))
    (title, found), *_ = links(replace(REPORT, images=(image,)), environ).items()
    assert title == "Container images"
    assert found == [
        {"external_link": {"label": IMAGE.names[0], "url": "https://gitlab.example.com/acme/shop/container_registry"}},
        {"external_link": {"label": "ghcr.io/acme/shop:1", "url": "https://ghcr.io/acme/shop"}},
        {"external_link": {"label": "docker.io/acme/shop:1", "url": "https://hub.docker.com/r/acme/shop"}},
    ]
    assert links(replace(REPORT, images=(replace(image, pushed=False),)), environ) == {}


def test_files_of_a_failed_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme/shop/sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "acme/shop/sub")  # wherever a job has gone
    error = Finding(level="error", message="it </failed>\r\n# oh", file="Dockerfile", line=3)
    outside = Finding(level="warning", message="not in the repository", file="/etc/Dockerfile", line=1)
    GitLab(captured("push", tmp_path)).publish(
        replace(REPORT, images=(), error=error, findings=(outside,), exit_code=5)
    )
    folder = tmp_path / "acme/shop/coopery-report"
    assert {path.name for path in folder.iterdir()} == set(files(REPORT, {}))
    (issue,) = json.loads((folder / "codequality.json").read_text())
    assert issue["location"] == {"path": "Dockerfile", "lines": {"begin": 3, "end": 3}}
    assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
    assert "\n" not in issue["description"]
    assert (folder / "build.env").read_text() == ""
    assert json.loads((folder / "report.json").read_text())["exit_code"] == 5
    assert json.loads((folder / "annotations.json").read_text()) == {}


def test_a_report_that_cannot_be_kept_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coopery-report").write_text("a file in its way")
    GitLab({"GITLAB_CI": "true", "CI_PROJECT_DIR": "/builds/acme/shop"}).publish(REPORT)
    assert "the report isn't kept" in capfd.readouterr().err
    assert os.listdir(tmp_path) == ["coopery-report"]
