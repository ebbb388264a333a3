"""What GitHub's jobs build, from captured environments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import github_runner
import pytest
from github_runner import COMMIT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery.errors import UsageError
from coopery_github import GitHub

_MADE = 1772600767  # 2026-03-04T05:06:07Z

_EXPECTED: dict[str, dict[str, object]] = {
    "push": {"event": "push", "branch": "main", "commit_time": _MADE},
    "push-topic": {"event": "push", "branch": "feat/Search_Box", "commit_time": _MADE},
    "tag": {"event": "tag", "tag": "v1.2.3", "branch": "", "base_branch": "main", "commit_time": _MADE},
    "prerelease": {"event": "tag", "tag": "v2.0.0-rc.1", "branch": "", "commit_time": _MADE},
    "change": {"event": "change", "branch": "feat/search", "change": "7", "base_branch": "main"},
    "fork": {"event": "change", "branch": "patch-1", "change": "8", "base_branch": "main"},
    "schedule": {"event": "schedule", "branch": "main"},
    "manual": {"event": "manual", "branch": "main"},
    "queue": {"event": "queue", "branch": "main", "commit_time": _MADE},
    "target-fork": {"event": "change", "branch": "patch-1", "change": "8", "base_branch": "main"},
    "target-same": {"event": "change", "branch": "feat/search", "change": "7", "base_branch": "main"},
    "dependabot": {"event": "change", "branch": "dependabot/pip/flask-3.1", "change": "9"},
    "release": {"event": "tag", "tag": "v1.2.3", "branch": ""},
    "run-push": {"event": "push", "branch": "main", "commit_time": _MADE},
    "run-fork": {"event": "change", "branch": "patch-1", "commit_time": _MADE},
    "comment": {"event": "other", "branch": "main", "commit": "2c4e6a8b0d1f3a5c7e9b1d3f5a7c9e0b2d4f6a80"},
    "dispatch-tag": {"event": "manual", "tag": "v1.2.3", "branch": ""},
}
_UNTRUSTED = {
    "fork": "a fork's pull request",
    "target-fork": "a fork's pull request, in a job of pull_request_target that has this repository's rights",
    "dependabot": "a pull request of Dependabot's",
    "run-fork": "a workflow run that a fork's pull request started",
    "comment": "a comment on a pull request, whose code may be what is built",
}


@pytest.mark.parametrize("name", github_runner.scenarios())
def test_captured_jobs(name: str, tmp_path: Path) -> None:
    environ = github_runner.environment(name, tmp_path)
    assert GitHub.detect(environ)
    revision = GitHub(environ).revision()
    expected: dict[str, object] = {"commit": COMMIT, "default_branch": "main", "repository": "acme/shop"}
    expected |= {"repository_url": "https://github.com/acme/shop", "description": "The shop", "licenses": "Apache-2.0"}
    expected |= {"job_url": "https://github.com/acme/shop/actions/runs/18446744", "default_image": "ghcr.io/acme/shop"}
    expected |= {"untrusted": _UNTRUSTED.get(name, ""), **_EXPECTED[name]}
    assert {field: getattr(revision, field) for field in expected} == expected
    assert revision.on_default_branch == (name in ("push", "schedule", "manual", "run-push", "comment"))


def test_every_captured_job_is_expected() -> None:
    assert set(_EXPECTED) == set(github_runner.scenarios())


def _changed(name: str, directory: Path, change: Any, **variables: str) -> GitHub:
    environ = github_runner.environment(name, directory) | variables
    path = directory / "event.json"
    event = json.loads(path.read_text())
    change(event)
    path.write_text(json.dumps(event))
    return GitHub(environ)


def test_a_deleted_fork_is_a_fork(tmp_path: Path) -> None:
    def gone(event: Any) -> None:
        event["pull_request"]["head"]["repo"] = None

    assert _changed("change", tmp_path, gone).revision().untrusted == "a fork's pull request"


def test_a_fork_with_our_name_is_a_fork(tmp_path: Path) -> None:
    def same_name(event: Any) -> None:
        event["pull_request"]["head"]["repo"] |= {"id": 5, "full_name": "acme/shop"}

    assert not _changed("change", tmp_path, same_name).revision().trusted


def test_a_pull_request_without_its_event_is_not_trusted(tmp_path: Path) -> None:
    revision = _changed("change", tmp_path, dict.clear).revision()
    assert (revision.event, revision.change, revision.branch) == ("change", "7", "feat/search")
    assert not revision.trusted


def test_dependabot_on_its_own_branch(tmp_path: Path) -> None:
    ref = "refs/heads/dependabot/npm/left-pad-2"
    own = _changed("push", tmp_path, lambda _: None, GITHUB_ACTOR="dependabot[bot]", GITHUB_REF=ref)
    assert own.revision().untrusted == "a push of Dependabot's"
    merged = _changed("push", tmp_path, lambda _: None, GITHUB_ACTOR="dependabot[bot]")
    assert merged.revision().trusted


def test_a_commit_time_of_another_commit_is_not_ours(tmp_path: Path) -> None:
    def other(event: Any) -> None:
        event["head_commit"]["id"] = "0" * 40

    assert _changed("push", tmp_path, other).revision().commit_time is None


def test_enterprise_server(tmp_path: Path) -> None:
    environ = github_runner.environment("push", tmp_path)
    environ |= {"GITHUB_SERVER_URL": "https://git.acme.example", "GITHUB_REPOSITORY": "Acme/Shop"}
    revision = GitHub(environ).revision()
    assert revision.repository_url == "https://git.acme.example/Acme/Shop"
    assert revision.default_image == "containers.git.acme.example/acme/shop"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "isn't JSON"),
        (b"[1]", "isn't a JSON object"),
        (b"\xff\xfe{}", "isn't JSON"),
        (b'{"a":' * 100_000, "isn't JSON"),
        (b" " * ((32 << 20) + 1), "has more than"),
    ],
)
def test_broken_events(content: bytes, message: str, tmp_path: Path) -> None:
    environ = github_runner.environment("push", tmp_path)
    (tmp_path / "event.json").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        GitHub(environ).revision()


def test_contradictions(tmp_path: Path) -> None:
    environ = github_runner.environment("change", tmp_path)
    with pytest.raises(UsageError, match="GITHUB_HEAD_REF is 'other'"):
        GitHub(environ | {"GITHUB_HEAD_REF": "other"}).revision()
    with pytest.raises(UsageError, match="GITHUB_SHA is not a commit"):
        GitHub(environ | {"GITHUB_SHA": "$(id)"}).revision()
    with pytest.raises(UsageError, match="can't be read"):
        GitHub(environ | {"GITHUB_EVENT_PATH": str(tmp_path / "missing")}).revision()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)
_PATHS = st.sampled_from(
    (
        *(
            "pull_request",
            "pull_request.head",
            "pull_request.head.repo",
            "pull_request.head.sha",
            "pull_request.number",
        ),
        *(
            "pull_request.number",
            "pull_request.base.ref",
            "repository",
            "repository.license",
            "repository.default_branch",
            "head_commit",
        ),
        *("head_commit.timestamp", "merge_group", "workflow_run", "workflow_run.pull_requests", "issue", "base_ref"),
    )
)


@given(st.sampled_from(github_runner.scenarios()), _PATHS, _JSON)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_event_makes_a_fork_trusted_or_breaks_us(tmp_path: Path, name: str, path: str, value: Any) -> None:
    environ = github_runner.environment(name, tmp_path)
    event = json.loads((tmp_path / "event.json").read_text())
    place = event
    *before, last = path.split(".")
    for step in before:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            return
    place[last] = value
    (tmp_path / "event.json").write_text(json.dumps(event))
    try:
        revision = GitHub(environ).revision()
    except UsageError:
        return
    assert all(isinstance(getattr(revision, field), str) for field in ("branch", "commit", "change", "untrusted"))
    if name in ("fork", "target-fork", "run-fork"):
        assert not revision.trusted
