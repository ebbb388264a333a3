"""The Revision of a job, out of the variables that Buildkite gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from coopery.ci.revision import Event, Revision
from coopery.errors import UsageError
from coopery_buildkite import checkout

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^/@]*@)?(?P<host>[^/:]+)(?P<port>:\d+)?/(?P<path>.+)")
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/@:]+):(?P<path>[^/].*)")
#: What BUILDKITE_SOURCE says, and why the job runs then.
_SOURCES: Mapping[str, Event] = {
    "webhook": "push",
    "schedule": "schedule",
    "ui": "manual",
    "api": "manual",
    "trigger_job": "other",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a git URL points."""

    host: str
    path: str  # owner/name
    url: str  # for people


def read(environ: Mapping[str, str]) -> Revision:
    """What the job builds. UsageError if BUILDKITE_PULL_REQUEST is neither a number nor `false`."""
    repository = parse(environ.get("BUILDKITE_REPO", ""))
    commit = _commit(environ)
    event, branch, base = _event(environ)
    change = environ.get("BUILDKITE_PULL_REQUEST", "") if event == "change" else ""
    return Revision(
        event=event,
        commit=commit,
        branch=branch,
        tag=environ.get("BUILDKITE_TAG", "") if event == "tag" else "",
        change=change,
        base_branch=base,
        default_branch=environ.get("BUILDKITE_PIPELINE_DEFAULT_BRANCH", ""),
        untrusted=_untrusted(environ, repository, change),
        repository=repository.path if repository else "",
        repository_url=repository.url if repository else "",
        commit_time=checkout.commit_time(_directory(environ), commit) if commit else None,
        job_url=_job_url(environ),
    )


def parse(url: str) -> Repository | None:
    """What a git URL in any of its spellings points at, credentials left out; None for paths and what isn't one."""
    if match := _URL.fullmatch(url):
        web = match["scheme"] in ("http", "https")
        scheme, port = (match["scheme"], match["port"] or "") if web else ("https", "")
        if match["scheme"] == "file":
            return None
    elif match := _SCP.fullmatch(url):
        scheme, port = "https", ""
    else:
        return None
    path = match["path"].strip("/").removesuffix(".git")
    return Repository(match["host"].lower(), path, f"{scheme}://{match['host'].lower()}{port}/{path}")


def _event(environ: Mapping[str, str]) -> tuple[Event, str, str]:
    """Why the job runs, the branch that is built, and for a change where it goes."""
    branch = environ.get("BUILDKITE_BRANCH", "")
    change = environ.get("BUILDKITE_PULL_REQUEST", "")
    if change not in ("", "false"):  # first of all: nothing that its author chose may make it something better
        if not change.isdecimal():
            raise UsageError(f"BUILDKITE_PULL_REQUEST is {change!r}: neither a number nor `false`")
        return "change", _own_name(branch), environ.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "")
    if environ.get("BUILDKITE_TAG"):
        return "tag", "", ""  # BUILDKITE_BRANCH is then the tag once more
    if base := environ.get("BUILDKITE_MERGE_QUEUE_BASE_BRANCH"):
        return "queue", base, ""
    return _SOURCES.get(environ.get("BUILDKITE_SOURCE", ""), "other"), _own_name(branch), ""


def _own_name(branch: str) -> str:
    """The name in its repository: of forks it comes as OWNER:NAME, which git allows no branch to be called."""
    return branch.rpartition(":")[2]


def _untrusted(environ: Mapping[str, str], repository: Repository | None, change: str) -> str:
    if ":" in environ.get("BUILDKITE_BRANCH", ""):
        return "a fork's pull request" if change else "a fork's branch"
    if not change:
        return ""
    origin = environ.get("BUILDKITE_PULL_REQUEST_REPO", "")
    if not origin:
        return "a pull request whose repository isn't known"
    head = parse(origin)
    if head and repository:
        same = (head.host, head.path.lower()) == (repository.host, repository.path.lower())
    else:
        same = origin == environ.get("BUILDKITE_REPO", "")
    return "" if same else "a fork's pull request"


def _commit(environ: Mapping[str, str]) -> str:
    commit = environ.get("BUILDKITE_COMMIT", "")
    if _HASH.fullmatch(commit):
        return commit
    if not commit:
        return ""
    directory = _directory(environ)
    if environ.get("BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC") == "true":
        # The checkout is a merge that was made for the job; its second parent is the change's own head.
        return checkout.resolve(directory, "HEAD^2") or checkout.resolve(directory, "HEAD")
    return checkout.resolve(directory, "HEAD")


def _directory(environ: Mapping[str, str]) -> str:
    return environ.get("BUILDKITE_BUILD_CHECKOUT_PATH") or "."


def _job_url(environ: Mapping[str, str]) -> str:
    url, job = environ.get("BUILDKITE_BUILD_URL", ""), environ.get("BUILDKITE_JOB_ID", "")
    return f"{url}#{job}" if url and job else url
