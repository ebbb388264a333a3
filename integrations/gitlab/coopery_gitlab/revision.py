"""What a job builds, out of GitLab's predefined variables (docs.gitlab.com, "Predefined CI/CD variables reference")."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from coopery.ci.revision import Event, Revision
from coopery.errors import UsageError

#: CI_PIPELINE_SOURCE (docs.gitlab.com, "Specify when jobs run") of pipelines that are about a branch or tag. Child
#: pipelines say no more of their parent's reason than that; they run for the same commit, and count as pushes.
_EVENTS: Mapping[str, Event] = {
    "push": "push",
    "webide": "push",
    "parent_pipeline": "push",
    "schedule": "schedule",
    "web": "manual",
    "api": "manual",
    "trigger": "manual",
    "chat": "manual",
}


def read_revision(environ: Mapping[str, str]) -> Revision:
    """What the job with these variables builds.

    The commit of a merge request is its head, also where GitLab merged it for the job (merged results). A merge train
    is a queue: what it builds is what its target branch is going to be. UsageError where the variables contradict
    each other.
    """
    if environ.get("CI_MERGE_REQUEST_IID"):
        return _merge_request(environ)
    if environ.get("CI_EXTERNAL_PULL_REQUEST_IID"):
        return _external_pull_request(environ)
    branch, tag = environ.get("CI_COMMIT_BRANCH", ""), environ.get("CI_COMMIT_TAG", "")
    if branch and tag:
        raise UsageError(
            "both CI_COMMIT_BRANCH and CI_COMMIT_TAG are set",
            hint="a variable of one of these names hides GitLab's own: remove it from the pipeline or the settings",
        )
    event = _EVENTS.get(environ.get("CI_PIPELINE_SOURCE", ""), "other")
    return _revision(environ, "tag" if tag and event == "push" else event, branch=branch, tag=tag)


def _merge_request(environ: Mapping[str, str]) -> Revision:
    target = environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "")
    if environ.get("CI_MERGE_REQUEST_EVENT_TYPE") == "merge_train":
        return _revision(environ, "queue", branch=target, untrusted=_foreign(environ))
    return _revision(
        environ,
        "change",
        # Only pipelines that build a merge have the first of these.
        commit=environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", ""),
        branch=environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", ""),
        change=environ["CI_MERGE_REQUEST_IID"],
        base_branch=target,
        untrusted=_foreign(environ),
    )


def _foreign(environ: Mapping[str, str]) -> str:
    """Why a merge request's code isn't the project's own; empty if it is."""
    for name in ("ID", "PATH"):
        source = environ.get(f"CI_MERGE_REQUEST_SOURCE_PROJECT_{name}", "")
        target = environ.get(f"CI_MERGE_REQUEST_PROJECT_{name}", "")
        if source and target:
            return "" if source == target else "a fork's merge request"
    return "a merge request whose source project is gone"


def _external_pull_request(environ: Mapping[str, str]) -> Revision:
    """A pull request of a GitHub repository that GitLab runs pipelines for; GitLab runs none for those of forks."""
    prefix = "CI_EXTERNAL_PULL_REQUEST_"
    source, target = environ.get(f"{prefix}SOURCE_REPOSITORY", ""), environ.get(f"{prefix}TARGET_REPOSITORY", "")
    return _revision(
        environ,
        "change",
        commit=environ.get(f"{prefix}SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", ""),
        branch=environ.get(f"{prefix}SOURCE_BRANCH_NAME", ""),
        change=environ[f"{prefix}IID"],
        base_branch=environ.get(f"{prefix}TARGET_BRANCH_NAME", ""),
        untrusted="" if source == target else "a fork's pull request",
    )


def _revision(
    environ: Mapping[str, str],
    event: Event,
    *,
    commit: str = "",
    branch: str = "",
    tag: str = "",
    change: str = "",
    base_branch: str = "",
    untrusted: str = "",
) -> Revision:
    built = environ.get("CI_COMMIT_SHA", "")
    commit = commit or built
    # A fork's pipeline runs in the fork: the merge request's project is where it wants to go.
    url = change and environ.get("CI_MERGE_REQUEST_PROJECT_URL")
    return Revision(
        event=event,
        commit=commit,
        branch=branch,
        tag=tag,
        change=change,
        base_branch=base_branch,
        default_branch=environ.get("CI_DEFAULT_BRANCH", ""),
        untrusted=untrusted,
        repository=(change and environ.get("CI_MERGE_REQUEST_PROJECT_PATH")) or environ.get("CI_PROJECT_PATH", ""),
        repository_url=url or environ.get("CI_PROJECT_URL", ""),
        default_image=environ.get("CI_REGISTRY_IMAGE", ""),
        description=environ.get("CI_PROJECT_DESCRIPTION", ""),
        commit_time=_seconds(environ.get("CI_COMMIT_TIMESTAMP", "")) if commit == built else None,
        job_url=environ.get("CI_JOB_URL", ""),
    )


def _seconds(timestamp: str) -> int | None:
    """Seconds since 1970 of an ISO 8601 time; None if it isn't one."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except (ValueError, OverflowError):
        return None
