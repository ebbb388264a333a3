"""Credential helpers: `docker-credential-NAME get|store|erase` (docker/docker-credential-helpers, README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from coopery.errors import AuthError
from coopery.ports import Credential

if TYPE_CHECKING:
    import subprocess

TIMEOUT = 30.0  # seconds

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NOT_FOUND = "credentials not found"
#: As a user name it says that the secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105
#: What a helper says is a line of JSON. What it is told fits into a pipe, so that writing can't block.
_MAX_OUTPUT = 1 << 20
_MAX_INPUT = 60 << 10


def ask_helper(name: str, url: str, environ: Mapping[str, str], timeout: float = TIMEOUT) -> Credential | None:
    """The credential that the helper `name` has for the server `url`, or None if it has none.

    AuthError if the helper isn't on PATH, fails, talks nonsense or takes longer than `timeout` seconds, after which it
    and its children are killed.
    """
    status, output = _run(name, "get", url, url.encode() + b"\n", environ, timeout)
    program = _program(name)
    if not status:
        return _parse(output, program)
    # The protocol puts the reason on standard output. Only the well-known one is trusted to hold no secret.
    if _NOT_FOUND in output.decode("utf-8", "replace").lower():
        return None
    raise _failed(program, url, status)


def store_in_helper(
    name: str, url: str, credential: Credential, environ: Mapping[str, str], timeout: float = TIMEOUT
) -> None:
    """Have the helper `name` keep the user name and password for the server `url`; AuthError as `ask_helper`."""
    entry = {"ServerURL": url, "Username": credential.username, "Secret": credential.password}
    status, _ = _run(name, "store", url, json.dumps(entry).encode() + b"\n", environ, timeout)
    if status:
        raise _failed(_program(name), url, status)


def erase_from_helper(name: str, url: str, environ: Mapping[str, str], timeout: float = TIMEOUT) -> None:
    """Have the helper `name` forget the server `url`, which it need not know; AuthError as `ask_helper`."""
    status, output = _run(name, "erase", url, url.encode() + b"\n", environ, timeout)
    if status and _NOT_FOUND not in output.decode("utf-8", "replace").lower():
        raise _failed(_program(name), url, status)


def _program(name: str) -> str:
    return f"docker-credential-{name}"


def _failed(program: str, url: str, status: int) -> AuthError:
    return AuthError(
        f"the credential helper {program} failed for {url} with status {status}",
        hint=f"`{program} list` shows whether it works at all",
    )


def _run(
    name: str, action: str, url: str, data: bytes, environ: Mapping[str, str], timeout: float
) -> tuple[int, bytes]:
    """The helper's exit status and what it wrote to standard output."""
    import os
    import shutil
    import signal
    import subprocess

    if not _NAME.fullmatch(name):
        raise AuthError(f"{name[:60]!r} is not the name of a credential helper")
    program = _program(name)
    path = shutil.which(program, path=environ.get("PATH", os.defpath))
    if not path:
        hint = f"install it, or take `{name}` out of credsStore and credHelpers in docker's config.json"
        raise AuthError(f"the credential helper {program} is not on PATH", hint=hint)
    if len(data) > _MAX_INPUT:
        raise AuthError(f"what {program} is to keep for {url} is too large")
    try:
        process = subprocess.Popen(
            [path, action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # may hold secrets when a helper is being debugged
            env=dict(environ),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise AuthError(f"the credential helper {program} can't be run: {error.strerror}") from error
    try:
        output = _converse(process, data, timeout)
        if output is None:
            message = f"the credential helper {program} gave no answer for {url} in {timeout:g} seconds"
            raise AuthError(message) from None
        if len(output) > _MAX_OUTPUT:
            raise AuthError(f"the credential helper {program} answered with something that is not a credential")
        return process.returncode, output
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _converse(process: subprocess.Popen[bytes], data: bytes, timeout: float) -> bytes | None:
    """Tell the process `data` and read until it ends, or says too much; None if that takes too long."""
    import contextlib
    import os
    import select
    import subprocess
    import time

    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # a helper need not read what it is told
        process.stdin.write(data)
    process.stdin.close()
    deadline = time.monotonic() + timeout
    output = b""
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while len(output) <= _MAX_OUTPUT:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        piece = os.read(process.stdout.fileno(), 64 << 10)
        if not piece:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return None
            break
        output += piece
    return output


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
