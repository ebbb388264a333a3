"""The job's OpenID Connect tokens (actions/toolkit, oidc-utils.ts)."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from coopery.errors import AuthError, NetworkError

_ATTEMPTS = 4
_TIMEOUT = 30.0  # seconds
_LARGEST = 1 << 20
_FAILURES = (429, 500, 502, 503, 504)  # of which the next attempt may be a success
_LONGEST_WAIT = 30.0  # seconds


def has_identity(environ: Mapping[str, str]) -> bool:
    """Whether the job may ask for tokens."""
    return bool(environ.get("ACTIONS_ID_TOKEN_REQUEST_URL") and environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))


def ask(environ: Mapping[str, str], audience: str, *, wait: Callable[[float], None] = time.sleep) -> str:
    """A token for `audience`. AuthError if GitHub refuses, NetworkError if it doesn't answer."""
    import requests

    url, bearer = environ["ACTIONS_ID_TOKEN_REQUEST_URL"], environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    url += f"{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    host = urlsplit(url).hostname or "the token service"
    failure = ""
    with requests.Session() as session:
        session.auth = lambda request: request  # a .netrc would replace the header
        session.verify = next((environ[name] for name in _AUTHORITIES if environ.get(name)), True)
        for attempt in range(_ATTEMPTS):
            if attempt:
                wait(min(2.0**attempt, _LONGEST_WAIT) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            try:
                with session.get(
                    url,
                    headers={"Authorization": f"Bearer {bearer}", "Accept": "application/json"},
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    body = answer.raw.read(_LARGEST, decode_content=True)
                    status = answer.status_code
            except (requests.RequestException, OSError) as error:
                failure = str(error).replace(bearer, "***")
                continue
            if status == 200:
                return _token(body, host)
            failure = f"status {status}"
            if status not in _FAILURES:
                hint = "the job's permissions must have `id-token: write` for as long as it runs"
                raise AuthError(f"{host} refused an identity token for {audience}: {failure}", hint=hint)
    raise NetworkError(f"{host} gave no identity token for {audience} in {_ATTEMPTS} attempts: {failure}")


_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def _token(body: bytes, host: str) -> str:
    try:
        value = json.loads(body)["value"]
    except (ValueError, LookupError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str) or not value:
        raise AuthError(f"{host} answered without an identity token")
    return value
