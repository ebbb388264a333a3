"""What a registry says when the answer is no, as errors for people. Pure."""

from __future__ import annotations

import json
from typing import NoReturn

from coopery.errors import AuthError, NotFound, RegistryError
from coopery.ports import Credential

_MAX_TEXT = 300
_MAX_ERRORS = 5

CREDENTIAL_HINT = (
    "credentials come from DOCKER_AUTH_CONFIG, from the config.json that `docker login` writes "
    "(in $DOCKER_CONFIG or ~/.docker), or from podman's auth.json"
)


def clean(text: str, limit: int = _MAX_TEXT) -> str:
    """`text` on one line, without control characters or escapes, at most `limit` characters long.

    A registry's words end up in terminals and CI logs, where escape sequences and workflow commands act.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def own_words(body: bytes) -> list[tuple[str, str]]:
    """Pairs of error code and message in an answer's body (OCI distribution specification, "Error Codes").

    Token servers' forms are understood too: RFC 6749 section 5.2, and a lone `details` or `message`. Empty if the body
    is anything else.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    errors = value.get("errors")
    if not isinstance(errors, list):
        message = value.get("error_description") or value.get("details") or value.get("message")
        errors = [{"code": value.get("error") or "", "message": message or ""}]
    words = []
    for error in errors[:_MAX_ERRORS]:
        if isinstance(error, dict):
            code, message = error.get("code"), error.get("message")
            pair = (
                clean(code, 60) if isinstance(code, str) else "",
                clean(message) if isinstance(message, str) else "",
            )
            if any(pair):
                words.append(pair)
    return words


def spoken(body: bytes) -> str:
    """`own_words` as lines for an error's detail; empty if the registry gave none."""
    return "\n".join(": ".join(filter(None, pair)) for pair in own_words(body))


def who(credential: Credential | None) -> str:
    """Whose credential was used, for a message; names no secret."""
    if credential is None:
        return "anonymously, for want of a credential"
    if credential.username:
        return f"as {clean(credential.username, 80)!r}"
    return "with a token"


def refusal(registry: str, repository: str, action: str, credential: Credential | None, body: bytes = b"") -> AuthError:
    """The error for a 401 or 403: which registry, repository and action, and whose credential was used."""
    if credential is None:
        hint = CREDENTIAL_HINT
    else:
        hint = f"check that the credential is still valid and may {action}; {CREDENTIAL_HINT}"
    if action == "pull":
        hint += "; registries also answer like this when the repository doesn't exist"
    message = f"{registry} refused to let us {action} {repository} {who(credential)}"
    return AuthError(message, hint=hint, detail=spoken(body))


def fail(registry: str, what: str, status: int, body: bytes, retry_after: str = "") -> NoReturn:
    """Raise the error for an answer nobody expected: NotFound for 404, RegistryError for all others.

    `what` says what was tried, such as "push of blob sha256:…"; 401 and 403 are `refusal`'s.
    """
    detail = spoken(body)
    if status == 404:
        hint = "check the name and the tag; registries also say so of what a credential may not see"
        raise NotFound(f"{what}: {registry} has no such thing", hint=hint, detail=detail)
    hint = ""
    if status == 429:
        hint = "the registry limits how often it may be asked; a credential often raises the limit"
        if retry_after:
            hint += f" (it said to come back after {clean(retry_after, 40)})"
    elif status == 413:
        hint = "the registry, or a proxy in front of it, limits the size of uploads"
    elif status >= 500:
        hint = "the registry is in trouble; trying again later may help"
    raise RegistryError(f"{what}: {registry} answered with status {status}", hint=hint, detail=detail)
