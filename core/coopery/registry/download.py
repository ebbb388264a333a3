"""Pulling one blob: streamed, resumed after a lost connection, verified."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import closing

from coopery.errors import IntegrityError, NetworkError
from coopery.oci.descriptor import Descriptor
from coopery.registry.answers import fail
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel
from coopery.registry.transport import READ_SIZE, Answer, Stream

#: How often a blob's download is taken up again, without any more of it having come, before we give up.
MAX_RESUMES = 6
_SMALL = 64 << 10


class Taken:
    """How much of a blob has been pulled so far, for whoever goes on with it, be it from another place."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.received = 0  # bytes
        self.state = hashlib.new(descriptor.digest.algorithm)


def pull(
    channel: Channel, repository: str, descriptor: Descriptor, taken: Taken | None = None
) -> Generator[bytes, None, None]:
    """The blob's bytes in pieces of up to 1 MiB, after those that are `taken`.

    The last piece is only given out once size and digest are right; IntegrityError if they aren't. A lost connection
    is taken up where it broke; NetworkError when nothing more comes that way.
    """
    size = descriptor.size
    taken = taken or Taken(descriptor)
    state = taken.state
    resumes = 0
    while True:
        before = taken.received
        opened = False
        try:
            stream, surplus = _open(channel, repository, descriptor, taken.received)
            opened = True
            with closing(stream):
                _skip(stream, surplus)
                # What is read at once is lost at once: where nothing came through, less may.
                amount = READ_SIZE if resumes < 2 else _SMALL
                while taken.received < size and (piece := stream.read(amount)):
                    taken.received += len(piece)
                    if taken.received > size:
                        raise _mismatch(descriptor, "is longer than that")
                    state.update(piece)
                    if taken.received < size:
                        yield piece
                if taken.received == size:
                    if _more(stream):
                        raise _mismatch(descriptor, "is longer than that")
                    break
            raise _cut_short(descriptor, taken.received)
        except NetworkError:
            resumes = 1 if taken.received > before else resumes + 1
            if resumes > MAX_RESUMES or not (taken.received or opened):
                raise
            channel.transport.wait(resumes)
    if state.hexdigest() != descriptor.digest.hex:
        raise _mismatch(descriptor, f"has digest {descriptor.digest.algorithm}:{state.hexdigest()}")
    if size:
        yield piece


def _open(channel: Channel, repository: str, descriptor: Descriptor, start: int) -> tuple[Stream, int]:
    """The blob's bytes from `start` on, and how many known bytes come before them again."""
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    target = f"v2/{repository}/blobs/{descriptor.digest}"
    answer = channel.send("GET", target, (Scope(repository, ("pull",)),), headers=headers, stream=True)
    if answer.stream is None:
        if answer.status == 416:
            raise _mismatch(descriptor, f"ends before byte {start}")
        what = f"pull of blob {descriptor.digest} of {repository}"
        fail(channel.endpoint.registry, what, answer)
    try:
        _check_length(answer, descriptor, start)
    except IntegrityError:
        answer.stream.close()
        raise
    return answer.stream, start if answer.status == 200 else 0


def _check_length(answer: Answer, descriptor: Descriptor, start: int) -> None:
    if answer.status == 206:
        ranged = answer.header("content-range").replace(" ", "")
        if not ranged.lower().startswith(f"bytes{start}-"):
            raise _mismatch(descriptor, f"was resumed at another place than byte {start}")
        return
    length = answer.header("content-length")
    if length.isascii() and length.isdigit() and length != str(descriptor.size):
        raise _mismatch(descriptor, f"has {length[:20]} bytes")


def _skip(stream: Stream, count: int) -> None:
    while count:
        piece = stream.read(min(count, READ_SIZE))
        if not piece:
            raise NetworkError("the connection was lost while a download was taken up again")
        count -= len(piece)


def _more(stream: Stream) -> bool:
    """Whether more comes where the end should be. Reading it also gives the connection back in order."""
    try:
        return bool(stream.read(1))
    except NetworkError:
        return False


def _cut_short(descriptor: Descriptor, received: int) -> NetworkError:
    return NetworkError(f"only {received} of {descriptor.size} bytes of blob {descriptor.digest} arrived")


def _mismatch(descriptor: Descriptor, what: str) -> IntegrityError:
    return IntegrityError(
        f"blob {descriptor.digest} of {descriptor.size} bytes {what}",
        hint="the registry, or a proxy or mirror before it, serves other content than the manifest names",
    )
