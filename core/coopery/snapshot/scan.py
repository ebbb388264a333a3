"""Root file systems as plain directories, for where nothing can be mounted: changes are found by comparing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from coopery.archive.extract import extract
from coopery.errors import StorageError
from coopery.ports import Capture, Change, Opener, StoredLayer, Workspace
from coopery.snapshot.attributes import Owners, shown_owner
from coopery.snapshot.compare import Difference, Recording, read_difference, record
from coopery.snapshot.directories import make_directory, remove_tree
from coopery.snapshot.levels import Level
from coopery.snapshot.owners import recall_owners
from coopery.snapshot.scratch import Mode
from coopery.tree.entry import Entry


class ScanSnapshotter:
    """Unpacks all layers into one directory in `scratch`; a step's change is what differs afterwards in any file's
    status. `scratch` may be set anew at any time: later checkouts go there. Safe to use from several threads, a
    workspace from one at a time."""

    name = "scan"
    mounts = False

    def __init__(self, *, mode: Mode, scratch: str) -> None:
        self.mode = mode
        self.scratch = scratch
        self._empty = Level()

    def probe(self) -> str | None:
        """Why root file systems can't be unpacked in the scratch space, or None."""
        try:
            remove_tree(make_directory(self.scratch, "probe"))
        except StorageError as error:
            return error.message
        return None

    @contextlib.contextmanager
    def checkout(self, layers: Sequence[StoredLayer], *, bare: bool = False) -> Iterator[Workspace]:
        """A workspace whose root holds `layers`, lowest first; see ports.Snapshotter.

        StorageError, IntegrityError for layers that can't be unpacked.
        """
        root = make_directory(self.scratch, "root")
        try:
            workspace = ScanWorkspace(root, self._empty, self.mode, bare=bare)
            for layer in layers:
                workspace.apply(layer)
            yield workspace
        finally:
            remove_tree(root)

    def unpack(self, layer: StoredLayer, directory: str) -> None:
        """See ports.Snapshotter."""
        ScanWorkspace(directory, self._empty, self.mode, bare=True).apply(layer)

    def close(self) -> None:
        """Nothing is kept beyond the workspaces."""


class ScanWorkspace:
    """See ports.Workspace."""

    def __init__(self, root: str, level: Level, mode: Mode, *, bare: bool) -> None:
        privileged = mode == "mnt" or (mode == "none" and os.geteuid() == 0)
        self._bare = bare
        self._devices = privileged
        self._chown = privileged or mode in ("full", "sub")
        self._root = root
        self._level = level
        self._before: Recording | None = None  # None: not used since it last had a known state
        self._dead = False
        self.uses = 0

    @property
    def rootfs(self) -> str:
        """The root directory, always the same. What every file looks like is recorded when it is first asked for."""
        self._use()
        if self._before is None and not self._bare:
            self._before = record(self._root)
        return self._root

    def commit(self) -> Capture:
        """See ports.Workspace. The capture isn't frozen: read it before anything else is done here."""
        self._use()
        difference = None
        if self._before is not None:
            after = record(self._root)
            difference = Difference(self._before, after)
            self._before = after
        # Where nothing can be given away, all belongs to whoever builds.
        owners = shown_owner if self._chown else recall_owners(self._level.entry, os.geteuid(), os.getegid())
        capture = ScanCapture(self, self._root, difference, self._level, owners)
        if difference:
            self._level = capture.level
        return capture

    def discard(self) -> None:
        """See ports.Workspace. What a failed step did can't be undone here: the workspace is of no use afterwards."""
        self._use()
        if self._before is not None:
            self._dead = True

    def apply(self, layer: StoredLayer) -> None:
        """See ports.Workspace. There must be no change that wasn't committed."""
        self._use()
        level = self._level.child(layer)
        extract(layer.tar, level.normalised(), self._root, chown=self._chown, devices=self._devices)
        self._level = level
        self._before = None

    def _use(self) -> None:
        if self._dead:
            raise StorageError("the root file system of a failed step can't be used again", hint="start the stage anew")
        self.uses += 1


class ScanCapture:
    """The paths that a step changed. See ports.Capture."""

    frozen = False

    def __init__(
        self, workspace: ScanWorkspace, root: str, difference: Difference | None, below: Level, owners: Owners
    ) -> None:
        self._workspace = workspace
        self._uses = workspace.uses
        self._root = root
        self._difference = difference
        self._owners = owners
        self._read: list[Entry] = []
        self.level = Level(below, walk=lambda: self._read)

    def entries(self) -> Change:
        """See ports.Capture and `read_difference`. RuntimeError if the workspace was used since."""
        if not self._difference:
            return ()
        return self._entries(self._difference)

    def stored(self, layer: StoredLayer) -> None:
        """See ports.Capture."""
        if self._difference:
            self.level.stored(layer)

    def _entries(self, difference: Difference) -> Iterator[tuple[Entry, Opener | None]]:
        self._read.clear()
        found = read_difference(self._root, difference, self._owners)
        while True:
            if self._workspace.uses != self._uses:
                raise RuntimeError("a change was read after its workspace had been used again")
            item = next(found, None)
            if item is None:
                return
            self._read.append(item[0])
            yield item
