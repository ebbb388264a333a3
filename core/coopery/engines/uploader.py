"""Sends layers on their way while the build goes on: each is compressed and uploaded as soon as it is archived."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from coopery.errors import CooperyError
from coopery.oci.digest import Digest
from coopery.oci.image import Layer
from coopery.oci.reference import Reference
from coopery.ports import Registry
from coopery.solver.layers import Layers, Once


class Uploader:
    """Compresses the layers of the target stage, and pushes them to where the image will go.

    A failure here is not the build's: the push at the end meets it again, and says so.
    """

    def __init__(self, layers: Layers, registry: Registry, destinations: Sequence[Reference], pool: Executor) -> None:
        """`destinations` are the names to be pushed; one push for each repository among them is enough."""
        self._layers = layers
        self._registry = registry
        self._repositories = list({reference.name: reference for reference in destinations}.values())
        self._pool = pool
        self._lock = threading.Lock()
        self._jobs: list[Future[None]] = []
        self._once: Once[Digest, None] = Once()

    def layer(self, diff_id: Digest) -> None:
        """A layer is in the store: compress it, push it."""
        with self._lock:
            self._jobs.append(self._pool.submit(self._once.get, diff_id, lambda: self._send(diff_id)))

    def base(self, layers: Sequence[Layer], source: Reference) -> None:
        """The base image's layers: mounted from where `source` lies in the same registry, be it as a mirror."""
        places = self._layers.places(source)
        registries = {place.registry for place in places}
        near = [reference for reference in self._repositories if reference.registry in registries]
        for layer in layers if near else ():
            with self._lock:
                self._jobs.append(self._pool.submit(self._mount, layer, source, places, near))

    def sent(self, diff_id: Digest, registry: str) -> Sequence[Reference]:
        """The destinations in `registry`, once the layer is there; none if it can't be brought there."""
        near = [reference for reference in self._repositories if reference.registry == registry]
        if near:
            try:
                self._once.get(diff_id, lambda: self._send(diff_id))
            except CooperyError:
                return ()
        return near

    def finish(self) -> None:
        """Wait until everything that was begun has come to an end."""
        while True:
            with self._lock:
                jobs, self._jobs = self._jobs, []
            if not jobs:
                return
            for job in jobs:
                job.exception()

    def _send(self, diff_id: Digest) -> None:
        layer = self._layers.encode(diff_id)
        digest = layer.descriptor.digest
        for reference in self._repositories:
            places = self._layers.offers.places(digest)
            self._registry.push_blob(reference, layer.descriptor, lambda: self._layers.open_blob(digest), places)

    def _mount(self, layer: Layer, source: Reference, places: Sequence[Reference], near: Sequence[Reference]) -> None:
        for reference in near:
            try:
                self._registry.push_blob(
                    reference,
                    layer.descriptor,
                    lambda: self._layers.open_base_blob(layer.descriptor, source),
                    places,
                )
            except CooperyError:
                return
