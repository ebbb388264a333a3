"""What a job builds, out of captured variables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gitlab_support import captured

from coopery.ci.platform import ENTRY_POINTS, Platform
from coopery.ci.revision import Revision
from coopery.errors import UsageError
from coopery_gitlab import GitLab

COMMIT = "6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d"
OTHER = "1111111111111111111111111111111111111111"
PUSH = Revision(
    event="push",
    commit=COMMIT,
    branch="main",
    default_branch="main",
    repository="acme/shop",
    repository_url="https://gitlab.example.com/acme/shop",
    description="The shop",
    commit_time=1772600767,
    job_url="https://gitlab.example.com/acme/shop/-/jobs/555001",
    default_image="registry.example.com/acme/shop",
)
CHANGE = replace(PUSH, event="change", branch="feat/search", change="7", base_branch="main")
EXPECTED = {
    "push": PUSH,
    "push-topic": replace(PUSH, branch="feat/Search_Box"),
    "tag": replace(PUSH, event="tag", branch="", tag="v1.2.3"),
    "prerelease": replace(PUSH, event="tag", branch="", tag="v2.0.0-rc.1"),
    "change": CHANGE,
    "fork": replace(
        CHANGE,
        branch="patch-1",
        change="8",
        untrusted="a fork's merge request",
        job_url="https://gitlab.example.com/grace/shop/-/jobs/555001",
        default_image="registry.example.com/grace/shop",
    ),
    "schedule": replace(PUSH, event="schedule"),
    "manual": replace(PUSH, event="manual"),
    "queue": replace(PUSH, event="queue"),
}


def revision(environ: dict[str, str]) -> Revision:
    assert GitLab.detect(environ)
    return GitLab(environ).revision()


@pytest.mark.parametrize("scenario", EXPECTED)
def test_captured_job(scenario: str, tmp_path: Path) -> None:
    assert revision(captured(scenario, tmp_path)) == EXPECTED[scenario]


def test_adapter_is_found() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group=ENTRY_POINTS, name="gitlab")
    platform: Platform = found.load()({"GITLAB_CI": "true"})
    assert platform.name == "gitlab"


@pytest.mark.parametrize("environ", [{}, {"CI": "true"}, {"GITLAB_CI": "false"}])
def test_other_environments_are_not_jobs(environ: dict[str, str]) -> None:
    assert not GitLab.detect(environ)


def test_commit_of_merged_results_is_the_head(tmp_path: Path) -> None:
    """Its time isn't known then: the variable tells that of the merge."""
    environ = captured("change", tmp_path) | {
        "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result",
        "CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/7/merge",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": COMMIT,
        "CI_COMMIT_SHA": OTHER,
    }
    assert revision(environ) == replace(CHANGE, commit_time=None)


def test_fork_run_in_the_parent_project(tmp_path: Path) -> None:
    """Where a member started the pipeline of a fork's merge request, the variables are the parent project's."""
    environ = captured("change", tmp_path) | {
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "5822",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "grace/shop",
    }
    assert not revision(environ).trusted
    assert not revision(environ | {"CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"}).trusted


def test_source_project_that_is_gone_is_not_trusted(tmp_path: Path) -> None:
    environ = captured("change", tmp_path)
    gone = {name: text for name, text in environ.items() if not name.startswith("CI_MERGE_REQUEST_SOURCE_PROJECT_")}
    assert not revision(gone).trusted


@pytest.mark.parametrize(
    ("source", "event"),
    [
        *(("webide", "push"), ("parent_pipeline", "push")),
        *(("api", "manual"), ("trigger", "manual"), ("chat", "manual")),
        *(("pipeline", "other"), ("external", "other"), ("something_new", "other"), ("", "other")),
    ],
)
def test_reasons_for_pipelines(source: str, event: str, tmp_path: Path) -> None:
    assert revision(captured("push", tmp_path) | {"CI_PIPELINE_SOURCE": source}).event == event


def test_tag_built_by_hand(tmp_path: Path) -> None:
    found = revision(captured("tag", tmp_path) | {"CI_PIPELINE_SOURCE": "web"})
    assert (found.event, found.tag, found.branch) == ("manual", "v1.2.3", "")


def test_child_pipeline_of_a_merge_request(tmp_path: Path) -> None:
    assert revision(captured("change", tmp_path) | {"CI_PIPELINE_SOURCE": "parent_pipeline"}) == CHANGE


@pytest.mark.parametrize(("source", "trusted"), [("acme/shop", True), ("grace/shop", False)])
def test_pull_request_of_a_github_mirror(source: str, trusted: bool, tmp_path: Path) -> None:
    environ = captured("push", tmp_path) | {
        "CI_PIPELINE_SOURCE": "external_pull_request_event",
        "CI_EXTERNAL_PULL_REQUEST_IID": "7",
        "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": source,
        "CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY": "acme/shop",
        "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME": "feat/search",
        "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA": COMMIT,
        "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA": OTHER,
    }
    del environ["CI_COMMIT_BRANCH"]
    found = revision(environ)
    assert (found.event, found.change, found.branch, found.commit) == ("change", "7", "feat/search", COMMIT)
    assert found.trusted is trusted


def test_variables_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CI_COMMIT_BRANCH and CI_COMMIT_TAG") as caught:
        revision(captured("push", tmp_path) | {"CI_COMMIT_TAG": "v1"})
    assert caught.value.hint


@pytest.mark.parametrize("time", ["", "yesterday", "99999-01-01T00:00:00Z"])
def test_time_that_is_none(time: str, tmp_path: Path) -> None:
    assert revision(captured("push", tmp_path) | {"CI_COMMIT_TIMESTAMP": time}).commit_time is None
