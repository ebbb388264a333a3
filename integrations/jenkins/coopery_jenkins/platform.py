"""The adapter for Jenkins."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

from coopery.ci.platform import CHOSEN_TARGET, CacheChoice, CacheWish, Login, SecretSource
from coopery.ci.report import Report
from coopery.ci.revision import Revision
from coopery.errors import UsageError
from coopery_jenkins import checkout, identity, publishing, step
from coopery_jenkins.revision import revision

#: What a tag of a registry may consist of.
_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_TAG = 128


class Jenkins:
    """A Jenkins job, with the step `cooperyBuild` or without it."""

    name: ClassVar[str] = "jenkins"
    title: ClassVar[str] = "Jenkins"

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        """Whether `environ` is a Jenkins job's. JENKINS_URL is only there once the controller's address is set."""
        return bool(environ.get("JENKINS_URL") or environ.get("JENKINS_HOME")) and "BUILD_NUMBER" in environ

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._facts: step.Facts | None = None

    @property
    def _known(self) -> step.Facts:
        if self._facts is None:
            self._facts = step.facts(self._environ)
        return self._facts

    def inputs(self) -> Mapping[str, object]:
        """The arguments of the step, with the names of the variables that credentials were bound to."""
        return step.settings(self._environ, self._known)

    def revision(self) -> Revision:
        """What is built, of the environment, the checkout in the workspace and the causes that the step told."""
        head = ""
        if "CHANGE_ID" in self._environ:
            head = checkout.change_head(checkout.workspace(self._environ), self._environ.get("BRANCH_NAME", ""))
        return revision(self._environ, self._known, head)

    def secret(self, name: str) -> SecretSource | None:
        """A secret that the step bound, or a file that `withCredentials` around it did; Jenkins masks both. Other
        variables are left to whoever asks.
        """
        part = step.login_part(self._known, self._environ, name)
        if part is not None:
            return SecretSource(value=part)
        for bound in self._known.of("secret"):
            for made, source in step.secret_sources(bound, self._environ):
                if made == name:
                    file = source.get("file", "")
                    return SecretSource(file=file) if file else SecretSource(value=self._environ[source["env"]])
        value = self._environ.get(name, "")
        return SecretSource(file=value) if step.secret_file(value) else None

    def credentials(self) -> Sequence[Login]:
        """None: Jenkins gives jobs no login that they didn't ask for. Those that the step bound are inputs."""
        return ()

    def identity_token(self, audience: str) -> str | None:
        """The token that the step bound for `audience`, which Jenkins masks."""
        return identity.token(self._known, self._environ, audience)

    def identity_help(self, audience: str) -> str:
        """How a pipeline gets such a token."""
        return identity.help_for(audience)

    def cache(self, wish: CacheWish) -> CacheChoice:
        """The registry, or a directory that this agent keeps for the job's project. Jenkins has no cache of its own."""
        if wish.kind == "none":
            return CacheChoice()
        if wish.kind == "platform":
            raise UsageError(
                "Jenkins has no cache that jobs could share",
                hint="write cache: registry, or cache: local for agents that stay",
            )
        if wish.kind == "local" or not wish.repository:
            place = os.path.join(self._agent_cache(), _NOT_IN_TAGS.sub("-", wish.scope) or "build")
            targets = (f"type=local,dest={place}{CHOSEN_TARGET}",) if wish.may_write else ()
            return CacheChoice(sources=(f"type=local,src={place}",), targets=targets)
        tag = _NOT_IN_TAGS.sub("-", wish.scope).lstrip(".-")[:_LONGEST_TAG] or "build"
        where = f"type=registry,ref={wish.repository}:{tag}"
        return CacheChoice(sources=(where,), targets=(f"{where}{CHOSEN_TARGET}",) if wish.may_write else ())

    def _agent_cache(self) -> str:
        """A directory of this agent for all branches of the job's project."""
        environ = self._environ
        project = environ.get("JOB_NAME", "")
        if "BRANCH_NAME" in environ:
            project = project.rpartition("/")[0] or project
        home = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
        return os.path.join(home, "coopery-jenkins", hashlib.sha256(project.encode()).hexdigest()[:16])

    def mask(self, value: str) -> None:
        """Nothing: Jenkins masks what it bound, and takes no more while a job runs. What Coopery prints itself has
        its secrets masked before.
        """

    def group(self, title: str) -> AbstractContextManager[None]:
        """A line with the title: the log of a Jenkins job has no parts that fold, and takes no orders."""
        return _group(title)

    def notice(self, text: str) -> None:
        """A line of the log."""
        print(f"Notice: {_one_line(text)}", file=sys.stderr, flush=True)  # noqa: T201 - this is the interface

    def publish(self, report: Report) -> None:
        """Files for the step, which returns what they say and hands them to Jenkins' plugins."""
        failure = publishing.write(report, publishing.directory(self._environ))
        if failure:
            self.notice(failure)


@contextmanager
def _group(title: str) -> Iterator[None]:
    print(f"── {_one_line(title)}", file=sys.stderr, flush=True)  # noqa: T201
    yield


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
