"""Puts a build together: the only file that names concrete classes. A new sandbox, cache or engine is a line here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from coopery.cache.layout import cache_root
from coopery.cache.store import Store
from coopery.credentials.providers import NO_LOGINS, Chain, Logins, default_provider
from coopery.engines.account import BuildReport
from coopery.engines.native import NativeEngine
from coopery.errors import EnvironmentUnsuitable
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import CredentialProvider, Progress, Registry, Sandbox, Snapshotter, Source
from coopery.registry.client import RegistryClient
from coopery.registry.mirrors import Mirrored
from coopery.registry.settings import RegistrySettings
from coopery.registry.traffic import Counter
from coopery.registry.transport import CONNECTIONS, Transport
from coopery.request import OBJECT_STORES, BuildRequest, CacheSpec, CacheType
from coopery.sandbox.enter import Entered
from coopery.solver.secrets import Secrets

if TYPE_CHECKING:
    from coopery.cache.remote.protocol import Cache
    from coopery.engines.checking import Checked
    from coopery.snapshot.scratch import Scratch

#: Makes a sandbox for how this process stands to the kernel.
SandboxMaker = Callable[[Entered], Sandbox]
#: Makes a snapshotter that works in a scratch directory.
SnapshotterMaker = Callable[[Entered, Store, str], Snapshotter]


def _namespaces(entered: Entered) -> Sandbox:
    from coopery.sandbox.namespaces import NamespaceSandbox

    return NamespaceSandbox(entered)


def _chroot(_: Entered) -> Sandbox:
    from coopery.sandbox.chroot import ChrootSandbox

    return ChrootSandbox()


def _overlay(entered: Entered, store: Store, scratch: str) -> Snapshotter:
    from coopery.snapshot.overlay import OverlaySnapshotter

    return OverlaySnapshotter(mode=entered.mode, derived=store, scratch=scratch)


def _scan(entered: Entered, _: Store, scratch: str) -> Snapshotter:
    from coopery.snapshot.scan import ScanSnapshotter

    return ScanSnapshotter(mode=entered.mode, scratch=scratch)


@dataclass(frozen=True, slots=True)
class Rung:
    """A way of running commands: a sandbox and the snapshotter that fits it."""

    name: str
    sandbox: SandboxMaker
    snapshotter: SnapshotterMaker


#: In order of preference; each is tried for real before it is used.
LADDER: Sequence[Rung] = (
    Rung("namespaces with overlay", _namespaces, _overlay),
    Rung("namespaces with scans", _namespaces, _scan),
    Rung("chroot with scans", _chroot, _scan),
)
#: Which rungs `--isolation` leaves; every other value names a kind of namespace for the first ones.
_CHROOT_ONLY = "chroot"


class Workshop:
    """How commands run on this machine, found out when the first one has to. Safe to use from any thread."""

    def __init__(
        self, entered: Entered, store: Store, request: BuildRequest, progress: Progress, stack: contextlib.ExitStack
    ) -> None:
        """`stack` takes what has to be undone after the build."""
        self._entered = entered
        self._store = store
        self._request = request
        self._progress = progress
        self._stack = stack
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._snapshotters: tuple[Snapshotter, ...] = ()
        self._scratch: Scratch | None = None

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox that was chosen. EnvironmentUnsuitable if none can be used."""
        self._choose()
        assert self._sandbox is not None
        return self._sandbox

    @property
    def snapshotters(self) -> Sequence[Snapshotter]:
        """The chosen rung's snapshotter, and one on disk if the first works on memory."""
        self._choose()
        return self._snapshotters

    @property
    def private_mounts(self) -> bool:
        """Whether this process has a mount namespace of its own."""
        return self._entered.mode != "none"

    def scratch_is_full(self) -> bool:
        """Whether the scratch space on memory has run out."""
        return self._scratch is not None and self._scratch.kind == "memory" and self._scratch.is_full()

    def obstacles(self, platforms: Sequence[Platform]) -> Mapping[Platform, str]:
        """Why commands for each of `platforms` can't be run here, empty where they can."""
        from coopery.sandbox.foreign import obstacles

        return obstacles(platforms, self._store.tmp)

    def _choose(self) -> None:
        from coopery.snapshot.scratch import scratch_space

        with self._lock:
            if self._sandbox is not None:
                return
            wanted, mode, refused = self._request.scratch, self._entered.mode, list(self._entered.refused)
            for rung in LADDER:
                if self._request.isolation == _CHROOT_ONLY and rung.sandbox is not _chroot:
                    continue
                sandbox = rung.sandbox(self._entered)
                reason = sandbox.probe()
                if reason is None:
                    # Roots that are scanned are copies of the whole image: those belong on disk.
                    place = wanted if rung.snapshotter is _overlay else "disk" if wanted == "auto" else wanted
                    scratch = self._stack.enter_context(scratch_space(place, disk=self._store.tmp, mode=mode))
                    snapshotter = rung.snapshotter(self._entered, self._store, scratch.path)
                    self._stack.callback(_close, snapshotter)
                    reason = snapshotter.probe()
                    if reason is None:
                        self._use(rung, sandbox, snapshotter, scratch)
                        return
                refused.append(f"{rung.name}: {reason}")
            raise EnvironmentUnsuitable(
                "no way of running commands works on this machine:\n  " + "\n  ".join(refused),
                hint="`coopery doctor` says what would have to change",
            )

    def _use(self, rung: Rung, sandbox: Sandbox, snapshotter: Snapshotter, scratch: Scratch) -> None:
        snapshotters = [snapshotter]
        if scratch.kind == "memory":
            on_disk = rung.snapshotter(self._entered, self._store, self._store.tmp)
            self._stack.callback(_close, on_disk)
            snapshotters.append(on_disk)
        self._scratch = scratch
        self._snapshotters = tuple(snapshotters)
        self._sandbox = sandbox
        if sandbox.caveat:
            self._progress.warn(sandbox.caveat)
        step = self._progress.step("[internal] choose isolation")
        step.start()
        step.status(f"{rung.name} ({self._entered.mode}), scratch on {scratch.kind}")
        step.done()


