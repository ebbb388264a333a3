"""Azure Container Registry: a token of Microsoft Entra by azure-identity, exchanged for one of the registry's own."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from coopery.credentials.cloud import Login, LoginFailed, quiet
from coopery.credentials.identity import AzureApplication, JobTokens, read_claims, who_says
from coopery.credentials.web import post_form
from coopery.ports import Credential

_HOSTS = re.compile(r"[a-z0-9-]+\.azurecr\.(?P<cloud>io|cn|us)")
#: A refresh token's life in seconds when it can't be read.
_LIFE = 3600.0
_SOURCES = (
    "Azure's credentials come from AZURE_CLIENT_ID and AZURE_TENANT_ID with AZURE_CLIENT_SECRET, "
    "AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, from a managed identity, or from `az login`"
)

#: Sends a form; see `web.post_form`.
Post = Callable[[str, Mapping[str, str]], tuple[int, bytes]]


class _Cloud(NamedTuple):
    authority: str
    audience: str
    federation: str  # whom the tokens are for that federated credentials take


_CLOUDS = {
    "io": _Cloud(
        "login.microsoftonline.com", "https://containerregistry.azure.net/.default", "api://AzureADTokenExchange"
    ),
    "cn": _Cloud(
        "login.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default", "api://AzureADTokenExchangeChina"
    ),
    "us": _Cloud(
        "login.microsoftonline.us", "https://management.usgovcloudapi.net/.default", "api://AzureADTokenExchangeUSGov"
    ),
}


class Azure:
    """Logs in to ACR: as `application`, which takes the job's own token, or else by the default credentials."""

    name = "Azure"
    extra = "azure"

    def __init__(
        self, application: AzureApplication | None = None, tokens: JobTokens | None = None, post: Post = post_form
    ) -> None:
        """The first two or neither."""
        self._application = application
        self._tokens = tokens
        self._post = post

    def serves(self, host: str) -> bool:
        """Whether `host` is a registry of one of Azure's clouds."""
        return _HOSTS.fullmatch(host) is not None

    def mint(self, host: str) -> Login:
        """The registry's refresh token, which lives about three hours. Errors as `Cloud.mint`'s."""
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential

        quiet("azure", "msal")
        match = _HOSTS.fullmatch(host)
        assert match is not None
        cloud = _CLOUDS[match["cloud"]]
        authority = os.environ.get("AZURE_AUTHORITY_HOST") or cloud.authority
        if self._application:
            return self._exchange(host, self._federated(self._application, authority, cloud))
        try:
            with DefaultAzureCredential(authority=authority) as identity:
                token = identity.get_token(cloud.audience).token
        except (AzureError, OSError, ValueError) as error:
            raise LoginFailed("identity", _first_lines(error), _SOURCES) from None
        return self._exchange(host, token)

    def rights(self, action: str) -> str:
        """The role that has the permissions."""
        role = "AcrPull" if action == "pull" else "AcrPush"
        return f"to {action}, it needs the role {role} on the registry, or the repository roles of one with ABAC"

    def _federated(self, application: AzureApplication, authority: str, cloud: _Cloud) -> str:
        """Entra's token for the application, in exchange for the job's."""
        from azure.core.exceptions import AzureError
        from azure.identity import ClientAssertionCredential

        assert self._tokens
        token = self._tokens.mint(cloud.federation)
        tenant, client = application.tenant_id, application.client_id
        try:
            with ClientAssertionCredential(tenant, client, lambda: token, authority=authority) as identity:
                return str(identity.get_token(cloud.audience).token)
        except (AzureError, OSError, ValueError) as error:
            hint = f"{client} needs a federated credential with exactly this issuer, subject and audience: "
            raise LoginFailed("exchange", _first_lines(error), hint + who_says(token)) from None

    def _exchange(self, host: str, token: str) -> Login:
        """Source: docs/AAD-OAuth.md of Azure/acr, "Calling POST /oauth2/exchange"."""
        form = {"grant_type": "access_token", "service": host, "access_token": token}
        try:
            status, body = self._post(f"https://{host}/oauth2/exchange", form)
        except (OSError, ValueError) as error:
            raise LoginFailed("exchange", f"{host} gave no answer ({type(error).__name__})") from None
        if status != 200:
            hint = "the identity must be of the registry's tenant and have a role on it, such as AcrPush"
            raise LoginFailed("exchange", f"{host} answered with status {status}", hint)
        try:
            refresh = json.loads(body)["refresh_token"]
        except (ValueError, LookupError, TypeError, RecursionError):
            refresh = None
        if not isinstance(refresh, str) or not refresh:
            raise LoginFailed("exchange", f"{host} answered without a token")
        return Login(Credential(identity_token=refresh), _end(refresh))


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[:3])


def _end(token: str) -> float:
    """When a JSON Web Token ends (RFC 7519, section 4.1.4), in seconds since the epoch."""
    try:
        return float(read_claims(token)["exp"])
    except (ValueError, LookupError, TypeError):
        return time.time() + _LIFE
