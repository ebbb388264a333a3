"""Docker Hub without a stored password: the job's OIDC token is exchanged for an access token of an organization.

The exchange is RFC 8693's, as docker/login-action does it (its src/dockerhub.ts); the connection is made in Docker
Home (docs.docker.com/enterprise/security/oidc-connections). Which system minted the job's token makes no difference:
an adapter, or the pipeline itself, puts it where the variables below say.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping

from coopery.credentials.cloud import Login, LoginFailed
from coopery.credentials.identity import HubConnection, JobTokens, who_says
from coopery.credentials.web import post_form
from coopery.errors import UsageError
from coopery.oci.reference import DOCKER_HUB
from coopery.ports import Credential

#: The token's audience, and where it is exchanged.
AUDIENCE = "https://identity.docker.com"
_EXCHANGE = f"{AUDIENCE}/oauth/token"
_HOSTS = (DOCKER_HUB, "dhi.io")

#: What login-action calls the connection's id and the token's life; the others are ours, in the same family.
CONNECTION = "DOCKERHUB_OIDC_CONNECTIONID"
_LIFE = "DOCKERHUB_OIDC_EXPIREIN"
_ORGANIZATION = "DOCKERHUB_OIDC_USERNAME"
_TOKEN = "DOCKERHUB_OIDC_TOKEN"  # noqa: S105 - a variable's name
_TOKEN_FILE = "DOCKERHUB_OIDC_TOKEN_FILE"  # noqa: S105 - a variable's name
_SHORTEST, _LONGEST = 300, 3600  # seconds, by Docker's rule

#: Sends a form; see `web.post_form`.
Post = Callable[[str, Mapping[str, str]], tuple[int, bytes]]


class DockerHub:
    """Logs in to Docker Hub where an OIDC connection is named."""

    name = "Docker Hub"
    extra = ""  # needs no vendor's library

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        post: Post = post_form,
        connection: HubConnection | None = None,
        tokens: JobTokens | None = None,
    ) -> None:
        """`environ` has the variables that name the connection, the organization and the token, unless they are given
        (both or neither).
        """
        self._environ = environ
        self._post = post
        self._connection = connection
        self._tokens = tokens

    def serves(self, host: str) -> bool:
        """Whether `host` is Docker Hub, or Docker's hardened images, and a connection is named."""
        return host in _HOSTS and (self._connection is not None or bool(self._environ.get(CONNECTION)))

    def mint(self, host: str) -> Login:
        """An access token of the organization for 300 to 3,600 seconds. LoginFailed at the hop that broke."""
        connection = self._connection or self._named()
        token = self._tokens.mint(AUDIENCE) if self._tokens else self._given()
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": token,
            "connection_id": connection.connection,
            "expires_in": str(connection.seconds),
        }
        try:
            status, body = self._post(_EXCHANGE, form)
        except (OSError, ValueError) as error:
            raise LoginFailed("exchange", f"{AUDIENCE} gave no answer ({type(error).__name__})") from None
        if status != 200:
            hint = (
                f"a rule of the connection must match the token, whose audience must be {AUDIENCE}: {who_says(token)}"
            )
            raise LoginFailed("exchange", f"{AUDIENCE} answered with status {status}", hint)
        try:
            access = json.loads(body)["access_token"]
        except (ValueError, LookupError, TypeError, RecursionError):
            access = None
        if not isinstance(access, str) or not access:
            raise LoginFailed("exchange", f"{AUDIENCE} answered without a token")
        return Login(Credential(connection.organization, access), time.time() + connection.seconds)

    def rights(self, action: str) -> str:
        """What the connection has to allow."""
        return f"to {action}, the connection's rule must name the repository with that right"

    def _named(self) -> HubConnection:
        """The connection that the variables name."""
        organization = self._environ.get(_ORGANIZATION, "").strip()
        if not organization:
            raise LoginFailed("identity", f"{_ORGANIZATION} isn't set", "set it to the organization's name")
        life = self._environ.get(_LIFE) or str(_LONGEST)
        if not life.isdecimal() or not _SHORTEST <= int(life) <= _LONGEST:
            raise LoginFailed("identity", f"{_LIFE} is {life!r}, not {_SHORTEST} to {_LONGEST} seconds")
        try:
            connection = self._environ[CONNECTION].strip()
            return HubConnection(connection=connection, organization=organization, seconds=int(life))
        except UsageError as error:
            raise LoginFailed("identity", f"the variables for Docker Hub: {error.message}", error.hint) from None

    def _given(self) -> str:
        """The job's token, read anew each time: a file may be kept fresh."""
        if path := self._environ.get(_TOKEN_FILE):
            try:
                with open(path, encoding="ascii") as file:
                    token = file.read().strip()
            except (OSError, ValueError) as error:
                raise LoginFailed("identity", f"{_TOKEN_FILE} names {path}, which can't be read") from error
        else:
            token = self._environ.get(_TOKEN, "").strip()
        if not token:
            hint = f"give the job's OIDC token, minted for the audience {AUDIENCE}"
            raise LoginFailed("identity", f"neither {_TOKEN} nor {_TOKEN_FILE} is set", hint)
        return token
