"""The registry client: `ports.Registry` over the OCI distribution API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from coopery.errors import CooperyError, IntegrityError, NotFound
from coopery.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import MAX_MANIFEST_SIZE, parse_manifest
from coopery.oci.reference import Reference
from coopery.ports import BlobOutcome, CredentialProvider, Traffic
from coopery.registry.answers import fail
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel
from coopery.registry.endpoint import Endpoint
from coopery.registry.rate_limits import RateLimit, RateLimits
from coopery.registry.traffic import Counter
from coopery.registry.transport import Answer, Transport

# What a build that is served from its cache doesn't do is imported by the method that does it.
if TYPE_CHECKING:
    from coopery.registry.download import Taken
    from coopery.registry.referrers import Referrers

_ACCEPT = ", ".join(sorted(MANIFEST_TYPES | INDEX_TYPES, reverse=True))


class RegistryClient:
    """A client for any number of registries, each reached through a `Channel` of its own. Safe to use from any thread.

    Errors everywhere: AuthError, NotFound and RegistryError for what registries answer, NetworkError when they don't,
    IntegrityError for content that isn't what its digest says.
    """

    def __init__(
        self,
        credentials: CredentialProvider,
        *,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        notice: Callable[[str], None] = lambda text: None,
        moved: Counter | None = None,
    ) -> None:
        """`clock` counts seconds, for the life of tokens; `notice` is told what users should know, such as that few
        pulls are left. Clients that work together count in one `moved`."""
        self._credentials = credentials
        self._transport = transport or Transport()
        self._clock = clock
        self._rate_limits = RateLimits(notice)
        self._lock = threading.Lock()
        self._writing_referrers = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._moved = moved or Counter()

    def close(self) -> None:
        """Close idle connections. The client can still be used."""
        self._transport.close()

    def places(self, reference: Reference) -> tuple[Reference, ...]:
        """See `ports.Source`: the reference itself. What goes to mirrors goes through `Mirrored`."""
        return (reference,)

    @property
    def rate_limits(self) -> Mapping[str, RateLimit]:
        """How many pulls registries still grant, by registry, as far as they said so."""
        return self._rate_limits.known()

    @property
    def traffic(self) -> Traffic:
        """See `ports.Registry`."""
        return self._moved.total()

    def reach(self, reference: Reference) -> None:
        """Return if the registry of `reference` gives any answer, asked once; NetworkError if it doesn't."""
        self._channel(reference).reach()

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """The manifest or index that `reference` names (its digest before its tag, `latest` without either)."""
        answer = self._ask("GET", reference)
        if answer.status != 200:
            self._fail(reference, f"pull of {reference}", answer)
        data = answer.body
        if len(data) > MAX_MANIFEST_SIZE:
            raise IntegrityError(f"the manifest of {reference} is larger than {MAX_MANIFEST_SIZE} bytes")
        self._moved.pulled(len(data))
        digest = reference.digest or Digest.of(data)
        for expected in (digest, _said(answer)):
            if expected:
                expected.check(data, f"the manifest of {reference}")
        media_type = parse_manifest(data, answer.header("content-type")).media_type
        return Descriptor(media_type, digest, len(data)), data

    def head(self, reference: Reference) -> Descriptor | None:
        """The descriptor of the manifest that `reference` names, as the registry tells it: nothing is verified.

        Registries that leave out a header are asked for the manifest itself.
        """
        answer = self._ask("HEAD", reference)
        if answer.status == 404:
            return None
        if answer.status != 200:
            self._fail(reference, f"look-up of {reference}", answer)
        media_type = answer.header("content-type").partition(";")[0].strip()
        size = answer.header("content-length")
        digest = _said(answer)
        if not digest or media_type not in MANIFEST_TYPES | INDEX_TYPES or not (size.isascii() and size.isdigit()):
            return self.manifest(reference)[0]
        if reference.digest and reference.digest != digest:
            raise IntegrityError(f"asked for {reference}, the registry offers {digest}")
        return Descriptor(media_type, digest, int(size[:18]))

    def blob(self, reference: Reference, descriptor: Descriptor, taken: Taken | None = None) -> Iterator[bytes]:
        """The blob's bytes in pieces of up to 1 MiB, resumed when the connection breaks; see `download.pull`.

        The iterator holds a connection: let go of it, or close it, when it isn't read to its end.
        """
        from coopery.registry.download import pull

        with closing(pull(self._channel(reference), reference.repository, descriptor, taken)) as pieces:
            for piece in pieces:
                self._moved.pulled(len(piece))
                yield piece

    def has_blob(self, reference: Reference, digest: Digest) -> bool:
        """Whether the repository of `reference` holds the blob."""
        from coopery.registry.stored import has_blob

        return has_blob(self._channel(reference), Scope(reference.repository, ("pull",)), str(digest))

    def push_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        mount_from: Sequence[Reference] = (),
    ) -> BlobOutcome:
        """Put a blob into the repository of `reference`; see `ports.Registry`.

        References of other registries in `mount_from` are passed over. What `open_blob` gives is read once, in
        pieces, verified and closed.
        """
        from coopery.registry.upload import push

        here = [source.repository for source in mount_from if source.registry == reference.registry]
        sources = [source for source in dict.fromkeys(here) if source != reference.repository]
        outcome = push(self._channel(reference), reference.repository, descriptor, open_blob, sources)
        self._moved.placed(reference.name, descriptor.digest, descriptor.size, outcome)
        return outcome

    def push_manifest(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Put a manifest under the tag of `reference`, or under the descriptor's digest if it has no tag.

        If it has a subject, it is among that one's referrers afterwards, whether the registry knows of them or not.
        """
        from coopery.registry.referrers import subject_of
        from coopery.registry.stored import check_digest

        descriptor.digest.check(data, "the manifest to be pushed")
        if len(data) > MAX_MANIFEST_SIZE:
            raise IntegrityError(f"the manifest for {reference} is larger than {MAX_MANIFEST_SIZE} bytes")
        channel = self._channel(reference)
        version = reference.tag or str(descriptor.digest)
        answer = channel.send(
            "PUT",
            f"v2/{reference.repository}/manifests/{version}",
            (Scope(reference.repository, ("pull", "push")),),
            headers={"Content-Type": descriptor.media_type},
            body=lambda: data,
        )
        if answer.status in (200, 201):
            check_digest(channel, descriptor, answer)
            self._moved.pushed(len(data))
        elif not self._already_there(reference, descriptor):
            self._fail(reference, f"push of {reference}", answer)
        subject = subject_of(data)
        if subject and not answer.header("oci-subject"):
            self._referrers(reference).add(subject, descriptor, data)

    def referrers(self, reference: Reference, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """The manifests whose subject is the one that `reference` names (signatures, attestations, SBOMs), only those
        of `artifact_type` if it is given. Each descriptor has its artifact type and annotations."""
        digest = reference.digest
        if not digest:
            top = self.head(reference)
            if not top:
                raise NotFound(f"{reference} isn't there, so nothing refers to it")
            digest = top.digest
        return self._referrers(reference).of(digest, artifact_type)

    def tags(self, reference: Reference) -> Iterator[str]:
        """The tags in the repository of `reference`, asked for as they are read, a page at a time."""
        from coopery.registry.paging import pages, tag_names

        target = f"v2/{reference.repository}/tags/list?n=1000"
        what = f"list of the tags of {reference.name}"
        for answer in pages(self._channel(reference), reference.repository, target, what):
            yield from tag_names(reference.name, answer.body)

    def delete_manifest(self, reference: Reference) -> bool:
        """Delete what `reference` names: with a digest the manifest, with all its tags; else the tag alone.

        Whether there was anything to delete. RegistryError if the registry doesn't delete, or not by tag.
        """
        from coopery.registry.deletion import delete
        from coopery.registry.referrers import subject_of

        channel = self._channel(reference)
        subject = None
        if reference.digest:
            try:
                subject = subject_of(self.manifest(reference)[1])
            except NotFound:
                return False
            except IntegrityError:
                pass  # whatever it is, it can be deleted
        there = delete(channel, reference.repository, f"manifests/{reference.version}", f"deletion of {reference}")
        if subject and reference.digest:
            self._referrers(reference).remove(subject, reference.digest)
        return there

    def delete_blob(self, reference: Reference, digest: Digest) -> bool:
        """Delete a blob from the repository of `reference`; whether there was one.

        RegistryError if the registry doesn't delete.
        """
        from coopery.registry.deletion import delete

        what = f"deletion of blob {digest} from {reference.name}"
        return delete(self._channel(reference), reference.repository, f"blobs/{digest}", what)

    def check_push(self, reference: Reference) -> None:
        """Return if we may push to the repository of `reference`; see `preflight.check_push`."""
        from coopery.registry.preflight import check_push

        check_push(self._channel(reference), reference.repository)

    def _ask(self, method: str, reference: Reference) -> Answer:
        target = f"v2/{reference.repository}/manifests/{reference.version}"
        scopes = (Scope(reference.repository, ("pull",)),)
        answer = self._channel(reference).send(method, target, scopes, headers={"Accept": _ACCEPT})
        self._rate_limits.see(reference.registry, answer.headers)
        return answer

    def _already_there(self, reference: Reference, descriptor: Descriptor) -> bool:
        """Whether a push that was refused is one that had succeeded: its answer got lost, and tags are immutable."""
        try:
            there = self.head(replace(reference, digest=None)) if reference.tag else None
        except CooperyError:
            return False
        return there is not None and there.digest == descriptor.digest

    def _referrers(self, reference: Reference) -> Referrers:
        from coopery.registry.referrers import Referrers

        return Referrers(self._channel(reference), reference.repository, self._writing_referrers)

    def _fail(self, reference: Reference, what: str, answer: Answer) -> NoReturn:
        fail(reference.registry, what, answer)

    def _channel(self, reference: Reference) -> Channel:
        with self._lock:
            channel = self._channels.get(reference.registry)
            if channel is None:
                endpoint = Endpoint.of(reference.registry)
                channel = Channel(endpoint, self._transport, self._credentials, self._clock)
                self._channels[reference.registry] = channel
        return channel


def _said(answer: Answer) -> Digest | None:
    """The digest that an answer says its content has; IntegrityError if that can't be read."""
    text = answer.header("docker-content-digest")
    return Digest.parse(text) if text else None
