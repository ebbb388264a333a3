"""The job's OpenID Connect tokens: GitLab mints those that `id_tokens:` lists when the job starts, as variables."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping

from coopery.errors import AuthError

#: What the names of the template's tokens begin with; these are looked at first.
PREFIX = "COOPERY_ID_TOKEN"

_JWT = re.compile(r"(ey[A-Za-z0-9_-]{8,})\.(ey[A-Za-z0-9_-]{8,})\.[A-Za-z0-9_-]{16,}")
_SOON = 10.0  # seconds that a token must still live for


def find_token(environ: Mapping[str, str], audience: str) -> str | None:
    """The token among the variables that is for `audience`; None if there is none. AuthError if it has run out.

    No signature is checked here: whoever is shown the token does that.
    """
    old = ""
    for name in sorted(environ, key=lambda name: (not name.startswith(PREFIX), name)):
        claims = _claims(environ[name])
        audiences = claims.get("aud")
        if audience not in (audiences if isinstance(audiences, list) else [audiences]):
            continue
        end = claims.get("exp")
        if not isinstance(end, int | float) or end - time.time() > _SOON:
            return environ[name]
        old = old or name
    if old:
        raise AuthError(
            f"the identity token for {audience} in {old} has run out",
            hint="GitLab's ID tokens live as long as the job may run: raise the job's `timeout`",
        )
    return None


def _claims(value: str) -> Mapping[str, object]:
    """What a JSON Web Token says (RFC 7519, section 7.2); nothing if `value` isn't one."""
    match = _JWT.fullmatch(value)
    if not match:
        return {}
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in match.groups()
        )
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(header, dict) and isinstance(claims, dict) and "alg" in header else {}


def advice(audience: str) -> str:
    """What to add to the job, as YAML, for there to be a token for `audience`."""
    return f"give the job an ID token:\n\nid_tokens:\n  {PREFIX}:\n    aud: {json.dumps(audience)}"
