"""Artifact Registry and what was Container Registry: an access token of google-auth's default credentials."""

from __future__ import annotations

import re
from typing import Any

from coopery.credentials.cloud import Login, LoginFailed, quiet
from coopery.credentials.web import vendor_session
from coopery.ports import Credential

_HOSTS = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z0-9-]+\.)?gcr\.io")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# cloud.google.com/artifact-registry/docs/docker/authentication, "Access token"
_USER = "oauth2accesstoken"
_SOURCES = (
    "Google's credentials come from the file that GOOGLE_APPLICATION_CREDENTIALS names (a service account's key, or "
    "the configuration of a workload identity), from gcloud, or from the machine's metadata server"
)


class Google:
    """Logs in to Artifact Registry."""

    name = "Google Cloud"
    extra = "google"

    def serves(self, host: str) -> bool:
        """Whether `host` is a Docker registry of Google Cloud's."""
        return _HOSTS.fullmatch(host) is not None

    def mint(self, host: str) -> Login:
        """An access token, which lives about an hour, as a password. Errors as `Cloud.mint`'s."""
        import warnings
        from datetime import UTC

        import google.auth
        import google.auth.credentials
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        quiet("google")
        auth: Any = google.auth  # half of it has no types
        with vendor_session() as session:
            request = Request(session)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    # Given the scope, it would go and ask for the name of a project that nobody needs.
                    credentials, _ = auth.default(request=request)
                    credentials = auth.credentials.with_scopes_if_required(credentials, [_SCOPE])
            except (GoogleAuthError, OSError, ValueError) as error:
                raise LoginFailed("identity", _first(error), _SOURCES) from None
            try:
                credentials.refresh(request)
            except (GoogleAuthError, OSError, ValueError) as error:
                hint = "check that the service account, or the workload identity pool and its conditions, exist"
                raise LoginFailed("exchange", _first(error), hint) from None
        if not credentials.token or credentials.expiry is None:
            raise LoginFailed("exchange", "Google's token server answered without a token")
        ends = credentials.expiry.replace(tzinfo=UTC).timestamp()
        return Login(Credential(_USER, credentials.token), ends)

    def rights(self, action: str) -> str:
        """The role that has the permissions."""
        role = "artifactregistry.reader" if action == "pull" else "artifactregistry.writer"
        return f"to {action}, it needs roles/{role} on an existing repository"


def _first(error: Exception) -> str:
    """The error's words, without the answers that google-auth puts beside them."""
    return str(error.args[0]) if error.args else type(error).__name__
