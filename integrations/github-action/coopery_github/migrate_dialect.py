"""How a step of the action says what is only known when the job runs, and its inputs for a migrated build."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from coopery.migrate.draft import Draft, Login
from coopery.migrate.edit import dump
from coopery.migrate.spelling import Speller, Step

#: Variables of every job whose values the context `github` has too (the reference of default environment variables).
_CONTEXT = frozenset(
    (
        *("SHA", "REF", "REF_NAME", "REF_TYPE", "HEAD_REF", "BASE_REF", "REPOSITORY", "REPOSITORY_OWNER", "ACTOR"),
        *("RUN_ID", "RUN_NUMBER", "RUN_ATTEMPT", "WORKSPACE", "SERVER_URL", "API_URL", "WORKFLOW", "JOB", "EVENT_NAME"),
        *("REPOSITORY_ID", "REPOSITORY_OWNER_ID", "TRIGGERING_ACTOR"),
    )
)
_RUNNER = {"RUNNER_TEMP": "temp", "RUNNER_OS": "os", "RUNNER_ARCH": "arch", "RUNNER_NAME": "name"}
_TOKENS = ("secrets.GITHUB_TOKEN", "github.token")


@dataclass(frozen=True)
class Dialect:
    """See `coopery.migrate.spelling.Dialect`. `known` are the variables that `env` is known to have; None: any."""

    known: Collection[str] | None
    roots: Sequence[str] = ("GITHUB_WORKSPACE",)
    commits: Sequence[str] = ("GITHUB_SHA",)
    shell_way: str = "write it to $GITHUB_OUTPUT in a step before, and use ${{ steps.ID.outputs.NAME }}"

    def text(self, literal: str) -> str:
        """Nothing else is an expression than what is in `${{ }}`."""
        return literal

    def variable(self, name: str) -> str | None:
        """By the contexts."""
        if name.startswith("GITHUB_") and name[7:] in _CONTEXT:
            return f"${{{{ github.{name[7:].lower()} }}}}"
        if name in _RUNNER:
            return f"${{{{ runner.{_RUNNER[name]} }}}}"
        if name in ("PWD", "HOME", "PATH", "USER", "RANDOM") or (self.known is not None and name not in self.known):
            return None
        return f"${{{{ env.{name} }}}}"

    def native(self, written: str) -> str | None:
        """Expressions."""
        return written


def inputs_of(step: Step, draft: Draft) -> dict[str, object]:
    """What stands under `with:`."""
    inputs: dict[str, object] = {}
    for key, text in step.texts().items():
        several = key in _LINES and "\n" in text
        inputs[key] = text + "\n" if several else text
    inputs |= _secrets(step.settings.get("secrets", ()))
    inputs |= _logins(step, draft)
    if step.registries:
        inputs["registries"] = "\n".join(dump(step.registries)) + "\n"
    return {key: value for key, value in inputs.items() if value != ""}


_LINES = frozenset(
    (
        *("images", "tags", "flavor", "labels", "annotations", "platforms", "build-args", "build-contexts", "secrets"),
        *("add-hosts", "ulimit", "outputs", "cache-from", "cache-to"),
    )
)


def _secrets(entries: Sequence[str]) -> dict[str, object]:
    """Secrets are three inputs: values, variables and files."""
    found: dict[str, list[str]] = {"secrets": [], "secret-envs": [], "secret-files": []}
    for line in entries:
        name, _, place = line.partition("=")
        kind, colon, rest = place.partition(":")
        if colon and kind in ("env", "file"):
            found[f"secret-{kind}s"].append(f"{name}={rest}")
        else:
            found["secrets"].append(line)
    return {key: "\n".join(lines) + ("\n" if len(lines) > 1 else "") for key, lines in found.items()}


def _logins(step: Step, draft: Draft) -> dict[str, object]:
    speller = Speller(draft, Dialect(known=None))
    entries: list[dict[str, str]] = []
    for login in step.logins:
        if _is_own(login):
            draft.moot(
                login.written, "the job's own token serves for GitHub's registry, with permissions: packages: write"
            )
            continue
        values = [speller.value(login.written, part) for part in (login.host, login.username, login.password)]
        if None in values:
            continue
        host, user, password = (value or "" for value in values)
        if host.endswith(".amazonaws.com") or ".amazonaws.com" in host:
            way = f"add to the step's env: AWS_ACCESS_KEY_ID: {user} and AWS_SECRET_ACCESS_KEY: {password}"
            draft.left(login.written, "an AWS access key is no password", way)
            continue
        entry = {"registry": host, "username": user, "password": password}
        if entry not in entries:
            entries.append(entry)
    if len(entries) == 1:
        return dict(entries[0])
    return {"registry-auth": "\n".join(dump(entries)) + "\n"} if entries else {}


def _is_own(login: Login) -> bool:
    return login.host.literal == "ghcr.io" and any(token in login.password.written for token in _TOKENS)
