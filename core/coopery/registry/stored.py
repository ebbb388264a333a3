"""What a registry says that it holds."""

from __future__ import annotations

from coopery.errors import IntegrityError
from coopery.oci.descriptor import Descriptor
from coopery.registry.answers import fail
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel
from coopery.registry.transport import Answer


def has_blob(channel: Channel, scope: Scope, digest: str) -> bool:
    """Whether the scope's repository holds the blob `digest`."""
    answer = channel.send("HEAD", f"v2/{scope.repository}/blobs/{digest}", (scope,))
    if answer.status not in (200, 404):
        fail(channel.endpoint.registry, f"look-up of blob {digest} in {scope.repository}", answer)
    return answer.status == 200


def exists(channel: Channel, repository: str, descriptor: Descriptor) -> bool:
    """Whether the repository holds the blob; asked with the rights to push, which are needed next."""
    return has_blob(channel, Scope(repository, ("pull", "push")), str(descriptor.digest))


def check_digest(channel: Channel, descriptor: Descriptor, answer: Answer) -> None:
    """IntegrityError if the registry says that it stored something else (Docker-Content-Digest, if it is there)."""
    stored = answer.header("docker-content-digest")
    if stored and stored.startswith(descriptor.digest.algorithm + ":") and stored != str(descriptor.digest):
        raise IntegrityError(f"{channel.endpoint.registry} stored {descriptor.digest} under another digest")
