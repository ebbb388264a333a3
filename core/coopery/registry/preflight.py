"""Whether we may push, found out before there is anything to push."""

from __future__ import annotations

from coopery.errors import CooperyError, NotFound
from coopery.registry.answers import fail, spoken
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel


def check_push(channel: Channel, repository: str) -> None:
    """Open an upload into `repository` and cancel it (OCI distribution specification 1.1, "Pushing blobs").

    AuthError if we may not push, NotFound if the registry wants its repositories made beforehand and this one isn't,
    RegistryError for other refusals, NetworkError if nobody answers. Nothing is left behind.
    """
    scopes = (Scope(repository, ("pull", "push")),)
    registry = channel.endpoint.registry
    answer = channel.send("POST", f"v2/{repository}/blobs/uploads/", scopes, body=bytes)
    if answer.status == 404:
        hint = "some registries want a repository to be made before the first push"
        raise NotFound(f"{registry} has no repository {repository} to push to", hint=hint, detail=spoken(answer.body))
    if answer.status not in (201, 202):
        fail(registry, f"check of the right to push to {repository}", answer)
    try:
        channel.send("DELETE", channel.location(answer), scopes, retry=False)
    except CooperyError:
        return  # not every registry lets a session be cancelled; all of them clear old ones away
