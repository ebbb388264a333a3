"""Puts a build together: the only file that names concrete classes. A new sandbox, cache or engine is a line here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coopery.cache.layout import cache_root
from coopery.cache.store import Store
from coopery.credentials.providers import default_provider
from coopery.engines.native import BuildReport, NativeEngine
from coopery.errors import EnvironmentUnsuitable
from coopery.ports import Progress, Registry, Sandbox, Snapshotter, Source
from coopery.registry.client import RegistryClient
from coopery.registry.mirrors import Mirrored
from coopery.registry.settings import RegistrySettings
from coopery.registry.transport import CONNECTIONS, Transport
from coopery.request import BuildRequest
from coopery.sandbox.enter import Entered

if TYPE_CHECKING:
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
) -> Iterator[tuple[Source, Registry]]:
    """What images are pulled from and what they are pushed to, as `registries` says they are reached; `parallel` blobs
    may be on their way to one host at once. `mask` is told each secret of a credential before it is used,
    `notice` what users should know: a mirror that fails, or that a registry grants few more pulls.
    """
    transport = Transport(settings=registries, connections=max(CONNECTIONS, parallel))
    client = RegistryClient(default_provider(environ, mask), transport=transport, notice=notice)
    try:
        yield Mirrored(client, registries, notice), client
    finally:
        client.close()


def build(
    request: BuildRequest,
    entered: Entered,
    progress: Progress,
    environ: Mapping[str, str],
    mask: Callable[[bytes], None],
    registries: RegistrySettings,
) -> BuildReport:
    """Carry out `request` in a process that has entered its namespaces (`sandbox.enter`).

    `mask` is told each secret value before it can be printed; `registries` says how registries are reached.
    CooperyError of the class that fits on failure.
    """
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(cache_root(environ)))
        source, client = stack.enter_context(
            registry_access(environ, registries, request.parallel, mask, progress.warn)
        )
        workshop = Workshop(entered, store, request, progress, stack)
        return NativeEngine(store, source, client, workshop, environ, mask).build(request, progress)
