"""References → images, with what is known from earlier builds: an unchanged tag costs one small request."""

from __future__ import annotations

import hashlib
from typing import Any

from coopery.cache.store import Store
from coopery.engines.layouts import parse_name
from coopery.errors import CooperyError, IntegrityError, NetworkError
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image, Layer
from coopery.oci.manifest import Manifest, parse_manifest
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.plan.plan import BaseImage
from coopery.ports import Fetched, Progress, Source
from coopery.registry.fetch import fetch_image
from coopery.solver.layers import Once


class Images:
    """Resolves each reference once in a build, for all platforms by the same index. Safe to use from any thread."""

    def __init__(self, store: Store, registry: Source, progress: Progress, *, pull: bool, titled: bool = False) -> None:
        """With `pull` a registry that doesn't answer is an error in any case. `titled` steps say for which platform
        they are."""
        self._store = store
        self._registry = registry
        self._progress = progress
        self._pull = pull
        self._titled = titled
        self._once: Once[tuple[str, Platform], BaseImage] = Once()
        self._first: Once[Reference, tuple[Platform, Fetched]] = Once()

    def get(self, name: str, platform: Platform) -> BaseImage:
        """The image that `name` means for `platform`. UsageError if it isn't a reference; the registry's errors."""
        return self._once.get((name, platform), lambda: self._resolve(name, platform))

    def _resolve(self, name: str, wanted: Platform) -> BaseImage:
        reference = parse_name(name).or_latest()
        title = f"{wanted} internal" if self._titled else "internal"
        step = self._progress.step(f"[{title}] load metadata for {reference}")
        step.start()
        try:
            # A tag may move at any time: the platforms after the first one look into the index that this one found.
            first, fetched = self._first.get(reference, lambda: (wanted, self._fetch(reference, wanted)))
            if first != wanted:
                fetched = self._fetch(fetched.reference, wanted)
            image = image_of(fetched)
        except CooperyError as error:
            step.failed(error.message)
            raise
        step.done()
        return BaseImage(name, image, fetched)

    def _fetch(self, reference: Reference, platform: Platform) -> Fetched:
        known = self._known(reference, platform)
        if known and reference.digest:
            return known
        try:
            current = self._registry.head(reference) if known else None
            if known and current and current.digest == known.top.digest:
                return known
            fetched = fetch_image(self._registry, reference, platform)
        except NetworkError as error:
            if known is None or self._pull:
                raise
            self._progress.warn(f"{error.message}; going on with {known.reference} from the cache")
            return known
        self._remember(reference, platform, fetched)
        return fetched

    def _known(self, reference: Reference, platform: Platform) -> Fetched | None:
        value: Any = self._store.read_document("images", _document(reference, platform))
        try:
            top, manifest = Descriptor.from_json(value["top"]), Descriptor.from_json(value["manifest"])
            manifest_data = self._store.read_blob(manifest.digest)
            config_data = self._store.read_blob(Digest.parse(value["config"]))
        except (TypeError, KeyError, IntegrityError):
            return None
        if manifest_data is None or config_data is None:
            return None
        return Fetched(reference.at(top.digest), top, manifest, manifest_data, config_data)

    def _remember(self, reference: Reference, platform: Platform, fetched: Fetched) -> None:
        self._store.put_blob(fetched.manifest_data)
        config = self._store.put_blob(fetched.config_data)
        value = {
            "reference": str(reference),
            "top": fetched.top.to_json(),
            "manifest": fetched.manifest.to_json(),
            "config": str(config),
        }
        self._store.write_document("images", _document(reference, platform), value)


def _document(reference: Reference, platform: Platform) -> str:
    return hashlib.sha256(f"{reference} {platform}".encode()).hexdigest()


def image_of(fetched: Fetched) -> Image:
    """The image value of what was fetched; IntegrityError if its parts don't fit together."""
    manifest = parse_manifest(fetched.manifest_data, fetched.manifest.media_type)
    config = ImageConfig.parse(fetched.config_data)
    if not isinstance(manifest, Manifest):
        raise IntegrityError(f"{fetched.reference} is an index where an image was expected")
    if manifest.config.digest != Digest.of(fetched.config_data):
        raise IntegrityError(f"the configuration of {fetched.reference} isn't the one its manifest names")
    if len(manifest.layers) != len(config.diff_ids):
        raise IntegrityError(
            f"{fetched.reference} has {len(manifest.layers)} layers, but its configuration lists "
            f"{len(config.diff_ids)}",
            hint="it may be an artifact rather than an image",
        )
    layers = tuple(Layer(layer, diff_id) for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True))
    return Image(config, layers)
