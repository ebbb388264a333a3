"""Whether a registry lets somebody in: `docker login`'s check (distribution specification, "Determining Support")."""

from __future__ import annotations

import time
from collections.abc import Callable

from coopery.ports import Credential, CredentialProvider
from coopery.registry.answers import fail
from coopery.registry.auth import ENTRY
from coopery.registry.channel import Channel
from coopery.registry.endpoint import Endpoint
from coopery.registry.transport import Transport


class Given:
    """One credential for one registry, and whether that registry ever wanted it."""

    def __init__(self, registry: str, credential: Credential) -> None:
        self._registry = registry
        self._credential = credential
        self.asked = False

    def get(self, registry: str, _repository: str) -> Credential | None:
        """The credential, for that registry alone."""
        if registry != self._registry:
            return None
        self.asked = True
        return self._credential

    def advice(self, _registry: str, _repository: str, _action: str) -> str:
        """What there is to say about something typed."""
        return "check the user name, and whether the registry wants an access token in place of a password"


def log_in(
    registry: str, credential: Credential, transport: Transport, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Whether `registry` asked for the credential; if it did, it took it.

    AuthError if it refuses the credential, RegistryError if what answers is no registry, NetworkError if nothing does.
    """
    given = Given(registry, credential)
    provider: CredentialProvider = given
    channel = Channel(Endpoint.of(registry), transport, provider, clock)
    answer = channel.send("GET", "v2/", ENTRY)
    if answer.status != 200:
        fail(registry, "login", answer)
    return given.asked