def _close(snapshotter: Snapshotter) -> None:
    close = getattr(snapshotter, "close", None)
    if close:
        close()


def probe_ladder(entered: Entered, environ: Mapping[str, str]) -> tuple[tuple[str, str | None], ...]:
    """Every rung, with the reason why it can't be used here or None; each is tried for real."""
    results: list[tuple[str, str | None]] = []
    with Store(cache_root(environ)) as store:
        for rung in LADDER:
            reason = rung.sandbox(entered).probe()
            if reason is None:
                snapshotter = rung.snapshotter(entered, store, store.tmp)
                reason = snapshotter.probe()
                _close(snapshotter)
            results.append((rung.name, reason))
    return tuple(results)


@contextlib.contextmanager
def registry_access(
    environ: Mapping[str, str],
    registries: RegistrySettings,
    parallel: int = CONNECTIONS,
    mask: Callable[[bytes], None] | None = None,
    notice: Callable[[str], None] = lambda text: None,
    logins: Logins = NO_LOGINS,
) -> Iterator[tuple[Source, Registry]]:
    """What images are pulled from and what they are pushed to, as `registries` says they are reached; `parallel` blobs
    may be on their way to one host at once. `mask` is told each secret of a credential before it is used,
    `notice` what users should know: a mirror that fails, or that a registry grants few more pulls. `logins` come
    before those that docker and podman know.
    """
    with _clients(environ, registries, parallel, mask, notice, logins) as (reader, client):
        yield Mirrored(reader, registries, notice), client


@contextlib.contextmanager
def _clients(
    environ: Mapping[str, str],
    registries: RegistrySettings,
    parallel: int,
    mask: Callable[[bytes], None] | None,
    notice: Callable[[str], None],
    logins: Logins,
) -> Iterator[tuple[RegistryClient, RegistryClient]]:
    """The clients with the logins for pulls and with those for pushes: one and the same if the logins are."""
    transport = Transport(settings=registries, connections=max(CONNECTIONS, parallel))
    known, moved = default_provider(environ), Counter()

    def client_with(first: Sequence[CredentialProvider]) -> RegistryClient:
        return RegistryClient(Chain([*first, known], mask), transport=transport, notice=notice, moved=moved)

    client = client_with(logins.push)
    reader = client if logins.pull == logins.push else client_with(logins.pull)
    try:
        yield reader, client
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class CacheMeans:
    """What a remote cache may need to be opened."""

    registry: Registry
    request: BuildRequest
    environ: Mapping[str, str]
    registries: RegistrySettings
    mask: Callable[[bytes], None]
    notice: Callable[[str], None]


