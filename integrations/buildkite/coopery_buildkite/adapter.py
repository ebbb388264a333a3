"""Buildkite as Coopery sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from coopery.ci.platform import CacheChoice, CacheWish, Login, SecretSource
from coopery.ci.report import Report
from coopery.ci.revision import Revision
from coopery.errors import AuthError, UsageError
from coopery.redact import MIN_SECRET
from coopery_buildkite import caching, revision
from coopery_buildkite.agent import Agent, Refused
from coopery_buildkite.log import Log, line

#: Set by the plugin's own hook. BUILDKITE_PLUGIN_CONFIGURATION is that of whichever plugin's hook is running, and the
#: flattened BUILDKITE_PLUGIN_BUILDKITE_… of a plugin that is called `buildkite` can't be told from Buildkite's own.
PLUGIN = "COOPERY_BUILDKITE_PLUGIN"
#: What the plugin's configuration has besides settings: it is for the hook.
HOOK_KEYS = frozenset({"mode"})

_SECRET = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TOKEN_LIFETIME = 300  # seconds; a token is exchanged at once
_SHORTEST_LINE = 8


class Buildkite:
    """The adapter."""

    name: ClassVar[str] = "buildkite"
    title: ClassVar[str] = "Buildkite"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._agent = Agent(environ)
        self._log = Log()
        self._refused = self._unmasked = False  # whether it was said

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        """BUILDKITE is `true` in every job."""
        return environ.get("BUILDKITE") == "true"

    def inputs(self) -> Mapping[str, object]:
        """The plugin's configuration; nothing where the command is run without the plugin."""
        text = self._environ.get("BUILDKITE_PLUGIN_CONFIGURATION", "")
        if not self._environ.get(PLUGIN) or not text:
            return {}
        try:
            configuration = json.loads(text)
        except ValueError as error:
            raise UsageError(f"BUILDKITE_PLUGIN_CONFIGURATION isn't JSON: {error}") from None
        if not isinstance(configuration, dict):
            raise UsageError("the plugin's configuration is no mapping", hint="give it KEY: VALUE lines")
        return {key: value for key, value in configuration.items() if key not in HOOK_KEYS}

    def revision(self) -> Revision:
        """What the job's variables say, and its checkout where they don't."""
        return revision.read(self._environ)

    def secret(self, name: str) -> SecretSource | None:
        """A secret of the cluster; None also if the job may have none, which is said once."""
        if not _SECRET.fullmatch(name) or self._agent.program is None:
            return None
        try:
            value = self._agent.run("secret", "get", name).removesuffix("\n")
        except Refused as refusal:
            if not (self._environ.get(name) or self._refused or "404 Not Found" in str(refusal)):
                self._refused = True
                self.notice(f"Buildkite doesn't give this job secrets: {refusal}")
            return None
        self.mask(value)
        return SecretSource(value=value)

    def credentials(self) -> Sequence[Login]:
        """None: Buildkite has no registry that all jobs may use."""
        return ()

    def identity_token(self, audience: str) -> str | None:
        """A token that the agent asked for and masked."""
        if self._agent.program is None:
            return None
        command = ("oidc", "request-token", f"--audience={audience}", f"--lifetime={_TOKEN_LIFETIME}")
        try:
            token = self._agent.run(*command).strip()
        except Refused as refusal:
            hint = self.identity_help(audience)
            raise AuthError(f"Buildkite gives no OIDC token for {audience}: {refusal}", hint=hint) from None
        self.mask(token)
        return token

    def identity_help(self, audience: str) -> str:
        """Where the token comes from, and who has to trust it."""
        return (
            "run the step where buildkite-agent is on the PATH (a container gets it by mount-buildkite-agent: true), "
            f"and let the registry's cloud trust the issuer https://agent.buildkite.com for the audience {audience}"
        )

    def cache(self, wish: CacheWish) -> CacheChoice:
        """A cache volume where the job has one, else the registry."""
        return caching.choose(wish, self._environ)

    def mask(self, value: str) -> None:
        """Have the agent put [REDACTED] in its place. What can't be masked is said once; our own output is anyway."""
        lines = [part.strip() for part in value.splitlines()]
        values = [value.strip(), *(part for part in lines if len(part) >= _SHORTEST_LINE and len(lines) > 1)]
        wanted = {str(number): each for number, each in enumerate(values) if len(each.encode()) >= MIN_SECRET}
        if not wanted:
            return
        try:
            self._agent.run("redactor", "add", "--format=json", stdin=json.dumps(wanted))
        except Refused as refusal:
            if not self._unmasked:
                self._unmasked = True
                self.notice(f"what other commands print of this job's secrets can't be masked: {refusal}")

    def group(self, title: str) -> AbstractContextManager[None]:
        """A `---` group."""
        return self._log.group(title)

    def notice(self, text: str) -> None:
        """A line of the log. The report's annotation has it too."""
        self._log.say(f"NOTICE: {line(text)}")

    def publish(self, report: Report) -> None:
        """An annotation, meta-data for later jobs, and the report as an artifact."""
        from coopery_buildkite.publishing import publish

        publish(report, self._agent, self._environ, self.notice)
