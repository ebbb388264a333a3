"""Credential helpers: `docker-credential-NAME get` (docker/docker-credential-helpers, README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from coopery.errors import AuthError
from coopery.ports import Credential

TIMEOUT = 30.0  # seconds

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NOT_FOUND = "credentials not found"
#: As a user name it says that the secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105


def ask_helper(name: str, url: str, environ: Mapping[str, str], timeout: float = TIMEOUT) -> Credential | None:
    """The credential that the helper `name` has for the server `url`, or None if it has none.

    AuthError if the helper isn't on PATH, fails, talks nonsense or takes longer than `timeout` seconds, after which it
    and its children are killed.
    """
    import os
    import shutil
    import signal
    import subprocess

    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        raise AuthError(f"{name[:60]!r} is not the name of a credential helper")
    path = shutil.which(program, path=environ.get("PATH", os.defpath))
    if not path:
        hint = f"install it, or take `{name}` out of credsStore and credHelpers in docker's config.json"
        raise AuthError(f"the credential helper {program} is not on PATH", hint=hint)
    try:
        process = subprocess.Popen(
            [path, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # may hold secrets when a helper is being debugged
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise AuthError(f"the credential helper {program} can't be run: {error.strerror}") from error
    try:
        output, _ = process.communicate(url.encode() + b"\n", timeout)
    except subprocess.TimeoutExpired:
        raise AuthError(f"the credential helper {program} gave no answer for {url} in {timeout:g} seconds") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
    if process.returncode:
        # The protocol puts the reason on standard output. Only the well-known one is trusted to hold no secret.
        if _NOT_FOUND in output.decode("utf-8", "replace").lower():
            return None
        raise AuthError(
            f"the credential helper {program} failed for {url} with status {process.returncode}",
            hint=f"`{program} list` shows whether it works at all",
        )
    return _parse(output, program)


def _parse(output: bytes, program: str) -> Credential | None:
    try:
        value = json.loads(output)
        username, secret = value.get("Username") or "", value.get("Secret") or ""
    except (ValueError, RecursionError, AttributeError):
        username, secret = None, None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise AuthError(f"the credential helper {program} answered with something that is not a credential")
    if username == _TOKEN_USER:
        return Credential(identity_token=secret) if secret else None
    return Credential(username, secret) if username and secret else None
