"""What a registry says when the answer is no, as errors for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, NoReturn, Protocol

from coopery.errors import AuthError, NotFound, RegistryError
from coopery.ports import Credential
from coopery.registry.rate_limits import RateLimit

_MAX_TEXT = 300
_MAX_ERRORS = 5
_MAX_ADVICE = 700

CREDENTIAL_HINT = (
    "credentials come from DOCKER_AUTH_CONFIG, from the config.json that `coopery login` and `docker login` write "
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


#: Where a login fails, in order: there is no identity, the token server doesn't take it, or it may not do the thing.
Hop = Literal["identity", "token", "scope"]


def refusal(
    registry: str,
    repository: str,
    action: str,
    credential: Credential | None,
    body: bytes = b"",
    *,
    hop: Hop = "scope",
    server: str = "",
    advice: str = "",
) -> AuthError:
    """The error for a 401 or 403: which registry, repository and action, whose credential was used, what is missing.

    `server` is the token server's host if it was that which refused; without a `repository` it is about the registry
    as such. `advice` is what the credential's provider knows.
    """
    # "scope" is what a 403 says, and a 401 for a token that was issued; "identity" a 401 for a user name and password.
    if credential is None:
        hop, why = "identity", f"nothing says who we are to {registry}"
    elif hop == "scope":
        why = f"the credential was accepted and may not {action}"
    elif server:
        why = f"the token server {server} doesn't take that user name, password or token, or no more"
    else:
        hop, why = "identity", "that user name and password are not taken, or no more"
    if advice:
        hint = f"this fails at the {hop}: {why}; {clean(advice, _MAX_ADVICE)}"
    elif credential is None or hop != "scope":
        hint = f"this fails at the {hop}: {why}; {CREDENTIAL_HINT}"
    else:
        hint = f"this fails at the {hop}: {why}; ask for that right, or use another credential: {CREDENTIAL_HINT}"
    if action == "pull":
        hint += "; registries also answer like this when the repository doesn't exist"
    place = f"{action} {repository}" if repository else action
    message = f"{registry} refused to let us {place} {who(credential)}"
    return AuthError(message, hint=hint, detail=spoken(body))


class Answered(Protocol):
    """An answer, as far as it explains why it isn't the wanted one; `transport.Answer` is one."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


def fail(registry: str, what: str, answer: Answered) -> NoReturn:
    """Raise `failure`."""
    raise failure(registry, what, answer)


def failure(registry: str, what: str, answer: Answered) -> RegistryError:
    """The error for an answer nobody expected: NotFound for 404, RegistryError for all others.

    `what` says what was tried, such as "push of blob sha256:…"; 401 and 403 are `refusal`'s.
    """
    status, detail = answer.status, spoken(answer.body)
    if status == 404:
        hint = "check the name and the tag; registries also say so of what a credential may not see"
        return NotFound(f"{what}: {registry} has no such thing", hint=hint, detail=detail)
    hint = ""
    if status == 429:
        hint = "the registry limits how often it may be asked; a credential often raises the limit"
        retry_after = answer.headers.get("retry-after")
        known = [str(limit)] if (limit := RateLimit.of(answer.headers)) else []
        known += [f"it said to come back after {clean(retry_after, 40)}"] if retry_after else []
        hint += f" ({'; '.join(known)})" if known else ""
    elif status == 405:
        hint = "the registry, or how it is configured, doesn't allow this at all"
    elif status == 413:
        hint = "the registry, or a proxy in front of it, limits the size of uploads"
    elif status >= 500:
        hint = "the registry is in trouble; trying again later may help"
    return RegistryError(f"{what}: {registry} answered with status {status}", hint=hint, detail=detail)
