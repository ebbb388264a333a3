"""Pushes images and indexes to registries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from coopery.errors import CooperyError, Interrupted, RegistryError, several
from coopery.export.contents import Blob, Contents
from coopery.export.immutable import tag_is_immutable
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.ports import Registry, StepProgress

#: How many blobs are on their way to one registry at once.
CONCURRENCY = 5


#: How often a manifest is pushed whose blobs the registry doesn't find.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one name. `kept`: its tag may not be moved, and still names what it did."""

    reference: Reference
    descriptor: Descriptor
    outcome: Literal["pushed", "up to date", "kept"] = "pushed"


def push(
    registry: Registry,
    contents: Contents,
    references: Sequence[Reference],
    *,
    step: StepProgress,
    mount_from: Sequence[Reference] = (),
    ignore_immutable: Callable[[str], None] | None = None,
    parallel: int = CONCURRENCY,
    places: Callable[[Digest], Sequence[Reference]] = lambda digest: (),
) -> list[Pushed]:
    """Push an image, or an index and its images, under all of `references`, which may be in several repositories and
    registries.

    A name that has the image already costs one look-up. Each blob goes once to each registry: it is mounted where the
    registry has it elsewhere: where `places` knows it to be, in one of `mount_from`, or in a repository served before.
    A repository's manifests come when all its blobs are there, an index when its images are there, which are pushed by
    their digests: a name never changes to something incomplete.
    Registries are served at the same time, and where one fails the others get their image all the same; then the
    failures are raised as one error of the first one's class, with the reason for each name: RegistryError and its
    subclasses, NetworkError, IntegrityError, StorageError.

    A tag that may not be moved is a failure, unless it has the image already; with `ignore_immutable` it is left as
    it is and that is called with a line to show. `parallel` blobs are on their way to one registry at once.
    """
    named = list(dict.fromkeys(reference.or_latest() for reference in references))
    by_host: dict[str, list[Reference]] = {}
    for reference in named:
        by_host.setdefault(reference.registry, []).append(reference)
    pushes = [
        _RegistryPush(
            registry,
            contents,
            names,
            [source for source in mount_from if source.registry == host],
            step,
            ignore_immutable,
            parallel,
            places,
        )
        for host, names in by_host.items()
    ]
    if len(pushes) == 1:
        pushes[0].run()
    else:
        with ThreadPoolExecutor(len(pushes), "coopery-destination") as pool:
            for future in [pool.submit(one.run) for one in pushes]:
                future.result()
    pushed = {item.reference: item for one in pushes for item in one.pushed}
    failures = {name: error for one in pushes for name, error in one.failures.items()}
    if failures:
        listed = [(str(name), failures[name]) for name in named if name in failures]
        raise several(listed, len(named), "destinations")
    return [pushed[name] for name in named]


