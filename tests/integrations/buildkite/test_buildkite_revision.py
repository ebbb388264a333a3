"""What is built: the Revision of each captured job, and of jobs that somebody made up."""

from __future__ import annotations

from pathlib import Path

import buildkite_jobs as jobs
import pytest

from coopery.ci.revision import Revision
from coopery.errors import UsageError
from coopery_buildkite import Buildkite
from coopery_buildkite.revision import Repository, parse

_COMMIT = "6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d"
_EXPECTED: dict[str, dict[str, str]] = {
    "push": {"event": "push", "branch": "main"},
    "push-topic": {"event": "push", "branch": "feat/Search_Box"},
    "tag": {"event": "tag", "tag": "v1.2.3"},
    "prerelease": {"event": "tag", "tag": "v2.0.0-rc.1"},
    "change": {"event": "change", "branch": "feat/search", "change": "7", "base_branch": "main"},
    "fork": {
        "event": "change",
        "branch": "patch-1",
        "change": "8",
        "base_branch": "main",
        "untrusted": "a fork's pull request",
    },
    "schedule": {"event": "schedule", "branch": "main"},
    "manual": {"event": "manual", "branch": "main"},
    "queue": {"event": "queue", "branch": "main"},
}


def _revision(directory: Path, scenario: str = "push", **variables: str) -> Revision:
    environ = jobs.capture(scenario, directory) | variables
    assert Buildkite.detect(environ)
    return Buildkite(environ).revision()


@pytest.mark.parametrize("scenario", _EXPECTED)
def test_captured_jobs(scenario: str, tmp_path: Path) -> None:
    job = "0192b6f4-9c30-47d3-8f00-5d2e9c9d3301"
    assert _revision(tmp_path, scenario) == Revision(
        **{
            "commit": _COMMIT,
            "default_branch": "main",
            "repository": "acme/shop",
            "repository_url": "https://github.com/acme/shop",
            "job_url": f"https://buildkite.com/acme/shop/builds/42#{job}",
            **_EXPECTED[scenario],
        }
    )


def test_there_is_a_capture_for_each_scenario() -> None:
    assert {path.stem for path in jobs.CAPTURES.iterdir()} == set(_EXPECTED)


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:acme/shop.git",
        "https://github.com/acme/shop.git",
        "https://robin:secret@GitHub.com/acme/shop",
        "ssh://git@github.com:22/acme/shop.git",
        "git://github.com/acme/shop.git",
        "org-42@github.com:acme/shop.git",
        "https://github.com/acme/shop.git/",
    ],
)
def test_repositories_however_they_are_written(url: str) -> None:
    assert parse(url) == Repository("github.com", "acme/shop", "https://github.com/acme/shop")


@pytest.mark.parametrize(
    ("url", "path", "shown"),
    [
        ("https://git.example:8443/a/b/shop.git", "a/b/shop", "https://git.example:8443/a/b/shop"),
        ("http://git.example/acme/shop", "acme/shop", "http://git.example/acme/shop"),
    ],
)
def test_ports_and_groups_stay(url: str, path: str, shown: str) -> None:
    assert parse(url) == Repository("git.example", path, shown)


@pytest.mark.parametrize("url", ["", "/var/lib/shop.git", "file:///var/lib/shop.git", "../shop", "C:\\shop"])
def test_paths_are_no_repository_on_the_web(url: str) -> None:
    found = parse(url)
    assert found is None or "var" not in found.url


@pytest.mark.parametrize(
    ("variables", "untrusted"),
    [
        ({"BUILDKITE_PULL_REQUEST_REPO": "https://github.com/Acme/Shop.git"}, ""),
        ({"BUILDKITE_PULL_REQUEST_REPO": "git@github.com:acme/shop.git"}, ""),
        ({"BUILDKITE_PULL_REQUEST_REPO": "git://github.com/visitor/shop.git"}, "a fork's pull request"),
        ({"BUILDKITE_PULL_REQUEST_REPO": "git://elsewhere.example/acme/shop.git"}, "a fork's pull request"),
        ({"BUILDKITE_PULL_REQUEST_REPO": "git://github.com/acme/shop.git/../../visitor/shop"}, "a fork's pull request"),
        ({"BUILDKITE_PULL_REQUEST_REPO": ""}, "a pull request whose repository isn't known"),
        ({"BUILDKITE_BRANCH": "visitor:main"}, "a fork's pull request"),
    ],
)
def test_whose_changes_are_trusted(variables: dict[str, str], untrusted: str, tmp_path: Path) -> None:
    assert _revision(tmp_path, "change", **variables).untrusted == untrusted


@pytest.mark.parametrize(
    "variables",
    [
        {"BUILDKITE_BRANCH": f"gh-readonly-queue/main/pr-1-{_COMMIT}"},
        {"BUILDKITE_BRANCH": "main"},
        {"BUILDKITE_BRANCH": "v1.2.3", "BUILDKITE_TAG": "v1.2.3"},
        {"BUILDKITE_SOURCE": "ui"},
        {"BUILDKITE_SOURCE": "schedule"},
        {"BUILDKITE_MERGE_QUEUE_BASE_BRANCH": "main"},
    ],
)
def test_a_forks_change_stays_one(variables: dict[str, str], tmp_path: Path) -> None:
    revision = _revision(tmp_path, "fork", **variables)
    assert (revision.event, revision.tag, revision.trusted) == ("change", "", False)
    assert not revision.on_default_branch


def test_a_forks_branch_in_a_build_that_was_started_by_hand(tmp_path: Path) -> None:
    revision = _revision(tmp_path, "manual", BUILDKITE_BRANCH="visitor:main")
    assert (revision.branch, revision.untrusted) == ("main", "a fork's branch")


@pytest.mark.parametrize(("source", "event"), [("api", "manual"), ("trigger_job", "other"), ("", "other")])
def test_sources(source: str, event: str, tmp_path: Path) -> None:
    assert _revision(tmp_path, BUILDKITE_SOURCE=source).event == event


def test_a_pull_request_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="BUILDKITE_PULL_REQUEST"):
        _revision(tmp_path, BUILDKITE_PULL_REQUEST="7; rm -rf /")


def test_the_checkout_tells_what_head_is_and_when_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    head = jobs.commit(tmp_path)
    found = _revision(tmp_path, BUILDKITE_COMMIT="HEAD", BUILDKITE_BUILD_CHECKOUT_PATH=str(tmp_path))
    assert found.commit == head
    assert found.commit_time == int(jobs.git(tmp_path, "show", "--no-patch", "--format=%ct"))


def test_of_a_merge_made_for_the_job_the_changes_own_head_counts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    jobs.commit(tmp_path)
    jobs.git(tmp_path, "checkout", "--quiet", "-b", "feat/search")
    (tmp_path / "search").write_text("y")
    head = jobs.commit(tmp_path, "Search")
    jobs.git(tmp_path, "checkout", "--quiet", "main")
    jobs.git(tmp_path, "merge", "--quiet", "--no-ff", "-m", "Merge", "feat/search")
    made = {"BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC": "true", "BUILDKITE_COMMIT": "HEAD"}
    assert _revision(tmp_path, "change", BUILDKITE_BUILD_CHECKOUT_PATH=str(tmp_path), **made).commit == head


@pytest.mark.parametrize("commit", ["HEAD", "--help", "HEAD; id", "$(id)", ""])
def test_without_a_checkout_the_commit_is_not_known(commit: str, tmp_path: Path) -> None:
    assert _revision(tmp_path, BUILDKITE_COMMIT=commit).commit == ""