def _registry_cache(spec: CacheSpec, means: CacheMeans) -> Cache | None:
    from coopery.cache.remote.registry import RegistryCache

    return RegistryCache(means.registry, Reference.parse(spec.ref), means.request.platforms)


def _directory_cache(spec: CacheSpec, _: CacheMeans) -> Cache | None:
    from coopery.cache.remote.directory import DirectoryCache

    return DirectoryCache(spec.path)


def _gha_cache(spec: CacheSpec, means: CacheMeans) -> Cache | None:
    from coopery.cache.gha import cache_of_job

    transport = Transport(settings=means.registries, connections=max(CONNECTIONS, 2 * means.request.parallel))
    return cache_of_job(spec, means.environ, transport, means.mask, means.notice)


def _object_cache(spec: CacheSpec, means: CacheMeans) -> Cache | None:
    from coopery.cache.object_stores import open_objects

    return open_objects(spec, means.environ, means.mask)


#: How a cache of each type is opened; `inline` is written with the image and read from a registry.
_CACHES: Mapping[CacheType, Callable[[CacheSpec, CacheMeans], Cache | None]] = {
    "registry": _registry_cache,
    "local": _directory_cache,
    "gha": _gha_cache,
    "inline": lambda spec, means: None,
    **dict.fromkeys(OBJECT_STORES, _object_cache),
}


def check(
    request: BuildRequest,
    progress: Progress,
    environ: Mapping[str, str],
    mask: Callable[[bytes], None],
    registries: RegistrySettings,
) -> Checked:
    """Check the Dockerfile of `request` without building it; see `engines.checking.check`."""
    from coopery.engines import checking

    with reading(request, progress, environ, mask, registries) as means:
        return checking.check(request, *means)


@contextlib.contextmanager
def reading(
    request: BuildRequest,
    progress: Progress,
    environ: Mapping[str, str],
    mask: Callable[[bytes], None],
    registries: RegistrySettings,
) -> Iterator[tuple[Store, Source, Progress, Secrets]]:
    """What it takes to look at a build without doing it (`engines.checking`, `engines.forecast`)."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(cache_root(environ)))
        access = registry_access(environ, registries, mask=mask, notice=progress.warn)
        source, _ = stack.enter_context(access)
        yield store, source, progress, Secrets(request.secrets, environ, mask)


def build(
    request: BuildRequest,
    entered: Entered,
    progress: Progress,
    environ: Mapping[str, str],
    mask: Callable[[bytes], None],
    registries: RegistrySettings,
    logins: Logins = NO_LOGINS,
    private: Mapping[str, str] = MappingProxyType({}),
) -> BuildReport:
    """Carry out `request` in a process that has entered its namespaces (`sandbox.enter`).

    `mask` is told each secret value before it can be printed; `registries` says how registries are reached, `logins`
    who we are there before docker's and podman's files are asked. `private` has variables for the request's secrets
    that no other program gets to see. CooperyError of the class that fits on failure.
    """
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(cache_root(environ)))
        reader, client = stack.enter_context(
            _clients(environ, registries, request.parallel, mask, progress.warn, logins)
        )
        source = Mirrored(reader, registries, progress.warn)
        workshop = Workshop(entered, store, request, progress, stack)

        def open_cache(spec: CacheSpec, writing: bool, notice: Callable[[str], None]) -> Cache | None:
            registry = client if writing else reader
            return _CACHES[spec.type](spec, CacheMeans(registry, request, environ, registries, mask, notice))

        variables = {**environ, **private}
        return NativeEngine(store, source, client, workshop, variables, mask, open_cache).build(request, progress)
