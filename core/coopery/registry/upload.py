"""Pushing one blob: found, mounted from a neighbouring repository, or uploaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO
from urllib.parse import quote

from coopery.errors import AuthError, IntegrityError, NetworkError, RegistryError, StorageError
from coopery.oci.descriptor import Descriptor
from coopery.ports import BlobOutcome
from coopery.registry.auth import Scope, Scopes
from coopery.registry.channel import Channel
from coopery.registry.stored import exists
from coopery.registry.uploading import Again, Uploading

#: How often a blob's upload is begun from its first byte.
MAX_UPLOADS = 4


def push(
    channel: Channel,
    repository: str,
    descriptor: Descriptor,
    open_blob: Callable[[], BinaryIO],
    sources: Sequence[str],
) -> BlobOutcome:
    """Put the blob into `repository`; `sources` are repositories of this registry that may hold it already.

    `open_blob` is called only for an upload, and again whenever bytes must be sent a second time.
    """
    if exists(channel, repository, descriptor):
        return "exists"
    location = ""
    for source in sources:
        if (repository, source) in channel.unmountable:
            continue
        mounted, session = _mount(channel, repository, descriptor, source)
        if mounted:
            return "mounted"
        if session:
            _cancel(channel, repository, location)
        location = session or location
    uploading = Uploading(channel, repository, descriptor, open_blob)
    failures = 0
    try:
        while True:
            try:
                uploading.run(location)
            except Again as again:
                if not again.otherwise:
                    failures += 1
                    wait = channel.transport.wait
                    if failures == MAX_UPLOADS or not wait(failures, again.retry_after):
                        raise again.problem from None
                _cancel(channel, repository, uploading.location)
            else:
                return "uploaded"
            location = ""
            if exists(channel, repository, descriptor):  # only the answer was lost
                return "uploaded"
    except (IntegrityError, StorageError):
        _cancel(channel, repository, uploading.location)
        raise
    finally:
        uploading.close()


def _mount(channel: Channel, repository: str, descriptor: Descriptor, source: str) -> tuple[bool, str]:
    """Whether the blob could be mounted from `source`, and else the upload session that was opened instead, if any.

    Mounting saves an upload and is no more than that: a refusal (of the right to read `source`, say) is not an error.
    """
    target = f"v2/{repository}/blobs/uploads/?mount={quote(str(descriptor.digest), safe=':')}&from={quote(source)}"
    scopes: Scopes = (Scope(repository, ("pull", "push")), Scope(source, ("pull",)))
    try:
        answer = channel.send("POST", target, scopes, body=bytes, retry=False)
        if answer.status == 201:
            return True, ""
        return False, channel.location(answer) if answer.status == 202 else ""
    except AuthError:
        channel.unmountable.add((repository, source))
    except (RegistryError, NetworkError):
        pass  # the upload meets it again, if it lasts
    return False, ""


def _cancel(channel: Channel, repository: str, location: str) -> None:
    if not location:
        return
    scopes = (Scope(repository, ("pull", "push")),)
    try:
        answer = channel.send("DELETE", location, scopes, retry=False)
        if answer.status == 416:  # distribution 3, after a broken PATCH: the location is out of date
            answer = channel.send("GET", location, scopes, retry=False)
            channel.send("DELETE", channel.location(answer), scopes, retry=False)
    except (RegistryError, NetworkError):
        return  # the registry clears old sessions away by itself
