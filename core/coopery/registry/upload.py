"""Pushing one blob: found, mounted from a neighbouring repository, or uploaded in one piece, verified on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal
from urllib.parse import quote

from coopery.errors import AuthError, IntegrityError, NetworkError, RegistryError, StorageError
from coopery.oci.descriptor import Descriptor
from coopery.registry.answers import fail, own_words
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel
from coopery.registry.transport import SEND_SIZE, Answer

#: How often a blob's upload is begun.
MAX_UPLOADS = 4

_LOST_SESSION = ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID")


class CheckedBody:
    """A blob on its way out: exactly the descriptor's bytes, or IntegrityError before the last of them has left."""

    def __init__(self, source: BinaryIO, descriptor: Descriptor) -> None:
        self._source = source
        self._descriptor = descriptor
        self._left = descriptor.size
        self._state = hashlib.new(descriptor.digest.algorithm)

    def __len__(self) -> int:
        return self._descriptor.size

    def __iter__(self) -> Iterator[bytes]:  # by having this, a body counts as a stream for requests
        return iter(lambda: self.read(SEND_SIZE), b"")

    def read(self, amount: int = -1, /) -> bytes:
        """Up to `amount` of the bytes that are left, empty at the end. StorageError if the source can't be read."""
        if not self._left:
            return b""
        wanted = self._left if amount < 0 else min(amount, self._left)
        try:
            piece = self._source.read(wanted)
            surplus = len(piece) == self._left and bool(self._source.read(1))
        except OSError as error:
            raise StorageError(f"blob {self._descriptor.digest} can't be read: {error.strerror or error}") from error
        self._left -= len(piece)
        self._state.update(piece)
        if not piece or surplus:
            raise IntegrityError(
                f"blob {self._descriptor.digest} should have {self._descriptor.size} bytes, but what is to be pushed "
                f"{'is longer' if surplus else 'is shorter'}"
            )
        if not self._left and self._state.hexdigest() != self._descriptor.digest.hex:
            raise IntegrityError(
                f"what is to be pushed as blob {self._descriptor.digest} has digest "
                f"{self._descriptor.digest.algorithm}:{self._state.hexdigest()}"
            )
        return piece


def push(
    channel: Channel,
    repository: str,
    descriptor: Descriptor,
    open_blob: Callable[[], BinaryIO],
    sources: Sequence[str],
) -> Literal["exists", "mounted", "uploaded"]:
    """Put the blob into `repository`; `sources` are repositories of this registry that may hold it already.

    `open_blob` is called only for an upload, and again for each new try after a lost connection or a 5xx.
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
        if session and location:
            _cancel(channel, repository, location)
        location = session or location
    for attempt in range(1, MAX_UPLOADS + 1):
        try:
            answer = _upload(channel, repository, descriptor, open_blob, location)
        except NetworkError:
            if attempt == MAX_UPLOADS or not channel.transport.wait(attempt):
                raise
        else:
            if answer.status == 201:
                check_digest(channel, descriptor, answer)
                return "uploaded"
            lost = any(code in _LOST_SESSION for code, _ in own_words(answer.body))
            again = lost or answer.status in (408, 429) or answer.status >= 500
            retry_after = answer.header("retry-after")
            if not again or attempt == MAX_UPLOADS or not channel.transport.wait(attempt, retry_after):
                what = f"push of blob {descriptor.digest} to {repository}"
                fail(channel.endpoint.registry, what, answer.status, answer.body, retry_after)
        location = ""
        if exists(channel, repository, descriptor):  # only the answer was lost
            return "uploaded"
    raise AssertionError("the last attempt returns or raises")


def exists(channel: Channel, repository: str, descriptor: Descriptor) -> bool:
    """Whether the repository holds the blob; asked with the rights to push, which are needed next."""
    return has_blob(channel, Scope(repository, ("pull", "push")), str(descriptor.digest))


def has_blob(channel: Channel, scope: Scope, digest: str) -> bool:
    """Whether the scope's repository holds the blob `digest`."""
    answer = channel.send("HEAD", f"v2/{scope.repository}/blobs/{digest}", (scope,))
    if answer.status not in (200, 404):
        fail(channel.endpoint.registry, f"look-up of blob {digest} in {scope.repository}", answer.status, answer.body)
    return answer.status == 200


def check_digest(channel: Channel, descriptor: Descriptor, answer: Answer) -> None:
    """IntegrityError if the registry says that it stored something else (Docker-Content-Digest, if it is there)."""
    stored = answer.header("docker-content-digest")
    if stored and stored.startswith(descriptor.digest.algorithm + ":") and stored != str(descriptor.digest):
        raise IntegrityError(f"{channel.endpoint.registry} stored {descriptor.digest} under another digest")


def _scopes(repository: str, source: str = "") -> tuple[Scope, ...]:
    own = Scope(repository, ("pull", "push"))
    return (own, Scope(source, ("pull",))) if source else (own,)


def _mount(channel: Channel, repository: str, descriptor: Descriptor, source: str) -> tuple[bool, str]:
    """Whether the blob could be mounted from `source`, and else the upload session that was opened instead, if any.

    Mounting saves an upload and is no more than that: a refusal (of the right to read `source`, say) is not an error.
    """
    target = f"v2/{repository}/blobs/uploads/?mount={quote(str(descriptor.digest), safe=':')}&from={quote(source)}"
    try:
        answer = channel.send("POST", target, _scopes(repository, source), body=bytes, retry=False)
        if answer.status == 201:
            return True, ""
        return False, channel.location(answer) if answer.status == 202 else ""
    except AuthError:
        channel.unmountable.add((repository, source))
    except (RegistryError, NetworkError):
        pass  # the upload meets it again, if it lasts
    return False, ""


def _cancel(channel: Channel, repository: str, location: str) -> None:
    try:
        channel.send("DELETE", location, _scopes(repository), retry=False)
    except (RegistryError, NetworkError):
        return  # the registry clears old sessions away by itself


def _upload(
    channel: Channel, repository: str, descriptor: Descriptor, open_blob: Callable[[], BinaryIO], location: str
) -> Answer:
    """One upload, POST then PUT, or PUT alone into a session that is open at `location`; the answer, good or not."""
    scopes = _scopes(repository)
    if not location:
        answer = channel.send("POST", f"v2/{repository}/blobs/uploads/", scopes, body=bytes, retry=False)
        if answer.status != 202:
            return answer
        location = channel.location(answer)
    url = f"{location}{'&' if '?' in location else '?'}digest={quote(str(descriptor.digest), safe=':')}"
    opened: list[BinaryIO] = []

    def body() -> CheckedBody | bytes:
        # Again after a 401 in mid-push, when the token has run out.
        opened.append(open_blob())
        checked = CheckedBody(opened[-1], descriptor)
        return checked if descriptor.size else checked.read()

    try:
        return channel.send(
            "PUT", url, scopes, headers={"Content-Type": "application/octet-stream"}, body=body, retry=False
        )
    finally:
        for source in opened:
            source.close()
