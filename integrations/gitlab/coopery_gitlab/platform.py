"""The adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from coopery.ci.platform import CacheChoice, CacheWish, Login, SecretSource
from coopery.ci.report import Report
from coopery.ci.revision import Revision
from coopery_gitlab import log
from coopery_gitlab.caches import choose_cache
from coopery_gitlab.identity import advice, find_token
from coopery_gitlab.inputs import read_inputs
from coopery_gitlab.logins import read_logins, read_secret
from coopery_gitlab.publish import publish
from coopery_gitlab.revision import read_revision


class GitLab:
    """A job of GitLab CI."""

    name: ClassVar[str] = "gitlab"
    title: ClassVar[str] = "GitLab CI"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        """Whether these are the variables of a job."""
        return environ.get("GITLAB_CI") == "true"

    def inputs(self) -> Mapping[str, object]:
        """The template's inputs."""
        return read_inputs(self._environ)

    def revision(self) -> Revision:
        """What is built. UsageError if a variable of somebody's own hides one of GitLab's."""
        return read_revision(self._environ)

    def secret(self, name: str) -> SecretSource | None:
        """The CI/CD variable of that name. Which ones the log masks is said in GitLab's settings."""
        return read_secret(self._environ, name)

    def credentials(self) -> Sequence[Login]:
        """Those of the container registry and of the dependency proxy."""
        return read_logins(self._environ)

    def identity_token(self, audience: str) -> str | None:
        """The one of `id_tokens:` that is for `audience`. AuthError if it has run out."""
        return find_token(self._environ, audience)

    def identity_help(self, audience: str) -> str:
        """The lines of YAML to add."""
        return advice(audience)

    def cache(self, wish: CacheWish) -> CacheChoice:
        """GitLab's own where the job keeps a directory, else the project's registry. UsageError without what was asked
        for.
        """
        return choose_cache(self._environ, wish)

    def mask(self, value: str) -> None:
        """GitLab masks nothing that it isn't told of in its settings; what Coopery prints is masked by Coopery."""

    def group(self, title: str) -> AbstractContextManager[None]:
        """A section that folds."""
        return log.section(title)

    def notice(self, text: str) -> None:
        """A yellow line."""
        log.notice(text)

    def publish(self, report: Report) -> None:
        """Files for the job's `artifacts:`."""
        publish(report, self._environ)
