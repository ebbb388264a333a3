"""What a remote cache is to the rest: one small protocol, whatever lies behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, Protocol

from coopery.cache.remote.record import RemoteRecord
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference


class MayNotWrite(Exception):
    """The cache is there to be read only, for this job; the text says why."""


class Cache(Protocol):
    """Step records under their keys, and the blobs of their layers. Safe to use from any thread.

    Everywhere: NetworkError and RegistryError when it can't be reached or is in trouble, IntegrityError for what it
    shouldn't hold.
    """

    name: str  # for people: `registry r.example/cache`
    identity: str  # equal for two specifications of one place

    @property
    def place(self) -> Reference | None:
        """The repository that holds the blobs, if it is one of a registry: they can be mounted from there."""

    def lookup(self, key: Digest) -> RemoteRecord | None:
        """The record under `key`, or None. What it says is checked for form, not for truth."""

    def blob(self, layer: Descriptor) -> Iterator[bytes]:
        """The blob's bytes in pieces; NotFound if it is gone, IntegrityError at the end if it isn't what `layer`
        says."""

    def put_blob(
        self, layer: Descriptor, open_blob: Callable[[], BinaryIO], mount_from: Sequence[Reference] = ()
    ) -> Literal["exists", "mounted", "uploaded"]:
        """Keep a blob, unless it is here already. MayNotWrite."""

    def put_record(self, record: RemoteRecord, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
        """Keep a record, whose blobs are here, under its key in place of any that is there. MayNotWrite.

        `open_blob` opens one of the blobs, should it have gone meanwhile."""

    def touch(self, key: Digest) -> None:
        """The record under `key` was of use: where things are removed by their age, it and its blobs become younger.
        Never raises."""

    def refuse(self, layer: Descriptor) -> None:
        """The blob turned out not to be what it should: `put_blob` won't take it for being here."""
