"""What went wrong with an object store, in our words: obstore's errors are long, and name URLs that may be signed."""

from __future__ import annotations

import re

from coopery.errors import AuthError, NetworkError, NotFound, RegistryError

_SAID = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_STATUS = re.compile(r"status code: ([0-9]{3}[^:\n]*)")
_QUERY = re.compile(r"(https?://[^\s?]+)\?\S*")
_NO_ANSWER = (
    "error sending request",
    "operation timed out",
    "error decoding response body",
    "request or response body",
)
#: Where clouds tell their machines who they are: asked when nothing else says so.
_IDENTITY = ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "token request", "authorizing request")
_LONGEST = 200


class NoConditions(Exception):
    """The store doesn't know conditional requests, as some that speak like S3 don't."""


def translated(error: Exception, name: str, *, conditional: bool = False) -> Exception:
    """The CooperyError for what obstore raised, or NoConditions for a `conditional` request that can't be served."""
    kind, text = type(error).__name__, str(error).partition("\n\nDebug source")[0]
    status = _STATUS.search(text)
    said = _said(text)
    if conditional and (
        kind in ("NotSupportedError", "NotImplementedError") or (status and status[1].startswith("501"))
    ):
        return NoConditions()
    hint = "docs/object-caches.md says where credentials come from, and what they have to allow"
    if any(place in text for place in _IDENTITY):
        return AuthError(f"no credentials for {name} were found: {said}", hint=hint)
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return AuthError(f"{name} refused: {said}", hint=hint)
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{name} isn't there: {said}", hint="make the bucket or the container first")
    if any(sign in text for sign in _NO_ANSWER):
        return NetworkError(f"{name} gave no answer: {said}")
    return RegistryError(f"{name} is in trouble: {said}")


def _said(text: str) -> str:
    found, status = _SAID.search(text), _STATUS.search(text)
    said = found[1] if found else status[1] if status else text.rpartition(" - ")[2]
    said = _QUERY.sub(r"\1", " ".join(said.split()))
    return "".join(char for char in said if char.isprintable()).strip()[:_LONGEST] or "no reason is given"
