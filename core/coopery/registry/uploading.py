"""One upload over the sessions and connections it takes: streamed, in chunks, or whole, and resumed where it broke.

The OCI distribution specification 1.1, "Pushing a blob monolithically" and "Pushing a blob in chunks", is what
registries should do. What they do instead:

- Docker streams a blob as one PATCH without a range, so every registry takes that. Large blobs are sent like this.
- A link that broke in mid-PATCH: distribution 3 says how much it kept. distribution 2 calls the session invalid and
  throws it away (blobupload.go compares the length it has with the one it signed), so a new one is begun in chunks that
  are smaller than what got through, each on a connection of its own.
- Proxies refuse long bodies (nginx's client_max_body_size, Cloudflare's 100 MB), or hold them back until they are
  whole: shorter chunks get through.
- Registries that refuse PATCH, or a second one, get the blob in a single PUT, as containerd sends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import quote

from coopery.errors import AuthError, CooperyError, NetworkError, RegistryError
from coopery.oci.descriptor import Descriptor
from coopery.registry.answers import failure, own_words
from coopery.registry.auth import Scope
from coopery.registry.body import BlobSource
from coopery.registry.channel import Channel
from coopery.registry.stored import check_digest, exists
from coopery.registry.transport import SEND_SIZE, Answer, Body

#: Blobs of up to this many bytes go in one PUT: sending them again costs less than asking how far they came.
STREAM_ABOVE = 32 << 20
#: Chunks, in bytes, when streaming has failed. Registries on S3 can't take less than 5 MiB.
MIN_CHUNK = 5 << 20
MAX_CHUNK = 64 << 20
#: How often an upload is taken up again without having come further in between.
MAX_RESUMES = 6

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_LOST_SESSION = ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID")
_RANGE = re.compile(r"(?:bytes\s*[=\s]\s*)?0\s*-\s*([0-9]{1,18})", re.IGNORECASE)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Again(Exception):
    """This session is lost; a new one is worth a try. `problem` is what to raise when it isn't.

    `otherwise` says that the next session will do another thing than this one, which was refused.
    """

    def __init__(self, problem: CooperyError, *, retry_after: str = "", otherwise: bool = False) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.retry_after = retry_after
        self.otherwise = otherwise


class _Stuck(Exception):
    """A request failed and the session may still be good. `sent` is how many bytes left before it broke, about."""

    def __init__(self, problem: CooperyError, *, retry_after: str = "", sent: int = 0) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.retry_after = retry_after
        self.sent = sent


class Uploading:
    """One blob on its way into one repository. Call `close` when done."""

    def __init__(
        self, channel: Channel, repository: str, descriptor: Descriptor, open_blob: Callable[[], BinaryIO]
    ) -> None:
        #: The session that is open and that the registry does no work for; empty if there is none.
        self.location = ""
        self._channel = channel
        self._repository = repository
        self._scopes = (Scope(repository, ("pull", "push")),)
        self._descriptor = descriptor
        self._source = BlobSource(open_blob, descriptor)
        self._whole = descriptor.size <= STREAM_ABOVE or channel.whole_uploads
        self._chunk = 0  # the longest body of a PATCH; 0 for all that is left of the blob
        self._least = 0  # the shortest that the registry takes, but for the last
        self._offset = 0  # how much the registry has acknowledged

    def run(self, location: str) -> None:
        """Upload the blob in one session: the one open at `location`, or else a new one.

        Again if another session is needed. AuthError, RegistryError and NetworkError if that would be no use,
        IntegrityError and StorageError for what is wrong with the blob.
        """
        self.location, self._offset = location, 0
        if not location:
            self.location = self._begin()
        if self._whole:
            self._put_whole()
        else:
            self._put_in_parts()
        self.location = ""

    def close(self) -> None:
        """Let go of the blob."""
        self._source.close()

    def _begin(self) -> str:
        target = f"v2/{self._repository}/blobs/uploads/"
        try:
            answer = self._channel.send("POST", target, self._scopes, body=bytes, retry=False)
        except NetworkError as error:
            raise Again(error) from error
        if answer.status in _TRANSIENT:
            raise Again(self._failure(answer), retry_after=answer.header("retry-after"))
        if answer.status != 202:
            raise self._failure(answer)
        least = answer.header("oci-chunk-min-length")
        self._least = int(least) if least.isascii() and least.isdigit() and len(least) < 12 else 0
        return self._channel.location(answer)

    def _put_whole(self) -> None:
        try:
            answer = self._send("PUT", self._completing(), self._descriptor.size)
        except NetworkError as error:
            self.location = ""  # the registry may still be at work on what arrived
            raise Again(error) from error
        if answer.status != 201:
            raise self._refused(answer)
        check_digest(self._channel, self._descriptor, answer)

    def _put_in_parts(self) -> None:
        failures = 0
        while True:
            before = self._offset
            try:
                if self._advance():
                    return
                failures = 0
                continue
            except _Stuck as stuck:
                while True:
                    failures += 1
                    if failures > MAX_RESUMES or not self._channel.transport.wait(failures, stuck.retry_after):
                        raise stuck.problem from None
                    try:
                        if before == self._descriptor.size and exists(
                            self._channel, self._repository, self._descriptor
                        ):
                            return  # only the answer was lost
                        self._ask(stuck)
                        break
                    except NetworkError as error:
                        stuck = _Stuck(error, sent=stuck.sent)
                if self._offset - before >= SEND_SIZE:
                    failures = 0
                elif stuck.sent:
                    self._shrink(stuck.sent)

    def _advance(self) -> bool:
        """Send the next part, or say that all have been sent: then True. _Stuck if it may be tried again."""
        size, start = self._descriptor.size, self._offset
        end = min(size, start + self._chunk) if self._chunk else size
        try:
            answer = self._send("PUT", self._completing(), size) if start == size else self._patch(end)
        except NetworkError as error:
            raise _Stuck(error, sent=max(0, self._source.position - start)) from error
        if start == size and answer.status == 201:
            check_digest(self._channel, self._descriptor, answer)
            return True
        if start < size and answer.status == 202:
            self._acknowledge(answer, end)
            return False
        retry_after = answer.header("retry-after")
        if answer.status in _TRANSIENT or answer.status == 416:
            raise _Stuck(self._failure(answer), retry_after=retry_after)
        if answer.status == 413 and self._chunk != self._shortest:
            raise _Stuck(self._failure(answer), sent=end - start)
        raise self._refused(answer)

    def _patch(self, end: int) -> Answer:
        headers = {}
        if (self._offset, end) != (0, self._descriptor.size):
            headers["Content-Range"] = f"{self._offset}-{end - 1}"
        if self._chunk:
            headers["Connection"] = "close"  # what breaks connections may count all that passes through one
        return self._send("PATCH", self.location, end, headers)

    def _acknowledge(self, answer: Answer, end: int) -> None:
        """Note how far the registry says it is; what makes no sense is left for the digest to decide in the end."""
        if answer.header("location"):
            self.location = self._channel.location(answer)
        kept = _kept(answer)
        self._offset = kept if self._offset < kept < end else end

    def _ask(self, stuck: _Stuck) -> None:
        """Learn from the registry how much it has ("Get upload progress"); Again if the session is lost."""
        try:
            answer = self._channel.send("GET", self.location, self._scopes)
        except AuthError:
            raise
        except RegistryError as error:
            raise self._lost(error, stuck) from error
        kept = _kept(answer)
        if answer.status in _TRANSIENT:
            raise NetworkError(
                f"{self._channel.endpoint.registry} does not say how far the upload is"
            ) from stuck.problem
        if answer.status not in (200, 202, 204) or kept < 0 or kept > max(self._source.position, self._offset):
            raise self._lost(stuck.problem, stuck)
        if answer.header("location"):
            self.location = self._channel.location(answer)
        self._offset = kept

    def _lost(self, problem: CooperyError, stuck: _Stuck) -> Again:
        self.location = ""
        if stuck.sent:
            self._shrink(stuck.sent)
        return Again(problem)

    @property
    def _shortest(self) -> int:
        return max(MIN_CHUNK, self._least)

    def _shrink(self, sent: int) -> None:
        """Send less at once from now on: half of the `sent` bytes that were too many."""
        self._chunk = max(self._shortest, min(MAX_CHUNK, sent // 2))

    def _completing(self) -> str:
        """The session's URL for the PUT that ends it."""
        digest = quote(str(self._descriptor.digest), safe=":")
        return f"{self.location}{'&' if '?' in self.location else '?'}digest={digest}"

    def _send(self, method: str, url: str, end: int, headers: Mapping[str, str] = _NO_HEADERS) -> Answer:
        """Send the bytes from the acknowledged ones to `end`; again, within, when a token has run out."""
        start = self._offset

        def body() -> Body | bytes:
            span = self._source.span(start, end)
            return span if len(span) else b""

        headers = {"Content-Type": "application/octet-stream", **headers}
        return self._channel.send(method, url, self._scopes, headers=headers, body=body, retry=False)

    def _refused(self, answer: Answer) -> CooperyError | Again:
        """What to raise for an answer that ends the session."""
        problem = self._failure(answer)
        lost = any(code in _LOST_SESSION for code, _ in own_words(answer.body))
        if answer.status in _TRANSIENT or (lost and (self._whole or not self._chunk)):
            self.location = ""
            return Again(problem, retry_after=answer.header("retry-after"))
        if self._whole or answer.status == 413:
            return problem
        self._whole = True
        if answer.status in (405, 501):
            self._channel.whole_uploads = True
        return Again(problem, otherwise=True)

    def _failure(self, answer: Answer) -> CooperyError:
        what = f"push of blob {self._descriptor.digest} to {self._repository}"
        return failure(self._channel.endpoint.registry, what, answer)


def _kept(answer: Answer) -> int:
    """How many bytes of an upload an answer's Range says were kept; -1 if it doesn't say.

    0-0 is what registries say of none: of one byte they say the same, but nobody sends single bytes.
    """
    match = _RANGE.fullmatch(answer.header("range").strip())
    if not match:
        return -1
    last = int(match.group(1))
    return last + 1 if last else 0