class _RegistryPush:
    """The push to the names of one registry. It fails name by name, never as a whole."""

    def __init__(
        self,
        registry: Registry,
        contents: Contents,
        names: Sequence[Reference],
        sources: Sequence[Reference],
        step: StepProgress,
        ignore_immutable: Callable[[str], None] | None,
        parallel: int,
        places: Callable[[Digest], Sequence[Reference]],
    ) -> None:
        self._registry = registry
        self._places = places
        self._contents = contents
        # A layer with addresses of its own is not for distribution.
        self._blobs = [blob for blob in contents.blobs if not blob.descriptor.urls]
        self._names = names
        self._sources = sources
        self._step = step
        self._ignore_immutable = ignore_immutable
        self._parallel = parallel
        self._broken: dict[str, CooperyError] = {}  # by repository
        self.pushed: list[Pushed] = []
        self.failures: dict[Reference, CooperyError] = {}

    def run(self) -> None:
        """Do it; `pushed` and `failures` tell the outcome."""
        missing = [name for name in self._names if not self._is_there(name)]
        self._push_blobs([name for name in missing if name not in self.failures])
        for name in missing:
            if name not in self.failures:
                try:
                    self.pushed.append(self._push_manifest(name))
                except CooperyError as error:
                    self._failed(name, error)

    def _is_there(self, name: Reference) -> bool:
        # What a registry lists under the tag it holds whole: then there is nothing to send.
        try:
            found = self._registry.head(name)
        except RegistryError:
            return False  # some may only push; and if not even that, the push is told why
        except CooperyError as error:
            self._failed(name, error)
            return False
        if found is None or found.digest != self._contents.top.descriptor.digest:
            return False
        self._step.status(f"{name}@{found.digest} is up to date")
        self.pushed.append(Pushed(name, found, "up to date"))
        return True

    def _failed(self, name: Reference, error: CooperyError) -> None:
        if isinstance(error, Interrupted):
            raise error
        self.failures[name] = error
        self._step.status(f"{name} failed: {error.message}")

    def _push_blobs(self, names: Sequence[Reference]) -> None:
        """Bring all blobs to the repositories of `names`; what fails is in `_broken`."""
        repositories = list({name.repository: name for name in names}.values())
        blobs = self._blobs
        if not repositories:
            return
        with ThreadPoolExecutor(min(self._parallel, len(blobs)), "coopery-push") as pool:
            _all(pool, [partial(self._push_blob, blob, repositories) for blob in blobs])

    def _push_blob(self, blob: Blob, repositories: Sequence[Reference]) -> None:
        sources = list(self._places(blob.descriptor.digest)) or list(self._sources)
        for reference in repositories:
            if reference.repository in self._broken:
                continue
            others = [source for source in sources if source.repository != reference.repository]
            try:
                outcome = self._registry.push_blob(reference, blob.descriptor, blob.opener, others)
            except CooperyError as error:
                self._broken.setdefault(reference.repository, error)
                continue
            self._step.status(f"{blob.what} {_short(blob.descriptor.digest)} {_OUTCOMES[outcome]} {reference.name}")
            # From now on this repository is the surest place to mount it from.
            sources.insert(0, reference)

    def _push_manifest(self, name: Reference) -> Pushed:
        descriptor = self._contents.top.descriptor
        attempt = 1
        while True:
            if name.repository in self._broken:
                raise self._broken[name.repository]
            try:
                for manifest in self._contents.manifests:
                    untagged = replace(name, tag="", digest=manifest.descriptor.digest)
                    self._registry.push_manifest(untagged, manifest.descriptor, manifest.data)
                self._registry.push_manifest(name, descriptor, self._contents.top.data)
                break
            except RegistryError as error:
                # While others push the same blob, or it was just thrown away for having had no manifest, a registry may
                # miss what it had. Asked for its blobs again, it either has them or gets them.
                if "BLOB_UNKNOWN" not in error.detail or attempt == _ATTEMPTS:
                    return self._kept(name, error)
                attempt += 1
                self._push_blobs([name])
        what = "index" if self._contents.manifests else "manifest"
        self._step.status(f"{what} {descriptor.digest} pushed as {name}")
        return Pushed(name, descriptor)

    def _kept(self, name: Reference, error: RegistryError) -> Pushed:
        """What a refusal means that is only about moving the tag; any other is raised."""
        if not tag_is_immutable(error):
            raise error
        descriptor = self._contents.top.descriptor
        found = self._registry.head(name)
        if found and found.digest == descriptor.digest:  # another push of the same image came first
            return Pushed(name, found, "up to date")
        if self._ignore_immutable is None:
            error.hint = "push under a new tag; --push-ignore-immutable-tag-errors leaves the old image there"
            raise error
        self._ignore_immutable(f"{name} may not be moved and keeps the image that it has")
        return Pushed(name, found or descriptor, "kept")


_OUTCOMES = {"exists": "is already in", "mounted": "mounted into", "uploaded": "uploaded to"}


def _short(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:12]}"


def _all(pool: Executor, work: Sequence[Callable[[], None]]) -> None:
    """Do everything in the pool. If something raises, what hasn't begun is dropped, and it is raised at the end."""
    futures = [pool.submit(one) for one in work]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
    wait(futures)
    for future in done:
        future.result()
