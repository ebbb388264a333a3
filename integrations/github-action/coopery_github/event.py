"""What the job builds: the runner's variables, and the event that GitHub wrote to a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from coopery.ci.revision import Event, Revision
from coopery.errors import UsageError

# GitHub's own limit for what it sends to webhooks is 25 MB.
_LARGEST = 32 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PULL = re.compile(r"refs/pull/([0-9]{1,18})/.*")
_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
_QUEUE = re.compile(r"refs/heads/gh-readonly-queue/(.+)/pr-[0-9]+-[0-9a-f]{40,64}")
_KINDS: Mapping[str, Event] = {"push": "push", "schedule": "schedule", "workflow_dispatch": "manual"}
# These run with the repository's own token and secrets although strangers may start them.
_PRIVILEGED = ("pull_request_target", "workflow_run", "issue_comment")


@dataclass(frozen=True, slots=True)
class Job:
    """A revision, and whether the job has the repository's secrets although it may be building a stranger's code."""

    revision: Revision
    pulled_in: bool


def read_event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The event's payload; empty without one. UsageError if the file can't be read or isn't a JSON object."""
    path = environ.get("GITHUB_EVENT_PATH", "")
    if not path:
        return {}
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise UsageError(f"the event in {path} has more than {_LARGEST} bytes")
        value = json.loads(data.decode("utf-8-sig")) if data.strip() else {}
    except OSError as error:
        raise UsageError(f"the event can't be read: {error}", hint="GITHUB_EVENT_PATH names its file") from None
    except (ValueError, RecursionError):
        raise UsageError(f"the event in {path} isn't JSON", hint="GITHUB_EVENT_PATH names its file") from None
    if not isinstance(value, dict):
        raise UsageError(f"the event in {path} isn't a JSON object", hint="GITHUB_EVENT_PATH names its file")
    return value


def container_registry(environ: Mapping[str, str]) -> str:
    """The host of GitHub's own registry: `ghcr.io`, or that of the enterprise's (docs.github.com, "Working with the
    Container registry").
    """
    host = urlsplit(environ.get("GITHUB_SERVER_URL", "")).netloc or "github.com"
    return "ghcr.io" if host == "github.com" else f"containers.{host}"


def read_job(environ: Mapping[str, str]) -> Job:
    """What this job builds. UsageError if the event can't be read, or says something else than the variables."""
    event = read_event(environ)
    name = environ.get("GITHUB_EVENT_NAME", "")
    ref = environ.get("GITHUB_REF", "")
    commit = environ.get("GITHUB_SHA", "")
    if commit and not _COMMIT.fullmatch(commit):
        raise UsageError(f"GITHUB_SHA is not a commit: {commit!r}")
    repository = environ.get("GITHUB_REPOSITORY", "")
    server = environ.get("GITHUB_SERVER_URL", "").rstrip("/") or "https://github.com"
    url = f"{server}/{repository}" if repository else ""
    run = environ.get("GITHUB_RUN_ID", "")
    licenses = _text(event, "repository", "license", "spdx_id")
    branch = ref.removeprefix(_BRANCHES) if ref.startswith(_BRANCHES) else ""
    common: dict[str, Any] = {
        "default_branch": _text(event, "repository", "default_branch") or (branch if name == "schedule" else ""),
        "repository": repository,
        "repository_url": url,
        "description": _text(event, "repository", "description"),
        "licenses": "" if licenses == "NOASSERTION" else licenses,
        "job_url": f"{url}/actions/runs/{run}" if url and run else "",
        "default_image": f"{container_registry(environ)}/{repository}".lower() if repository else "",
    }
    if isinstance(event.get("pull_request"), dict) or name.startswith("pull_request"):
        return _change(environ, event, common)
    if name == "workflow_run":
        return _after_run(event, repository, common)
    if name == "merge_group":
        into = _text(event, "merge_group", "base_ref").removeprefix(_BRANCHES)
        if not into and (match := _QUEUE.fullmatch(ref)):
            into = match[1]
        commit = _commit(event, "merge_group", "head_sha") or commit
        time = _time(event, commit, "merge_group", "head_commit")
        return Job(Revision(event="queue", commit=commit, branch=into, commit_time=time, **common), False)
    tag = ref.removeprefix(_TAGS) if ref.startswith(_TAGS) else ""
    kind = _KINDS.get(name, "other")
    if tag and name in ("push", "create", "release"):
        kind = "tag"
    untrusted = ""
    if name == "issue_comment" and isinstance(_at(event, "issue", "pull_request"), dict):
        untrusted = "a comment on a pull request, whose code may be what is built"
    elif kind == "push" and _by_dependabot(environ) and branch.startswith("dependabot/"):
        untrusted = "a push of Dependabot's"
    revision = Revision(
        event=kind,
        commit=commit,
        branch=branch,
        tag=tag,
        base_branch=_text(event, "base_ref").removeprefix(_BRANCHES) if tag else "",
        untrusted=untrusted,
        commit_time=_time(event, commit, "head_commit"),
        **common,
    )
    return Job(revision, bool(untrusted) and name in _PRIVILEGED)


