"""Auth files: docker's config.json, DOCKER_AUTH_CONFIG, podman's auth.json. Pure; messages never show a content."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coopery.credentials.keys import matching
from coopery.errors import AuthError
from coopery.ports import Credential


@dataclass(frozen=True, slots=True)
class AuthFile:
    """What one auth file says. Entries are only decoded when they are asked for: others may be broken."""

    origin: str  # a path, or the name of an environment variable
    entries: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    def helper(self, registry: str, repository: str) -> str:
        """The name of the credential helper in charge of the repository; empty if there is none."""
        found = matching(self.helpers, registry, repository)
        return self.helpers[found[0]] if found else self.store

    def credential(self, registry: str, repository: str) -> Credential | None:
        """The credential that the file itself holds for the repository, or None; AuthError if it is malformed."""
        for key in matching(self.entries, registry, repository):
            found = _credential(self.entries[key], key, self.origin)
            if found:
                return found
        return None


def parse_auth_file(data: bytes, origin: str) -> AuthFile:
    """The auth file in `data`; AuthError, with `origin` and the line, if it isn't one."""
    try:
        value = json.loads(data) if data.strip() else {}
    except json.JSONDecodeError as error:
        raise _malformed(origin, f"line {error.lineno} is not JSON") from None
    except (ValueError, RecursionError):
        raise _malformed(origin, "it is not JSON") from None
    if not isinstance(value, dict):
        raise _malformed(origin, "it is not a JSON object")
    entries, helpers, store = value.get("auths") or {}, value.get("credHelpers") or {}, value.get("credsStore") or ""
    if not isinstance(entries, dict):
        raise _malformed(origin, "`auths` is not an object")
    if not isinstance(helpers, dict) or not all(isinstance(name, str) for name in helpers.values()):
        raise _malformed(origin, "`credHelpers` is not an object with strings")
    if not isinstance(store, str):
        raise _malformed(origin, "`credsStore` is not a string")
    return AuthFile(origin, entries, {key: name for key, name in helpers.items() if name}, store)


def _credential(entry: Any, key: str, origin: str) -> Credential | None:
    fields = ("auth", "username", "password", "identitytoken", "registrytoken")
    values: list[Any] = [entry.get(name) or "" for name in fields] if isinstance(entry, dict) else [None]
    if not all(isinstance(value, str) for value in values):
        raise _malformed(origin, f"the entry for {key} is not an object with strings")
    auth, username, password, identity_token, registry_token = values
    if auth:
        try:
            decoded = base64.b64decode(auth, validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            raise _malformed(origin, f"`auth` of the entry for {key} is not base64") from None
        username, colon, password = decoded.partition(":")
        if not colon:
            raise _malformed(origin, f"`auth` of the entry for {key} is not a user name and password in base64")
        password = password.rstrip("\0")
    # An entry without any of these is how `docker login` marks what a credential store keeps.
    if not (identity_token or registry_token or (username and password)):
        return None
    return Credential(username, password, identity_token, registry_token)


def _malformed(origin: str, what: str) -> AuthError:
    return AuthError(f"{origin} is malformed: {what}", hint="the file's form is that of docker's config.json")
