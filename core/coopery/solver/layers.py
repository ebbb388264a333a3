"""Layers on their ways: from a registry into the store, from a step into the store, from the store into a blob."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import BinaryIO, Generic, TypeVar

from coopery.archive.compress import Codec, compress_file
from coopery.archive.hashing import HashingWriter
from coopery.cache.records import LocalRecords
from coopery.cache.store import Store
from coopery.errors import IntegrityError, NetworkError, RegistryError, StorageError
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Layer, chain_ids
from coopery.oci.reference import Reference
from coopery.ports import Change, Source, StepProgress, StoredLayer
from coopery.progress.amounts import human_size
from coopery.solver.offers import LayerLost, Offer, Offers
from coopery.tree.entry import Entry
from coopery.tree.tree import Tree

_READ = 1 << 20
_LARGEST_LAYER = 1 << 40  # bytes unpacked: beyond is a decompression bomb, not an image
#: What shows that a remote cache doesn't have what it offers.
_WORTHLESS = (IntegrityError, NetworkError, RegistryError)

K = TypeVar("K")
V = TypeVar("V")


class Once(Generic[K, V]):
    """Does a piece of work once for each key, however many threads ask at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[K, Future[V]] = {}

    def get(self, key: K, work: Callable[[], V]) -> V:
        """The result of `work`, by this thread or by the one that came first. A failure is everybody's."""
        with self._lock:
            future = self._futures.get(key)
            mine = future is None
            if future is None:
                future = self._futures[key] = Future()
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def forget(self, which: Callable[[K], bool]) -> None:
        """Do the work of those keys again when it is asked for next."""
        with self._lock:
            for key in [key for key in self._futures if which(key)]:
                del self._futures[key]