def _change(environ: Mapping[str, str], event: Mapping[str, Any], common: dict[str, Any]) -> Job:
    """A pull request, whichever of its events started the job."""
    name = environ.get("GITHUB_EVENT_NAME", "")
    number = _at(event, "pull_request", "number")
    in_ref = _PULL.fullmatch(environ.get("GITHUB_REF", ""))
    change = str(number) if isinstance(number, int) else in_ref[1] if in_ref else ""
    branch = _text(event, "pull_request", "head", "ref") or environ.get("GITHUB_HEAD_REF", "")
    base = _text(event, "pull_request", "base", "ref") or environ.get("GITHUB_BASE_REF", "")
    for variable, said in (("GITHUB_HEAD_REF", branch), ("GITHUB_BASE_REF", base)):
        if environ.get(variable, said) not in ("", said):
            raise UsageError(f"{variable} is {environ[variable]!r}, but the event says {said!r}")
    origin = _at(event, "pull_request", "head", "repo", "id")
    same = isinstance(origin, int) and origin == _at(event, "pull_request", "base", "repo", "id")
    untrusted = ""
    if not same:
        # Also where the event doesn't say, and where the fork is gone already.
        untrusted = "a fork's pull request"
        if name in _PRIVILEGED:
            untrusted += f", in a job of {name} that has this repository's rights"
    elif _by_dependabot(environ) or _text(event, "pull_request", "user", "login") == "dependabot[bot]":
        untrusted = "a pull request of Dependabot's"
    commit = _commit(event, "pull_request", "head", "sha")
    revision = Revision(
        event="change",
        commit=commit or environ.get("GITHUB_SHA", ""),
        branch=branch,
        change=change,
        base_branch=base,
        untrusted=untrusted,
        **common,
    )
    return Job(revision, not same and name in _PRIVILEGED)


def _after_run(event: Mapping[str, Any], repository: str, common: dict[str, Any]) -> Job:
    """`workflow_run`: what the workflow that ended was about. GitHub's variables speak of the default branch."""
    name = _text(event, "workflow_run", "event")
    commit = _commit(event, "workflow_run", "head_sha")
    branch = _text(event, "workflow_run", "head_branch")
    same = bool(repository) and _text(event, "workflow_run", "head_repository", "full_name") == repository
    untrusted = "" if same else "a workflow run that a fork's pull request started"
    time = _time(event, commit, "workflow_run", "head_commit")
    kind: Event = "change" if name.startswith("pull_request") else _KINDS.get(name, "other")
    change = base = ""
    requests = _at(event, "workflow_run", "pull_requests")
    if kind == "change" and isinstance(requests, list) and requests and isinstance(requests[0], dict):
        number = requests[0].get("number")
        change = str(number) if isinstance(number, int) else ""
        base = _text(requests[0], "base", "ref")
    revision = Revision(
        event=kind,
        commit=commit,
        branch=branch,
        change=change,
        base_branch=base,
        untrusted=untrusted,
        commit_time=time,
        **common,
    )
    return Job(revision, not same)


def _by_dependabot(environ: Mapping[str, str]) -> bool:
    """Dependabot's jobs have a token that can only read, and none of the repository's secrets."""
    return environ.get("GITHUB_ACTOR") == "dependabot[bot]"


def _at(value: object, *path: str) -> object:
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _text(event: Mapping[str, Any], *path: str) -> str:
    value = _at(event, *path)
    return value if isinstance(value, str) else ""


def _commit(event: Mapping[str, Any], *path: str) -> str:
    value = _text(event, *path)
    return value if _COMMIT.fullmatch(value) else ""


def _time(event: Mapping[str, Any], commit: str, *path: str) -> int | None:
    """Seconds since 1970 of a commit in the payload, if it is the one that is built."""
    if not commit or _text(event, *path, "id") != commit:
        return None
    try:
        return int(datetime.fromisoformat(_text(event, *path, "timestamp")).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
