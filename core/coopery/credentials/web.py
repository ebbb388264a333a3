"""HTTP for logins: what the environment says about proxies and certificates holds, .netrc doesn't."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

_TIMEOUT = 30.0  # seconds
_MAX_ANSWER = 1 << 20


def vendor_session() -> requests.Session:
    """A session that adds no credential of its own: a .netrc would replace the one that is sent."""
    import requests

    session = requests.Session()
    session.auth = _unchanged
    # requests knows the first two of these; what is set for registries holds for logins too.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(name):
            session.verify = path
            break
    return session


def post_form(url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
    """POST a form, following no redirect: the answer's status, and its body if that is of a token's size.

    OSError when no answer comes.
    """
    with (
        vendor_session() as session,
        session.post(url, data=dict(form), allow_redirects=False, timeout=_TIMEOUT, stream=True) as answer,
    ):
        body = b""
        for piece in answer.iter_content(64 << 10):
            body += piece
            if len(body) > _MAX_ANSWER:
                return answer.status_code, b""
        return answer.status_code, body


def _unchanged(request: Any) -> Any:
    return request
