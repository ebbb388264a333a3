"""From a Jenkins job's environment to a Revision.

Multibranch jobs say what they build in BRANCH_NAME, CHANGE_* and TAG_NAME (branch-api-plugin); other pipelines in
GIT_* after a checkout, or in the variables of the plugin that triggered them. Why they run, only the controller knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from coopery.ci.checkout import web_url
from coopery.ci.revision import Event, Revision
from coopery_jenkins.step import Facts

#: A branch of GitHub's merge queue, which a multibranch job builds like any other.
_QUEUE = re.compile(r"gh-readonly-queue/(?P<base>.+)/pr-(?P<number>\d+)-[0-9a-f]{40}")
_TAG = re.compile(r"(?:.*/)?tags/(?P<name>.+)")
#: A page of a change, from which its repository's own follows.
_CHANGE_PAGE = re.compile(r"(?:/-)?/(?:pull|pulls|pull-requests|merge_requests)/\d+(?:/.*)?$")
#: What classes of causes stand for, the most telling first; others are pushes.
_CAUSES: tuple[tuple[Event, tuple[str, ...]], ...] = (
    ("schedule", ("TimerTriggerCause",)),
    ("manual", ("UserIdCause", "UserCause", "ReplayCause", "RebuildCause")),
    ("other", ("UpstreamCause", "BuildUpstreamCause", "RemoteCause")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A pull or merge request, whoever told us of it."""

    number: str
    branch: str
    base: str
    untrusted: str = ""
    commit: str = ""


def revision(environ: Mapping[str, str], known: Facts, head: str = "") -> Revision:
    """What the job builds. `head` is the head of a change, if the workspace's clone says it: GIT_COMMIT may be that of
    a merge.
    """
    change = find_change(environ)
    tag = "" if change else _tag(environ)
    branch = change.branch if change else "" if tag else _branch(environ)
    event: Event = "change" if change else "tag" if tag else _cause(known.causes)
    if queued := _QUEUE.fullmatch(branch) if not change else None:
        event, branch = "queue", queued["base"]
    primary = branch if environ.get("BRANCH_IS_PRIMARY") == "true" and not change else ""
    page = _page(environ)
    return Revision(
        event=event,
        commit=known.commit or (change.commit if change else "") or head or environ.get("GIT_COMMIT", ""),
        branch=branch,
        tag=tag,
        change=change.number if change else "",
        base_branch=change.base if change else "",
        default_branch=known.default_branch or primary,
        untrusted=change.untrusted if change else "",
        repository=_path(page),
        repository_url=page,
        job_url=environ.get("BUILD_URL", ""),
    )


def find_change(environ: Mapping[str, str]) -> _Change | None:
    """The pull or merge request that is built, if one is.

    Whoever can't be shown to have pushed it to the repository itself isn't trusted: a branch source that knows where
    a change comes from sets CHANGE_BRANCH, and CHANGE_FORK if that is elsewhere.
    """
    if number := environ.get("CHANGE_ID", ""):
        fork, branch = environ.get("CHANGE_FORK", ""), environ.get("CHANGE_BRANCH", "")
        untrusted = f"a change from the fork {fork}" if fork else ""
        if not fork and not branch:
            untrusted = "a change of which Jenkins doesn't say where it comes from"
        return _Change(
            number=number,
            branch=branch or environ.get("BRANCH_NAME", ""),
            base=environ.get("CHANGE_TARGET", ""),
            untrusted=untrusted,
        )
    if number := environ.get("ghprbPullId", ""):  # the GitHub Pull Request Builder plugin
        source, target = _path(environ.get("ghprbAuthorRepoGitUrl", "")), environ.get("ghprbGhRepository", "")
        return _Change(
            number=number,
            branch=environ.get("ghprbSourceBranch", ""),
            base=environ.get("ghprbTargetBranch", ""),
            untrusted=_elsewhere(source, target),
            commit=environ.get("ghprbActualCommit", ""),
        )
    if (number := environ.get("gitlabMergeRequestIid", "")) and environ.get("gitlabActionType") in ("MERGE", "NOTE"):
        source = _path(environ.get("gitlabSourceRepoHttpUrl", ""))  # the GitLab plugin
        return _Change(
            number=number,
            branch=environ.get("gitlabSourceBranch", ""),
            base=environ.get("gitlabTargetBranch", ""),
            untrusted=_elsewhere(source, _path(environ.get("gitlabTargetRepoHttpUrl", ""))),
            commit=environ.get("gitlabMergeRequestLastCommit", ""),
        )
    return None


def _elsewhere(source: str, target: str) -> str:
    """Why a change from the repository `source` to `target` isn't trusted; empty if they are the same."""
    if source and source.lower() == target.lower():
        return ""
    return f"a change from the fork {source}" if source else "a change whose trigger doesn't say where it comes from"


def _tag(environ: Mapping[str, str]) -> str:
    if name := environ.get("TAG_NAME", ""):
        return name
    found = None if environ.get("BRANCH_NAME") else _TAG.fullmatch(environ.get("GIT_BRANCH", ""))
    return found["name"] if found else ""


def _branch(environ: Mapping[str, str]) -> str:
    name = environ.get("BRANCH_NAME") or environ.get("GIT_LOCAL_BRANCH", "")
    if name:
        return name
    name = environ.get("GIT_BRANCH", "").removeprefix("refs/heads/").removeprefix("refs/remotes/")
    return "" if name == "detached" else name.removeprefix("origin/")


def _cause(causes: tuple[str, ...]) -> Event:
    kinds = {cause.replace("$", ".").rpartition(".")[2] for cause in causes}
    return next((event for event, names in _CAUSES if kinds.intersection(names)), "push")


def _page(environ: Mapping[str, str]) -> str:
    """The page of the repository that the job belongs to; empty if that isn't known."""
    address = environ.get("GIT_URL") or environ.get("GIT_URL_1", "")
    return web_url(address or _CHANGE_PAGE.sub("", environ.get("CHANGE_URL", "")))


def _path(address: str) -> str:
    """`owner/name` of a repository's address."""
    return urlsplit(web_url(address)).path.strip("/")
