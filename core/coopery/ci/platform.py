"""What an adapter implements: everything that `coopery ci` asks of the platform a job runs on.

An adapter is a class in a package of its own, found by an entry point of group `coopery.platforms` whose name is the
one that `coopery generate` takes. It is made with the job's environment and touches nothing before it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from coopery.ci.report import Report
from coopery.ci.revision import Revision

#: The group of entry points that adapters register under.
ENTRY_POINTS = "coopery.platforms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A credential that the platform gives its jobs, for a registry or a namespace in it."""

    host: str  # as in image names, with its port if it has one there
    namespace: str = ""  # of the repositories it is for; empty for all
    username: str
    password: str
    origin: str  # what to call it in messages: "CI_REGISTRY_PASSWORD", "the job's token"
    pull_only: bool = False

    def __repr__(self) -> str:
        return f"Login(host={self.host!r}, username={self.username!r}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where the value of a secret is: a file, or the value itself."""

    file: str = ""
    value: str = ""

    def __repr__(self) -> str:
        return f"SecretSource(file={self.file!r}, …)"


#: The cache that is asked for. `platform` is the CI system's own, `auto` that if there is one and else the registry.
CacheKind = Literal["auto", "platform", "registry", "local", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheWish:
    """What the settings say of the cache, for an adapter to turn into buildx's spelling."""

    kind: CacheKind
    repository: str  # for cached steps in a registry: that of the settings, else one beside the first image
    scope: str  # tells builds apart that share a cache: the target's name and platform
    may_write: bool  # False for untrusted jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheChoice:
    """Values for --cache-from and --cache-to, and what users should know about the choice (empty: nothing)."""

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    notice: str = ""


#: Ends the value of a target that an adapter chose: a cache that nobody spelled out must not fail a finished build.
CHOSEN_TARGET = ",mode=max,ignore-error=true"


class Platform(Protocol):
    """The CI system that this process runs under."""

    name: ClassVar[str]  # that of the entry point
    title: ClassVar[str]  # for people, as its makers write it

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        """Whether `environ` is that of a job on this platform. Reads nothing else."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Made when `detect` said yes."""

    def inputs(self) -> Mapping[str, object]:
        """What the job's own definition says (`with:`, plugin configuration, template inputs, step arguments), by
        the keys of coopery.yaml. Strings where the platform has only those; empty ones count as not given.
        UsageError if it can't be read.
        """

    def revision(self) -> Revision:
        """What is built. UsageError if the environment contradicts itself."""

    def secret(self, name: str) -> SecretSource | None:
        """The platform's secret of that name, wherever it keeps them; None if there is none. The value is masked in
        the job's log before this returns.
        """

    def credentials(self) -> Sequence[Login]:
        """The logins that the platform gives every job, most specific first."""

    def identity_token(self, audience: str) -> str | None:
        """A fresh OpenID Connect token of this job for `audience`, masked in the log; None if the job has none, in
        which case `identity_help` says how it would get one. AuthError if the platform refuses.
        """

    def identity_help(self, audience: str) -> str:
        """What to add to the pipeline, in its own syntax, for `identity_token` to work."""

    def cache(self, wish: CacheWish) -> CacheChoice:
        """The caches to read and write for what the settings wish. UsageError if there is none of that kind."""

    def mask(self, value: str) -> None:
        """Keep `value` out of the job's log from now on, if the platform can do that at run time."""

    def group(self, title: str) -> AbstractContextManager[None]:
        """A part of the log that can be folded, around what is printed inside the block. Output of builds inside it
        can't give the platform orders.
        """

    def notice(self, text: str) -> None:
        """Show a line that people should see: a reason for not pushing, say."""

    def publish(self, report: Report) -> None:
        """Show the report in the platform's own ways (summary, annotations, files), and hand outputs to later jobs.

        Called once, also for a failed build: `report.error` is set then. What the platform refuses to take (too
        large, say) is shortened and said, never a failure of the build.
        """
