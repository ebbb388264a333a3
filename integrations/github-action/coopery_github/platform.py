"""GitHub: what `coopery ci` asks of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import ClassVar

from coopery.ci.platform import CHOSEN_TARGET, CacheChoice, CacheWish, Login, SecretSource
from coopery.ci.report import Report
from coopery.ci.revision import Revision
from coopery.ci.tags import clean_tag
from coopery.errors import UsageError
from coopery_github import identity, publish
from coopery_github.commands import Commands
from coopery_github.event import Job, container_registry, read_job
from coopery_github.inputs import VARIABLE, Inputs, read_inputs

_TOKEN = "GITHUB_TOKEN"  # noqa: S105 - a name
# What is in a step's environment for us alone, and secret.
_OURS = frozenset({VARIABLE, "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "COOPERY_STOP_COMMANDS"})


class GitHub:
    """A job of GitHub Actions, in the action of this folder or in a `run` step."""

    name: ClassVar[str] = "github-action"
    title: ClassVar[str] = "GitHub Actions"

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        """Whether GitHub's runner, or one that takes its place, started this job."""
        return environ.get("GITHUB_ACTIONS") == "true"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._commands = Commands(environ)
        self._noticed: set[str] = set()

    @cached_property
    def _inputs(self) -> Inputs:
        return read_inputs(self._environ)

    @cached_property
    def _job(self) -> Job:
        return read_job(self._environ)

    def inputs(self) -> Mapping[str, object]:
        """The action's inputs by the keys of coopery.yaml. UsageError for those that can't be honoured."""
        settings = self._inputs.settings()
        for text in self._inputs.warnings():
            self._commands.give("warning", text, title="Coopery")
        return settings

    def revision(self) -> Revision:
        """What the event says is built. UsageError if the event and the variables contradict each other."""
        return self._job.revision

    def secret(self, name: str) -> SecretSource | None:
        """The secret of that name among the action's inputs, or the step's variable of that name; masked.

        UsageError where a stranger's code is built with the repository's secrets in reach, and for what is the action's
        own.
        """
        if name in _OURS:
            raise UsageError(f"{name} is the action's own and no secret for builds", hint="name another variable")
        job = self._job
        if job.pulled_in:
            raise UsageError(
                f"the secret {name} isn't given to the build: this is {job.revision.untrusted}",
                hint="build forks' pull requests on `pull_request`, without secrets; or push the reviewed commit here",
            )
        value = self._inputs.secret_values().get(name, "")
        if not value and name == _TOKEN:
            value = self._inputs.get("github-token")
        if not value:
            value = self._environ.get(name, "")
        if not value:
            return None
        self.mask(value)
        return SecretSource(value=value)

    def credentials(self) -> Sequence[Login]:
        """The logins in the action's inputs, then the job's own token for GitHub's registry."""
        trusted = self._job.revision.trusted
        logins = self._inputs.logins(trusted)
        token = self._inputs.get("github-token") or self._environ.get(_TOKEN, "")
        if token:
            host, user = container_registry(self._environ), self._environ.get("GITHUB_ACTOR") or "token"
            logins.append(Login(host=host, username=user, password=token, origin="the job's GITHUB_TOKEN"))
        for login in logins:
            self.mask(login.password)
        if trusted:
            return logins
        return [
            Login(
                host=login.host,
                namespace=login.namespace,
                username=login.username,
                password=login.password,
                origin=login.origin,
                pull_only=True,
            )
            for login in logins
        ]

    def identity_token(self, audience: str) -> str | None:
        """A new token from GitHub's provider, masked; None without the permission, and for strangers' code."""
        if not self._job.revision.trusted or not identity.has_identity(self._environ):
            return None
        token = identity.ask(self._environ, audience)
        self.mask(token)
        return token

    def identity_help(self, audience: str) -> str:
        """The lines of the workflow that give a job identity tokens."""
        if untrusted := self._job.revision.untrusted:
            return f"this job gets no identity token for {audience}: it builds {untrusted}"
        return (
            f"for an identity token for {audience} the job needs, next to its `runs-on`:\n"
            "  permissions:\n    contents: read\n    id-token: write"
        )

    def cache(self, wish: CacheWish) -> CacheChoice:
        """GitHub's cache where the action has handed it on, else a registry.

        UsageError if GitHub's is wanted and isn't there.
        """
        if wish.kind in ("none", "local"):  # `local` is Coopery's own directory, which builds use anyway
            return CacheChoice()
        scope = clean_tag(wish.scope) or "cache"
        if wish.kind in ("auto", "platform"):
            if self._environ.get("ACTIONS_RUNTIME_TOKEN") and self._environ.get("ACTIONS_RESULTS_URL"):
                return _reading_and_writing(f"type=gha,scope={scope}", wish)
            if wish.kind == "platform":
                raise UsageError(
                    "GitHub's cache can't be reached from this step",
                    hint="use Coopery's action rather than a `run` step, or set cache to registry",
                )
        if not wish.repository:
            if wish.kind == "auto":
                return CacheChoice()
            raise UsageError("there is no repository for cached steps", hint="set cache-repository")
        return _reading_and_writing(f"type=registry,ref={wish.repository}:{scope}", wish)

    def mask(self, value: str) -> None:
        """Have the runner replace `value`, and each of its lines, by `***`."""
        self._commands.mask(value)

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """A group that can be folded; the runner obeys nothing that is printed in it."""
        self._commands.give("group", title)
        try:
            yield
        finally:
            self._commands.give("endgroup")

    def notice(self, text: str) -> None:
        """An annotation of the run."""
        self._noticed.add(text)
        self._commands.give("notice", text, title="Coopery")

    def publish(self, report: Report) -> None:
        """Write the action's outputs and the job's summary, and annotate the lines of the Dockerfile."""
        publish.annotate(self._commands, report, self._noticed)
        separators = {
            name: self._inputs.get(f"sep-{name}").replace("\\n", "\n")
            for name in ("tags", "labels", "annotations")
            if self._inputs.get(f"sep-{name}")
        }
        try:
            if path := self._environ.get("GITHUB_OUTPUT"):
                publish.write_outputs(path, publish.outputs(report, separators))
            if path := self._environ.get("GITHUB_STEP_SUMMARY"):
                publish.write_summary(path, report)
        except OSError as error:
            self._commands.give("warning", f"The outputs or the summary can't be written: {error}", title="Coopery")


def _reading_and_writing(cache: str, wish: CacheWish) -> CacheChoice:
    return CacheChoice(sources=(cache,), targets=(f"{cache}{CHOSEN_TARGET}",) if wish.may_write else ())
