"""Deleting manifests, tags and blobs: OCI distribution specification 1.1, "Content Management"."""

from __future__ import annotations

from coopery.errors import RegistryError
from coopery.registry.answers import failure, own_words, spoken
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel


def delete(channel: Channel, repository: str, thing: str, what: str) -> bool:
    """Delete `thing`, a path of the repository's API; False if it wasn't there. `what` names it in errors.

    A request whose answer got lost is sent again, and then what it deleted isn't there.
    """
    answer = channel.send("DELETE", f"v2/{repository}/{thing}", (Scope(repository, ("delete",)),))
    if answer.status in (200, 202, 204):
        return True
    if answer.status == 404:
        return False
    registry = channel.endpoint.registry
    # DIGEST_INVALID is what distribution 2 says to a tag.
    unsupported = any(code in ("UNSUPPORTED", "DIGEST_INVALID") for code, _ in own_words(answer.body))
    if answer.status == 405 or unsupported:
        hint = "deletion is switched off there (in distribution: storage.delete.enabled), or works by digest only"
        raise RegistryError(f"{what}: {registry} doesn't delete this", hint=hint, detail=spoken(answer.body))
    raise failure(registry, what, answer)
