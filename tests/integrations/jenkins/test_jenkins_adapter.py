"""The adapter: from a job's environment to revisions, settings, secrets, tokens, caches; from a report to files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jenkins_pipelines import capture

from coopery.ci.platform import CacheKind, CacheWish
from coopery.ci.report import Finding, ImageResult, Report
from coopery.ci.revision import Revision
from coopery.ci.sources import read_settings
from coopery.errors import AuthError, UsageError
from coopery_jenkins import Jenkins
from coopery_jenkins.publishing import contents, directory, write

COMMIT = "6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d"
JOB = {"JENKINS_URL": "https://jenkins.acme.example/", "BUILD_NUMBER": "1", "JOB_NAME": "shop"}


def bound(purpose: str, name: str, kind: str, **variables: str) -> dict[str, Any]:
    return {"purpose": purpose, "name": name, "kind": kind, "credential": f"{name}-id", "variables": variables}


def job(environ: dict[str, str] | None = None, inputs: dict[str, Any] | None = None, **facts: Any) -> Jenkins:
    return Jenkins(
        {**JOB, "COOPERY_INPUTS": json.dumps(inputs or {}), "COOPERY_JENKINS": json.dumps(facts), **(environ or {})}
    )


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("push", {"event": "push", "branch": "main"}),
        ("push-topic", {"event": "push", "branch": "feat/Search_Box"}),
        ("tag", {"event": "tag", "tag": "v1.2.3"}),
        ("prerelease", {"event": "tag", "tag": "v2.0.0-rc.1"}),
        ("change", {"event": "change", "branch": "feat/search", "change": "7", "base_branch": "main"}),
        (
            "fork",
            {
                "event": "change",
                "branch": "patch-1",
                "change": "8",
                "base_branch": "main",
                "untrusted": "a change from the fork mallory",
            },
        ),
        ("schedule", {"event": "schedule", "branch": "main"}),
        ("manual", {"event": "manual", "branch": "main"}),
        ("queue", {"event": "queue", "branch": "main"}),
    ],
)
def test_captured_jobs(scenario: str, expected: dict[str, str]) -> None:
    environ = capture(scenario)
    assert Jenkins.detect(environ)
    assert Jenkins(environ).revision() == Revision(
        commit=COMMIT,
        default_branch="main",
        repository="acme/shop",
        repository_url="https://github.com/acme/shop",
        job_url=environ["BUILD_URL"],
        **expected,  # type: ignore[arg-type]
    )


def test_other_environments_are_not_jenkins() -> None:
    assert not Jenkins.detect({"CI": "true", "BUILD_NUMBER": "1"})
    assert not Jenkins.detect({"JENKINS_URL": "https://jenkins.acme.example/"})


@pytest.mark.parametrize(
    ("environ", "branch", "tag"),
    [
        ({"GIT_BRANCH": "origin/main"}, "main", ""),
        ({"GIT_BRANCH": "origin/feat/x"}, "feat/x", ""),
        ({"GIT_BRANCH": "refs/remotes/origin/main"}, "main", ""),
        ({"GIT_BRANCH": "detached"}, "", ""),
        ({"GIT_BRANCH": "origin/main", "GIT_LOCAL_BRANCH": "main"}, "main", ""),
        ({"GIT_BRANCH": "origin/tags/v1.0.0"}, "", "v1.0.0"),
        ({"GIT_BRANCH": "refs/tags/v1.0.0"}, "", "v1.0.0"),
        ({"BRANCH_NAME": "tags/fun", "GIT_BRANCH": "tags/fun"}, "tags/fun", ""),
        ({}, "", ""),
    ],
)
def test_pipelines_of_a_single_branch(environ: dict[str, str], branch: str, tag: str) -> None:
    found = job(environ).revision()
    assert (found.branch, found.tag) == (branch, tag)
    assert found.event == ("tag" if tag else "push")


@pytest.mark.parametrize(
    ("causes", "event"),
    [
        (["hudson.triggers.TimerTrigger$TimerTriggerCause", "hudson.triggers.SCMTrigger$SCMTriggerCause"], "schedule"),
        (["org.jenkinsci.plugins.workflow.cps.replay.ReplayCause", "hudson.model.Cause$UserIdCause"], "manual"),
        (["org.jenkinsci.plugins.workflow.support.steps.build.BuildUpstreamCause"], "other"),
        (["hudson.model.Cause$RemoteCause"], "other"),
        (["com.cloudbees.jenkins.GitHubPushCause"], "push"),
        (["jenkins.branch.BranchIndexingCause"], "push"),
        ([], "push"),
    ],
)
def test_causes(causes: list[str], event: str) -> None:
    assert job({"BRANCH_NAME": "main"}, causes=causes).revision().event == event


@pytest.mark.parametrize(
    ("environ", "untrusted"),
    [
        ({"CHANGE_ID": "7", "CHANGE_BRANCH": "x"}, ""),
        (
            {"CHANGE_ID": "7", "CHANGE_BRANCH": "x", "CHANGE_FORK": "mallory/shop"},
            "a change from the fork mallory/shop",
        ),
        ({"CHANGE_ID": "7"}, "a change of which Jenkins doesn't say where it comes from"),
        (
            {
                "ghprbPullId": "7",
                "ghprbGhRepository": "acme/shop",
                "ghprbAuthorRepoGitUrl": "https://github.com/Acme/shop.git",
            },
            "",
        ),
        (
            {
                "ghprbPullId": "7",
                "ghprbGhRepository": "acme/shop",
                "ghprbAuthorRepoGitUrl": "https://github.com/mallory/shop.git",
            },
            "a change from the fork mallory/shop",
        ),
        ({"ghprbPullId": "7"}, "a change whose trigger doesn't say where it comes from"),
        (
            {
                "gitlabMergeRequestIid": "7",
                "gitlabActionType": "MERGE",
                "gitlabSourceRepoHttpUrl": "https://gitlab.example/mallory/shop.git",
                "gitlabTargetRepoHttpUrl": "https://gitlab.example/acme/shop.git",
            },
            "a change from the fork mallory/shop",
        ),
    ],
)
def test_only_changes_that_are_known_to_be_ours_are_trusted(environ: dict[str, str], untrusted: str) -> None:
    found = job(environ).revision()
    assert (found.event, found.change, found.untrusted) == ("change", "7", untrusted)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"GIT_URL": "git@github.com:acme/shop.git"}, "https://github.com/acme/shop"),
        (
            {"GIT_URL": "https://user:s3cret@gitlab.example:8443/acme/web/shop.git"},
            "https://gitlab.example:8443/acme/web/shop",
        ),
        (
            {"CHANGE_URL": "https://gitlab.example/acme/web/shop/-/merge_requests/3"},
            "https://gitlab.example/acme/web/shop",
        ),
        ({"CHANGE_URL": "https://github.com/acme/shop/pull/7"}, "https://github.com/acme/shop"),
        ({"GIT_URL": "/srv/git/shop"}, ""),
        ({}, ""),
    ],
)
def test_repositories(environ: dict[str, str], url: str) -> None:
    found = job(environ).revision()
    assert found.repository_url == url
    assert found.repository == "/".join(url.split("/")[3:])


def test_facts_of_the_step_go_before_the_environment() -> None:
    found = job(
        {"BRANCH_NAME": "main", "GIT_COMMIT": "a" * 40}, **{"commit": "b" * 40, "default-branch": "trunk"}
    ).revision()
    assert (found.commit, found.default_branch, found.on_default_branch) == ("b" * 40, "trunk", False)


# ------------------------------------------------------------------------------------------------ settings and secrets


def test_arguments_become_settings() -> None:
    adapter = job(
        {"U": "ada"},
        {
            "image": "registry.example/shop",
            "buildArgs": {"someArg": 1},
            "no-cache": True,
            "onlyPlatform": "linux/arm64",
            "platforms": ["linux/amd64", "linux/arm64"],
            "registries": {"registry.example": {"plainHttp": True, "mirror": "mirror.example"}},
        },
        bound=[bound("registry", "registry.example", "usernamePassword", username="U", password="P")],
    )
    settings = read_settings(environ={}, inputs=adapter.inputs(), inputs_from=adapter.title, flags={})
    (target,) = settings.targets
    assert target.images == ("registry.example/shop",)
    assert target.build_args == {"someArg": "1"}
    assert target.no_cache
    assert settings.only_platform == "linux/arm64"
    entry = settings.registries["registry.example"]
    assert entry.plain_http
    assert adapter.secret(entry.username) is not None
    assert adapter.secret(entry.username).value == "ada"  # type: ignore[union-attr]


def test_an_unknown_argument_is_told_by_its_name() -> None:
    adapter = job(inputs={"image": "registry.example/shop", "buildArg": {}})
    with pytest.raises(UsageError) as caught:
        read_settings(environ={}, inputs=adapter.inputs(), inputs_from=adapter.title, flags={})
    assert "build-arg" in caught.value.message
    assert "build-args" in caught.value.hint


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "1"])
def test_what_the_step_didnt_write(text: str) -> None:
    with pytest.raises(UsageError):
        Jenkins({**JOB, "COOPERY_INPUTS": text}).inputs()
    with pytest.raises(UsageError):
        Jenkins({**JOB, "COOPERY_JENKINS": text}).revision()


def test_a_bound_variable_that_isnt_there() -> None:
    with pytest.raises(UsageError, match="npm-id"):
        job(bound=[bound("secret", "npm", "string", value="GONE")]).inputs()


def test_a_secret_goes_by_its_own_name_too(tmp_path: Path) -> None:
    held = tmp_path / "ws@tmp" / "secretFiles" / "1" / "netrc"
    held.parent.mkdir(parents=True)
    held.write_text("x")
    adapter = job(
        {"V": "value", "NETRC": str(held), "OTHER": str(tmp_path)}, bound=[bound("secret", "NPM", "string", value="V")]
    )
    assert adapter.secret("NPM").value == "value"  # type: ignore[union-attr]
    assert adapter.secret("NETRC").file == str(held)  # type: ignore[union-attr]
    assert adapter.secret("OTHER") is None  # a variable like any other
    assert adapter.secret("NOBODY") is None
    assert adapter.credentials() == ()


# ------------------------------------------------------------------------------------------------ identity


def token(claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize("audience", ["sts.amazonaws.com", ["x", "sts.amazonaws.com"]])
def test_tokens_are_for_their_audience(tmp_path: Path, audience: object) -> None:
    value = token({"aud": audience})
    (tmp_path / "token").write_text(value + "\n")
    for kind, part, held in (("string", "value", value), ("file", "file", str(tmp_path / "token"))):
        adapter = job({"T": held}, bound=[bound("identity", "sts.amazonaws.com", kind, **{part: "T"})])
        assert adapter.identity_token("sts.amazonaws.com") == value
        assert adapter.identity_token("https://identity.docker.com") is None
    assert "identityTokens: ['sts.amazonaws.com'" in adapter.identity_help("sts.amazonaws.com")


@pytest.mark.parametrize("value", [token({"aud": "other"}), token({}), token([]), "password", "a.b.c", "a.é.c", ""])
def test_what_is_no_token_for_it_is_refused_here(value: str) -> None:
    adapter = job({"T": value}, bound=[bound("identity", "sts.amazonaws.com", "string", value="T")])
    with pytest.raises(AuthError, match=r"sts\.amazonaws\.com-id") as caught:
        adapter.identity_token("sts.amazonaws.com")
    assert not value or value not in str(caught.value)


# ------------------------------------------------------------------------------------------------ cache


def wish(kind: CacheKind, repository: str = "registry.example/shop/cache", may_write: bool = True) -> CacheWish:
    return CacheWish(kind=kind, repository=repository, scope="web-linux-amd64", may_write=may_write)


def test_caches() -> None:
    adapter = job({"HOME": "/home/jenkins", "JOB_NAME": "shop/main", "BRANCH_NAME": "main"})
    ref = "type=registry,ref=registry.example/shop/cache:web-linux-amd64"
    for kind in ("auto", "registry"):
        choice = adapter.cache(wish(kind))  # type: ignore[arg-type]
        assert (choice.sources, choice.targets) == ((ref,), (f"{ref},mode=max,ignore-error=true",))
    assert adapter.cache(wish("registry", may_write=False)).targets == ()
    local = adapter.cache(wish("local"))
    assert local == adapter.cache(wish("auto", ""))
    other = job({"HOME": "/home/jenkins", "JOB_NAME": "shop/feat%2Fx", "BRANCH_NAME": "feat/x"})
    assert local == other.cache(wish("local"))  # branches of a project share it
    assert local != job({"HOME": "/home/jenkins", "JOB_NAME": "other/main", "BRANCH_NAME": "main"}).cache(wish("local"))
    assert adapter.cache(wish("none")).sources == ()
    with pytest.raises(UsageError, match="no cache"):
        adapter.cache(wish("platform"))


# ------------------------------------------------------------------------------------------------ report


def report(text: str = "x") -> Report:
    image = ImageResult(
        target="",
        platforms=("linux/amd64",),
        names=(f"registry.example/shop:{COMMIT[:7]}",),
        version=text,
        pushed=True,
        digest="sha256:" + "1" * 64,
        image_id="sha256:" + "2" * 64,
        media_type="application/vnd.oci.image.manifest.v1+json",
        size=1,
        seconds=1.0,
        labels={text: text},
    )
    finding = Finding(level="error", message=text, hint=text, detail=text, file=text, line=1)
    return Report(revision=Revision(event="push", branch=text), images=(image,), findings=(finding,), error=finding)


@given(st.text())
def test_files_are_well_formed_whatever_is_in_the_report(text: str) -> None:
    files = contents(report(text))
    for name, content in files.items():
        if name != "report.md":
            json.loads(content)
    result = json.loads(files["result.json"])
    assert result["labels"] == {text: text}
    assert result["error"]["message"].isprintable()


def test_files_go_where_the_step_says_or_into_the_workspace(tmp_path: Path) -> None:
    assert directory({"WORKSPACE": "/ws"}) == "/ws/coopery-report"
    assert directory({"WORKSPACE": "/ws", "COOPERY_REPORTS": "/tmp/x"}) == "/tmp/x"
    place = tmp_path / "a" / "b"
    Jenkins({**JOB, "COOPERY_REPORTS": str(place)}).publish(report())
    assert json.loads((place / "result.json").read_text())["pushed"] is True


def test_links_in_the_workspace_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "coopery-report").symlink_to(tmp_path / "elsewhere")
    assert "can't be written" in write(report(), str(tmp_path / "coopery-report"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    place = tmp_path / "real"
    place.mkdir()
    (place / "report.md").symlink_to(victim)
    Jenkins({**JOB, "COOPERY_REPORTS": str(place)}).publish(report())
    assert victim.read_text() == "mine"
    assert "can't be written" in capsys.readouterr().err


def test_notices_and_titles_stay_on_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    adapter = job()
    with adapter.group("one\ntwo\x1b[2J"):
        adapter.notice("three\r\nfour\u202e")
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown
    assert "\u202e" not in shown
