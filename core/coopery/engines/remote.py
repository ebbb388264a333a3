"""All that a build does with remote caches, opened as its request specifies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from coopery.archive.compress import Codec
from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.cache.remote.protocol import Cache
from coopery.cache.remote.registry import inline_cache
from coopery.engines.account import CacheUse
from coopery.engines.cache_writer import CacheWriter, Target
from coopery.engines.caches import Caches, Source, step_chain
from coopery.engines.pools import Pools
from coopery.engines.uploader import Uploader
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.plan.plan import Plan
from coopery.ports import Progress
from coopery.request import BuildRequest, CacheSpec
from coopery.solver.hits import StageWork
from coopery.solver.layers import Layers

#: Opens the cache that a specification names, for reading or for writing; None for an inline one and, after a warning,
#: where there is no such service.
OpenCache = Callable[[CacheSpec, bool, Callable[[str], None]], Cache | None]


class Remote:
    """The remote caches of one build."""

    def __init__(
        self,
        request: BuildRequest,
        open_cache: OpenCache,
        plans: Sequence[Plan],
        layers: Layers,
        records: LocalRecords,
        uploader: Uploader,
        pools: Pools,
        progress: Progress,
    ) -> None:
        """`plans` have all their stages in common, and each its own target. UsageError for a specification that can't
        be honoured."""
        self._inline = any(spec.type == "inline" for spec in request.cache_to)
        self._layers = layers
        sources = [
            Source(cache, spec.ttl) for spec in request.cache_from if (cache := open_cache(spec, False, progress.warn))
        ]
        targets = []
        for spec in request.cache_to:
            cache = None if spec.type == "inline" else open_cache(spec, True, progress.warn)
            if cache:
                codec = Codec(spec.compression, spec.compression_level) if spec.compression else layers.codec
                targets.append(Target(cache, spec, codec))
        self._caches = Caches(sources, records, layers, pools.resolve, progress)
        self._caches.know(plans[0])
        self._writer = CacheWriter(targets, plans, layers, records, uploader, pools.send, progress)
        self.lookup: Callable[[Digest], CacheRecord | None] = self._caches.lookup
        self.step: Callable[[int, CacheRecord], None] = self._writer.step
        self.settle: Callable[[], None] = self._writer.settle
        self.finish: Callable[[], None] = self._writer.finish
        self.use: Callable[[], Sequence[CacheUse]] = self._caches.use

    def found(self, work: Mapping[int, StageWork]) -> None:
        """What the solver found before it begins to run what it didn't."""
        self._caches.found(work)
        self._writer.found(work, self._caches.origin)

    def inlined(self, plan: Plan, image: Image, outcomes: Sequence[Outcome]) -> Image:
        """The image of the plan's target, with the cache inside if that was asked for."""
        if not self._inline:
            return image
        steps = step_chain(plan, plan.lineage[-1])
        links = {vertex.key: vertex.link for vertex in steps if vertex.link}
        told = [(vertex.key, outcome) for vertex, outcome in zip(steps, outcomes, strict=True)]
        cache = inline_cache(told, str(self._layers.codec), links)
        return Image(replace(image.config, inline_cache=cache), image.layers)
