"""Revision: what a CI job builds, in terms that every platform has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Why the job runs. `change` is a pull or merge request, `queue` a merge queue or train.
Event = Literal["push", "tag", "change", "schedule", "manual", "queue", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One commit, and why it is built. Empty strings stand for what isn't known.

    Nothing in here was vetted: branch names, titles and the like are whatever somebody pushed.
    """

    event: Event
    commit: str = ""  # full hash; of a change its head, not a merge that the platform made for the job
    branch: str = ""  # being built: of a change its head branch, of a queue the branch it goes into; empty for tags
    tag: str = ""
    change: str = ""  # the number of the pull or merge request
    base_branch: str = ""  # where a change goes; for a tag the branch it was cut from, if the platform says so
    default_branch: str = ""
    untrusted: str = ""  # why this job may neither push nor write to shared caches, such as "a fork's pull request"
    repository: str = ""  # `owner/name`, with all groups
    repository_url: str = ""  # for people: https, without `.git` and without credentials
    description: str = ""  # of the repository
    licenses: str = ""  # an SPDX expression
    commit_time: int | None = None  # seconds since 1970; the committer's date
    job_url: str = ""
    default_image: str = ""  # what its image is called unless it is said: the place in the platform's own registry

    @property
    def trusted(self) -> bool:
        """Whether this job may push and write to shared caches."""
        return not self.untrusted

    @property
    def on_default_branch(self) -> bool:
        """Whether the default branch itself is built, rather than a change to it."""
        return bool(self.branch) and self.branch == self.default_branch and self.event not in ("change", "queue")
