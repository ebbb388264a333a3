"""OpenID Connect tokens of the oidc-provider plugin: a credential yields one for the audience that it was made with."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path

from coopery.errors import AuthError
from coopery_jenkins.step import Facts


def token(known: Facts, environ: Mapping[str, str], audience: str) -> str | None:
    """The token that the step bound for `audience`; None if it bound none.

    AuthError if it can't be read or is for another audience: whoever it is shown to would refuse it, and say less.
    """
    bound = next((each for each in known.of("identity") if each.name == audience), None)
    if bound is None:
        return None
    try:
        if bound.kind == "file":
            value = Path(environ[bound.variables["file"]]).read_text().strip()
        else:
            value = environ[bound.variables["value"]].strip()
    except (KeyError, OSError, ValueError) as error:
        raise AuthError(
            f"the Jenkins credential {bound.credential!r} gave no token: {error}",
            hint="run the step in a container that shares the agent's workspace",
        ) from error
    found = _audiences(value)
    if found is None:
        raise AuthError(
            f"the Jenkins credential {bound.credential!r} is no OpenID Connect token",
            hint="create a credential of the kind “OpenID Connect id token” (plugin oidc-provider)",
        )
    if audience not in found:
        raise AuthError(
            f"the Jenkins credential {bound.credential!r} is for the audience {', '.join(found) or '(none)'}, "
            f"not {audience}",
            hint=f"enter {audience} in its field Audience",
        )
    return value


def help_for(audience: str) -> str:
    """How a pipeline gets a token for `audience`."""
    return (
        f"create a credential “OpenID Connect id token” (plugin oidc-provider) with the audience {audience}, and give "
        f"its id to the step: cooperyBuild(…, identityTokens: ['{audience}': 'CREDENTIALS_ID'])"
    )


def _audiences(value: str) -> list[str] | None:
    """The claim `aud` of a token, unverified; None if it is no token."""
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    found = claims.get("aud", [])
    return [found] if isinstance(found, str) else [str(each) for each in found] if isinstance(found, list) else []
