"""What refers to a manifest: OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema".

Registries without the referrers API have an index under a tag made from the subject's digest instead, and it is the
clients who keep it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from coopery.errors import IntegrityError, RegistryError
from coopery.oci.descriptor import OCI_INDEX, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.jsontext import encode_json
from coopery.oci.manifest import MAX_MANIFEST_SIZE, Index, Manifest, parse_manifest
from coopery.registry.answers import failure
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel
from coopery.registry.paging import pages
from coopery.registry.transport import Answer

#: How often an index is written again after somebody else's writing has undone it.
MAX_WRITES = 8

#: What registries that don't know the API's path answer; the specification has 404.
_UNKNOWN_API = (400, 404, 405, 406, 501)


def subject_of(data: bytes) -> Digest | None:
    """The digest of the manifest that the one in `data` refers to; None if it refers to none."""
    if b'"subject"' not in data:
        return None
    value = json.loads(data)
    subject = value.get("subject") if isinstance(value, dict) else None
    return Descriptor.from_json(subject).digest if subject else None


def fallback_tag(subject: Digest) -> str:
    """The tag of the index that lists what refers to `subject`."""
    return f"{subject.algorithm[:32]}-{subject.hex[:64]}"


class Referrers:
    """What refers to the manifests of one repository."""

    def __init__(self, channel: Channel, repository: str, writing: threading.Lock) -> None:
        """`writing` keeps the threads of one client from undoing each other's writing."""
        self._channel = channel
        self._repository = repository
        self._writing = writing

    def of(self, subject: Digest, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """The descriptors of all that refers to `subject`, or of those of one artifact type.

        Empty if nothing does, or if `subject` isn't there. IntegrityError for a malformed list.
        """
        found = self._from_api(subject, artifact_type)
        if found is None:
            found = _entries(self._index(subject))
        return tuple(one for one in found if not artifact_type or one.artifact_type == artifact_type)

    def add(self, subject: Digest, descriptor: Descriptor, data: bytes) -> None:
        """See that the manifest in `data` is listed for `subject` by a registry that doesn't do it by itself."""
        entry = _entry(descriptor, data)

        def listed(manifests: list[Any]) -> list[Any]:
            return manifests if _has(manifests, descriptor.digest) else [*manifests, entry.to_json()]

        self._rewrite(subject, listed)

    def remove(self, subject: Digest, digest: Digest) -> None:
        """See that `digest` is no longer listed for `subject`, as `add`."""
        if self._from_api(subject, "") is None:
            self._rewrite(subject, lambda manifests: [one for one in manifests if one.get("digest") != str(digest)])

    def _from_api(self, subject: Digest, artifact_type: str) -> list[Descriptor] | None:
        """The list as the registry itself keeps it; None if it keeps none."""
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        target = f"v2/{self._repository}/referrers/{subject}{query}"
        found: list[Descriptor] = []
        first = self._channel.send("GET", target, (Scope(self._repository, ("pull",)),))
        if first.status in _UNKNOWN_API:
            return None
        if first.status == 200 and OCI_INDEX not in first.header("content-type"):
            return None  # a web server's own page for whatever it is asked
        for answer in pages(self._channel, self._repository, target, self._what(subject), first):
            found += _entries(answer.body)
        return found

    def _rewrite(self, subject: Digest, change: Callable[[list[Any]], list[Any]]) -> None:
        """Write the subject's index with `change` made to its manifests, until it is seen to have lasted.

        The API has no way to write only what nobody else has written since: another client that read before we wrote
        and writes after we looked still undoes it.
        """
        for attempt in range(MAX_WRITES):
            if attempt > 1:
                self._channel.transport.wait(attempt - 1)
            with self._writing:
                value = json.loads(self._index(subject))
                manifests = value.get("manifests") or []
                changed = change(manifests)
                if changed == manifests:
                    return
                text = json.dumps({**value, "manifests": changed}, indent=2, ensure_ascii=False)
                self._write(subject, encode_json(text))
        raise RegistryError(f"{self._what(subject)}: others write it all the time", hint="try again later")

    def _index(self, subject: Digest) -> bytes:
        """The index under the subject's tag; an empty one if there is none."""
        answer = self._send("GET", subject, headers={"Accept": OCI_INDEX})
        if answer.status == 404:
            return Index(()).serialize()
        if answer.status != 200:
            raise failure(self._channel.endpoint.registry, self._what(subject), answer)
        _entries(answer.body)
        return answer.body

    def _write(self, subject: Digest, data: bytes) -> None:
        if len(data) > MAX_MANIFEST_SIZE:
            raise IntegrityError(f"{self._what(subject)} would be larger than {MAX_MANIFEST_SIZE} bytes")
        answer = self._send("PUT", subject, headers={"Content-Type": OCI_INDEX}, data=data)
        if answer.status not in (200, 201):
            raise failure(self._channel.endpoint.registry, self._what(subject), answer)

    def _send(self, method: str, subject: Digest, headers: dict[str, str], data: bytes | None = None) -> Answer:
        target = f"v2/{self._repository}/manifests/{fallback_tag(subject)}"
        actions = ("pull",) if data is None else ("pull", "push")
        body = None if data is None else (lambda: data)
        return self._channel.send(method, target, (Scope(self._repository, actions),), headers=headers, body=body)

    def _what(self, subject: Digest) -> str:
        return f"list of what refers to {self._repository}@{subject}"


def _entries(data: bytes) -> list[Descriptor]:
    index = parse_manifest(data)
    if not isinstance(index, Index):
        raise IntegrityError("a list of referrers is not an index")
    return list(index.manifests)


def _has(manifests: list[Any], digest: Digest) -> bool:
    return any(one.get("digest") == str(digest) for one in manifests)


def _entry(descriptor: Descriptor, data: bytes) -> Descriptor:
    """The entry for the manifest in `data`: with its annotations, and its artifact type or else its config's type."""
    manifest = parse_manifest(data, descriptor.media_type)
    artifact_type = str(json.loads(data).get("artifactType") or "")
    if not artifact_type and isinstance(manifest, Manifest):
        artifact_type = manifest.config.media_type
    return Descriptor(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        annotations=manifest.annotations,
        artifact_type=artifact_type,
    )
