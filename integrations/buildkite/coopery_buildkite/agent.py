"""The `buildkite-agent` command: how a job asks Buildkite for anything. Values go in by standard input."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping

#: How long, in seconds, the agent may try. It asks again when Buildkite is busy.
PATIENCE = 120.0
# They would change what a command does, or put what it sends into its messages.
_DROPPED = frozenset(
    {
        "BUILDKITE_AGENT_DEBUG",
        "BUILDKITE_AGENT_DEBUG_HTTP",
        "BUILDKITE_AGENT_LOG_LEVEL",
        "BUILDKITE_AGENT_OIDC_REQUEST_TOKEN_SKIP_TOKEN_REDACTION",
        "BUILDKITE_AGENT_REDACT_ADD_FORMAT",
        "BUILDKITE_AGENT_REDACT_VARS_FILTER",
        "BUILDKITE_AGENT_SECRET_GET_FORMAT",
        "BUILDKITE_AGENT_SECRET_GET_SKIP_SECRET_REDACTION",
        "BUILDKITE_ANNOTATION_APPEND",
        "BUILDKITE_ANNOTATION_CONTEXT",
        "BUILDKITE_ANNOTATION_PRIORITY",
        "BUILDKITE_ANNOTATION_SCOPE",
        "BUILDKITE_ANNOTATION_STYLE",
        "BUILDKITE_ARTIFACT_PATHS",
    }
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\b(?:GET|POST|PUT) https?://\S+: ")


class Refused(Exception):
    """The agent ended with an error; the text is its reason, in one line."""


class Agent:
    """Runs `buildkite-agent` with a job's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name: value for name, value in environ.items() if name not in _DROPPED}

    @property
    def program(self) -> str | None:
        """Its path, or None where a job has none, as in a container without it."""
        places = (self._environ.get("PATH"), self._environ.get("BUILDKITE_BIN_PATH"))
        found = (shutil.which("buildkite-agent", path=place) for place in places if place)
        return next((program for program in found if program), None)

    def run(self, *arguments: str, stdin: str = "", cwd: str | None = None) -> str:
        """What the command printed. Refused if there is no agent, or it says no or nothing for `PATIENCE` seconds.

        `arguments` show in the list of processes: secrets and long texts belong in `stdin`.
        """
        program = self.program
        if program is None:
            raise Refused("there is no buildkite-agent on the PATH")
        try:
            done = subprocess.run(
                [program, *arguments],
                input=stdin.encode("utf-8", "surrogateescape"),
                capture_output=True,
                env=self._environ,
                cwd=cwd,
                timeout=PATIENCE,
            )
        except OSError as error:
            raise Refused(f"buildkite-agent doesn't start: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise Refused("buildkite-agent gives no answer") from None
        if done.returncode:
            raise Refused(_reason(done.stderr) or f"buildkite-agent ended with status {done.returncode}")
        return done.stdout.decode("utf-8", "surrogateescape")


def _reason(stderr: bytes) -> str:
    """What follows `fatal:`, or else the last line; the address that was asked says nothing to people."""
    text = _COLOUR.sub("", stderr.decode("utf-8", "replace")).strip()
    _, fatal, reason = text.partition("buildkite-agent: fatal: ")
    lines = reason.split() if fatal else (text.splitlines() or [""])[-1].split()
    return _ADDRESS.sub("", " ".join(lines))[:500]
