"""Artifact Registry and what was Container Registry: an access token of google-auth's default credentials."""

from __future__ import annotations

import re
from typing import Any

from coopery.credentials.cloud import Login, LoginFailed, quiet
from coopery.credentials.identity import GoogleWorkload, JobTokens, who_says
from coopery.credentials.web import vendor_session
from coopery.ports import Credential

_HOSTS = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z0-9-]+\.)?gcr\.io")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# cloud.google.com/artifact-registry/docs/docker/authentication, "Access token"
_USER = "oauth2accesstoken"
# cloud.google.com/iam/docs/workload-identity-federation, "Token exchange"
_EXCHANGE = "https://sts.googleapis.com/v1/token"
_IMPERSONATION = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{}:generateAccessToken"
_SOURCES = (
    "Google's credentials come from the file that GOOGLE_APPLICATION_CREDENTIALS names (a service account's key, or "
    "the configuration of a workload identity), from gcloud, or from the machine's metadata server"
)


class Google:
    """Logs in to Artifact Registry: through `workload`, whose provider takes the job's own token, or else by the
    application default credentials.
    """

    name = "Google Cloud"
    extra = "google"

    def __init__(self, workload: GoogleWorkload | None = None, tokens: JobTokens | None = None) -> None:
        """Both or neither."""
        self._workload = workload
        self._tokens = tokens

    def serves(self, host: str) -> bool:
        """Whether `host` is a Docker registry of Google Cloud's."""
        return _HOSTS.fullmatch(host) is not None

    def mint(self, host: str) -> Login:
        """An access token, which lives about an hour, as a password. Errors as `Cloud.mint`'s."""
        from datetime import UTC

        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        quiet("google")
        hint = "check that the service account, or the workload identity pool and its conditions, exist"
        with vendor_session() as session:
            request = Request(session)
            try:
                if self._workload:
                    credentials, token = self._federated(self._workload)
                    hint = _trust(self._workload, token)
                else:
                    credentials = _default(request)
            except (GoogleAuthError, OSError, ValueError) as error:
                raise LoginFailed("identity", _first(error), _SOURCES) from None
            try:
                credentials.refresh(request)
            except (GoogleAuthError, OSError, ValueError) as error:
                raise LoginFailed("exchange", _first(error), hint) from None
        if not credentials.token or credentials.expiry is None:
            raise LoginFailed("exchange", "Google's token server answered without a token")
        ends = credentials.expiry.replace(tzinfo=UTC).timestamp()
        return Login(Credential(_USER, credentials.token), ends)

    def rights(self, action: str) -> str:
        """The role that has the permissions."""
        role = "artifactregistry.reader" if action == "pull" else "artifactregistry.writer"
        return f"to {action}, it needs roles/{role} on an existing repository"

    def _federated(self, workload: GoogleWorkload) -> tuple[Any, str]:
        """Credentials that exchange the job's token, and the token."""
        from google.auth import identity_pool

        assert self._tokens
        token = self._tokens.mint(f"https://iam.googleapis.com/{workload.provider}")

        class Supplier(identity_pool.SubjectTokenSupplier):
            def get_subject_token(self, _context: object, _request: object) -> str:
                return token

        account = workload.service_account
        credentials: Any = identity_pool.Credentials(  # type: ignore[no-untyped-call]
            audience=f"//iam.googleapis.com/{workload.provider}",
            subject_token_type="urn:ietf:params:oauth:token-type:jwt",  # noqa: S106 - a kind of tokens
            token_url=_EXCHANGE,
            subject_token_supplier=Supplier(),
            service_account_impersonation_url=_IMPERSONATION.format(account) if account else None,
            scopes=[_SCOPE],
        )
        return credentials, token


def _default(request: Any) -> Any:
    """The application default credentials."""
    import warnings

    import google.auth
    import google.auth.credentials

    auth: Any = google.auth  # half of it has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Given the scope, it would go and ask for the name of a project that nobody needs.
        credentials, _ = auth.default(request=request)
        return auth.credentials.with_scopes_if_required(credentials, [_SCOPE])


def _trust(workload: GoogleWorkload, token: str) -> str:
    hint = f"the provider {workload.provider} must have the token's issuer, allow its audience, and have a condition "
    hint += f"that fits it: {who_says(token)}"
    if workload.service_account:
        hint += f"; on {workload.service_account} that identity needs roles/iam.workloadIdentityUser"
    return hint


def _first(error: Exception) -> str:
    """The error's words, without the answers that google-auth puts beside them."""
    return str(error.args[0]) if error.args else type(error).__name__