class Layers:
    """All that a build does with layers. Safe to use from any thread."""

    def __init__(
        self,
        store: Store,
        records: LocalRecords,
        registry: Source,
        codec: Codec,
        pool: Executor,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`pool` is where blocks are compressed; nothing that runs in it waits for anything else in it. `warn` is told
        of what remote caches offer and shouldn't."""
        self._store = store
        self._records = records
        self._registry = registry
        self._pool = pool
        self.codec = codec
        self.offers = Offers(warn)
        self._stored: Once[Digest, StoredLayer] = Once()
        self._pulls: Once[Digest, threading.Lock] = Once()
        self._encoded: Once[tuple[Digest, Codec], Layer] = Once()
        self._trees: Once[Digest, Tree] = Once()

    # ------------------------------------------------------------------------------------------------ base images

    def fetch(self, layer: Layer, source: Reference, progress: StepProgress | None = None) -> StoredLayer:
        """The uncompressed layer in the store; downloaded from `source`'s repository if need be."""

        def work() -> StoredLayer:
            found = self._store.layer(layer.diff_id, _scan_file)
            return found or self._unpack(layer, source, progress)

        return self._stored.get(layer.diff_id, work)

    def _unpack(self, layer: Layer, source: Reference, progress: StepProgress | None) -> StoredLayer:
        hint = "the image is damaged in its registry: push it again"
        return self._unpacked(layer, lambda: self._pull(layer.descriptor, source, progress), f"of {source}", hint)

    def _unpacked(self, layer: Layer, pull: Callable[[], Iterator[bytes]], whose: str, hint: str) -> StoredLayer:
        from coopery.archive.decompress import decompress
        from coopery.archive.tar_reader import TarScanner

        descriptor = layer.descriptor
        with self._store.stage() as tar:
            writer, scanner = HashingWriter(tar.write), TarScanner()
            # Closed at once if this fails: it holds a lock that others wait for.
            with contextlib.closing(self._blob(descriptor, pull)) as blob:
                for piece in decompress(blob, descriptor.media_type, max_output=_LARGEST_LAYER):
                    writer.write(piece)
                    scanner.feed(piece)
            entries = scanner.finish()
            if writer.digest != layer.diff_id:
                raise IntegrityError(
                    f"layer {descriptor.digest} {whose} unpacks to {writer.digest}, but it should be {layer.diff_id}",
                    hint=hint,
                )
            return self._store.put_layer(tar, layer.diff_id, entries)

    def _pull(self, descriptor: Descriptor, source: Reference, progress: StepProgress | None) -> Iterator[bytes]:
        if progress:
            progress.status(f"pulling {descriptor.digest} ({human_size(descriptor.size)})")
        return self._registry.blob(source, descriptor)

    def _blob(self, descriptor: Descriptor, pull: Callable[[], Iterator[bytes]]) -> Generator[bytes, None, None]:
        """The blob's bytes, from the store or, by what `pull` gives, into the store."""
        # Unpacking and pushing may want the same blob at the same time: it is downloaded once.
        with self._pulls.get(descriptor.digest, threading.Lock):
            if not self._store.has_blob(descriptor):
                with self._store.stage() as blob:
                    for piece in pull():
                        blob.write(piece)
                        yield piece
                    blob.publish(self._store.blob_path(descriptor.digest))
                return
        with self._store.open_blob(descriptor.digest) as file:
            while piece := file.read(_READ):
                yield piece

    def places(self, source: Reference) -> Sequence[Reference]:
        """Where the layers of `source` may lie: blobs can be mounted from there."""
        return self._registry.places(source)

    def open_base_blob(self, descriptor: Descriptor, source: Reference) -> BinaryIO:
        """A base's blob as transported, downloaded from `source`'s repository if need be."""
        if not self._store.has_blob(descriptor):
            for _ in self._blob(descriptor, lambda: self._pull(descriptor, source, None)):
                pass
        return self._store.open_blob(descriptor.digest)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A blob that `encode` gave, downloaded if only a remote cache has it. LayerLost if that doesn't."""
        while offer := self.offers.of_blob(digest):
            if self._store.has_blob(offer.layer.descriptor):
                break
            try:
                self._take(offer)  # unpacked, too: no bytes pass through here that aren't the layer they are said to be
            except _WORTHLESS as error:
                self.offers.refuse(offer, error)
                if self.offers.is_lost(offer.layer.diff_id):
                    raise LayerLost(error.message) from error
        return self._store.open_blob(digest)

    def temporary(self) -> str:
        """A path for a file of this build alone."""
        return self._store.temporary()

    # ------------------------------------------------------------------------------------------------ steps' layers

    def archive(self, change: Change) -> StoredLayer:
        """The layer that a step's change makes, in the store. A step that changed nothing has an empty layer, as
        Docker gives it."""
        from coopery.archive.tar_writer import write_layer

        with self._store.stage() as tar:
            writer = HashingWriter(tar.write)
            entries = write_layer(change, writer.write)
            stored = self._store.put_layer(tar, writer.digest, entries)
        return self._stored.get(stored.diff_id, lambda: stored)

    def stored(self, diff_id: Digest) -> StoredLayer:
        """A layer that a record promised, downloaded if only a remote cache has it; StorageError if it has gone
        meanwhile, LayerLost if it can't be had from there."""

        def work() -> StoredLayer:
            found = self._store.layer(diff_id, _scan_file) or self._offered(diff_id)
            if found is None and self.offers.is_lost(diff_id):
                raise LayerLost(f"no cache has layer {diff_id} any more")
            if found is None:
                raise StorageError(f"layer {diff_id} has left the cache during the build", hint="run the build again")
            return found

        return self._stored.get(diff_id, work)

    def _offered(self, diff_id: Digest) -> StoredLayer | None:
        while offer := self.offers.of_layer(diff_id):
            try:
                return self._take(offer)
            except _WORTHLESS as error:
                self.offers.refuse(offer, error)
        return None

    def _take(self, offer: Offer) -> StoredLayer:
        pull, whose = partial(self.offers.pieces, offer), f"of {offer.cache.name}"
        stored = self._unpacked(offer.layer, pull, whose, "its step is run again")
        self._records.store_coded(stored.diff_id, offer.coding, offer.layer.descriptor)
        return stored

    def is_here(self, diff_id: Digest) -> bool:
        """Whether the layer needs no downloading."""
        return self._store.has_layer(diff_id)

    def encode(self, diff_id: Digest, codec: Codec | None = None) -> Layer:
        """The layer as a blob under `codec`, or this build's. It is in the store, or on offer by a remote cache."""
        codec = codec or self.codec
        return self._encoded.get((diff_id, codec), lambda: Layer(self._coded(diff_id, codec), diff_id))

    def _coded(self, diff_id: Digest, codec: Codec) -> Descriptor:
        name = str(codec)
        descriptor = self._records.coded(diff_id, name)
        if descriptor:
            return descriptor
        offer = self.offers.of_layer(diff_id)
        if offer and offer.coding == name and offer.layer.descriptor.media_type == codec.media_type:
            return offer.layer.descriptor
        with self._store.stage() as blob:
            digest, size = compress_file(self.stored(diff_id).tar, blob.write, codec, self._pool)
            blob.publish(self._store.blob_path(digest))
        descriptor = Descriptor(codec.media_type, digest, size)
        self._records.store_coded(diff_id, name, descriptor)
        return descriptor

    def recover(self) -> bool:
        """Forget what was built on layers that remote caches offered in vain; whether there were any."""
        lost = set(self.offers.take_lost())
        self._stored.forget(lambda diff_id: diff_id in lost)
        self._encoded.forget(lambda key: key[0] in lost)
        return bool(lost)

    # ------------------------------------------------------------------------------------------------ trees

    def tree(self, layers: Sequence[StoredLayer]) -> Tree:
        """The merged tree of a stack of layers."""
        if not layers:
            return Tree.empty()
        chain = chain_ids([layer.diff_id for layer in layers])

        def work() -> Tree:
            return self.tree(layers[:-1]).apply(layers[-1].entries, layers[-1].diff_id)

        return self._trees.get(chain[-1], work)


def _scan_file(tar: str) -> tuple[Entry, ...]:
    from coopery.archive.tar_reader import scan_file

    return scan_file(tar)
