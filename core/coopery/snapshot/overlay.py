"""Root file systems as overlays: each layer is a lower directory, what a step changes is an upper directory.

Nothing is scanned: the upper directory holds the change. It becomes a lower itself when the step is done, so that the
next step can run while the change is still being archived.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

from coopery.archive.extract import extract
from coopery.errors import CooperyError, EnvironmentUnsuitable, StorageError
from coopery.ports import Capture, Change, StoredLayer, Workspace
from coopery.snapshot.attributes import Owners, copy_attributes, shown_owner
from coopery.snapshot.directories import make_directory, remove_tree
from coopery.snapshot.levels import Level
from coopery.snapshot.lowers import DerivedStore, Lowers
from coopery.snapshot.mounting import Marks, filesystem_of, mount_overlay, unmount
from coopery.snapshot.owners import recall_owners
from coopery.snapshot.scratch import Mode
from coopery.snapshot.upper import RootAttributes, read_upper
from coopery.tree.entry import Entry
from coopery.tree.scaffold import SCAFFOLD_DIRECTORIES, SCAFFOLD_FILES


class OverlaySnapshotter:
    """Overlays in the mount namespace that this process has already entered as `mode` says.

    `derived` keeps EROFS indexes and unpacked layers between builds; everything else lies in `scratch`, a directory
    that should not be on overlayfs. `scratch` may be set anew at any time: later steps write there. Safe to use from
    several threads, a workspace from one at a time. `close` takes all mounts and directories away; workspaces must
    have ended by then, and captures been read.
    """

    name = "overlay"
    mounts = True

    def __init__(self, *, mode: Mode, derived: DerivedStore, scratch: str) -> None:
        self.mode = mode
        self.scratch = scratch
        self.marks: Marks = "trusted" if mode == "mnt" else "user"
        self._made: list[str] = []
        self._empty = Level()
        self._lowers = Lowers(mode, self.marks, derived, self.new_directory)
        self._scaffold = ""
        self._lock = threading.Lock()

    def probe(self) -> str | None:
        """Why overlays can't be used here, or None: mounts one and looks for the marks that deletions leave."""
        try:
            top = self.new_directory("probe")
            lower, root = os.path.join(top, "lower"), os.path.join(top, "root")
            os.makedirs(os.path.join(lower, "directory"))
            with open(os.path.join(lower, "file"), "wb"):
                pass
            os.mkdir(root)
            upper = self._mount([lower], root)
            try:
                os.unlink(os.path.join(root, "file"))
                os.rmdir(os.path.join(root, "directory"))
                os.mkdir(os.path.join(root, "directory"))
                gone = os.stat(os.path.join(upper, "file"), follow_symlinks=False)
                opaque = os.getxattr(os.path.join(upper, "directory"), f"{self.marks}.overlay.opaque")
            finally:
                unmount(root)
        except (OSError, CooperyError) as error:
            return f"an overlay can't be mounted: {error}{self._hint()}"
        if gone.st_rdev != 0 or opaque != b"y":
            return "overlays don't mark deletions as expected"
        return None

    @contextlib.contextmanager
    def checkout(self, layers: Sequence[StoredLayer], *, bare: bool = False) -> Iterator[Workspace]:
        """A workspace whose root holds `layers`, lowest first; see ports.Snapshotter.

        StorageError, IntegrityError for layers that can't be unpacked; EnvironmentUnsuitable if mounting fails.
        """
        level = self._empty
        for layer in layers:
            level = level.child(layer)
        workspace = OverlayWorkspace(self, level, bare=bare)
        try:
            yield workspace
        finally:
            workspace.end()

    def unpack(self, layer: StoredLayer, directory: str) -> None:
        """See ports.Snapshotter."""
        entries = self._empty.child(layer).normalised()
        extract(layer.tar, entries, directory, chown=self.mode != "single", devices=self.mode == "mnt")

    def close(self) -> None:
        """Take away what was mounted and made."""
        self._lowers.close()
        for path in self._made:
            remove_tree(path)
        self._made.clear()

    # ------------------------------------------------------------------------------- for workspaces and captures

    def new_directory(self, purpose: str) -> str:
        """An empty directory in the scratch space; it stays until `close`."""
        path = make_directory(self.scratch, purpose)
        self._made.append(path)
        return path

    def mount(self, level: Level, target: str, *, bare: bool) -> tuple[str, RootAttributes]:
        """Mount the stack up to `level` at `target`; returns the upper directory and its attributes."""
        lowers = self._lowers.directories(level.stack())[::-1]
        if not bare:
            lowers.append(self._scaffold_directory())
        elif not lowers:
            lowers.append(self.new_directory("nothing"))
        try:
            upper = self._mount(lowers, target)
            return upper, RootAttributes.of(upper)
        except OSError as error:
            raise EnvironmentUnsuitable(
                f"mounting the root file system failed: {error}",
                hint=self._hint().removeprefix(": "),
            ) from error

    def _mount(self, lowers: Sequence[str], target: str) -> str:
        top = self.new_directory("step")
        upper, work = os.path.join(top, "upper"), os.path.join(top, "work")
        os.mkdir(upper)
        os.mkdir(work)
        copy_attributes(lowers[0], upper)  # it is the root that processes see
        mount_overlay(lowers, upper, work, target, self.marks)
        return upper

    def owners(self, below: Level) -> Owners:
        """How the ids that files show become a layer's."""
        return recall_owners(below.entry, 0, 0) if self.mode == "single" else shown_owner

    def _scaffold_directory(self) -> str:
        with self._lock:
            if not self._scaffold:
                top = self.new_directory("scaffold")
                for path in (os.path.join(top, os.fsdecode(name)) for name in SCAFFOLD_DIRECTORIES):
                    os.mkdir(path)
                    os.chmod(path, 0o755)  # noqa: S103 - whatever the umask
                for path in (os.path.join(top, os.fsdecode(name)) for name in SCAFFOLD_FILES):
                    with open(path, "wb") as file:
                        os.fchmod(file.fileno(), 0o644)
                self._scaffold = top
            return self._scaffold

    def _hint(self) -> str:
        with contextlib.suppress(OSError):
            if filesystem_of(self.scratch) == "overlay":
                return f": {self.scratch} lies on an overlay itself; give a volume or memory with --scratch"
        return ""


class OverlayWorkspace:
    """See ports.Workspace. The overlay is mounted when `rootfs` is first asked for after a commit or apply."""

    def __init__(self, snapshotter: OverlaySnapshotter, level: Level, *, bare: bool) -> None:
        self._snapshotter = snapshotter
        self._bare = bare
        self._level = level
        self._target = snapshotter.new_directory("root")
        self._upper = ""  # empty: not mounted
        self._root = RootAttributes(0o755, 0, 0, ())

    @property
    def rootfs(self) -> str:
        """The root directory; the path stays the same, what is open there doesn't outlive commit, discard and apply."""
        if not self._upper:
            self._upper, self._root = self._snapshotter.mount(self._level, self._target, bare=self._bare)
        return self._target

    def commit(self) -> Capture:
        """See ports.Workspace; the capture is frozen."""
        capture = OverlayCapture(self._snapshotter, self._level, self._upper, self._root)
        if capture.is_empty():
            return OverlayCapture(self._snapshotter, self._level, "", self._root)
        self._unmount()
        self._level = capture.level
        return capture

    def discard(self) -> None:
        """See ports.Workspace."""
        upper = self._upper
        self._unmount()
        if upper:
            remove_tree(os.path.dirname(upper))

    def apply(self, layer: StoredLayer) -> None:
        """See ports.Workspace. A change that was not committed is lost."""
        self.discard()
        self._level = self._level.child(layer)

    def end(self) -> None:
        """Unmount; what was not committed is lost."""
        self.discard()
        with contextlib.suppress(OSError):
            os.rmdir(self._target)

    def _unmount(self) -> None:
        if self._upper:
            try:
                unmount(self._target)
            except OSError as error:
                raise StorageError(f"unmounting the root file system failed: {error}") from error
            self._upper = ""


class OverlayCapture:
    """A step's upper directory, which nothing writes to any more. See ports.Capture."""

    frozen = True

    def __init__(self, snapshotter: OverlaySnapshotter, below: Level, upper: str, root: RootAttributes) -> None:
        self._marks = snapshotter.marks
        self._owners = snapshotter.owners(below)
        self._below = below
        self._upper = upper
        self._root = root
        self.level = Level(below, walk=self._walk)
        self.level.directory = upper

    def entries(self) -> Change:
        """See ports.Capture and `read_upper`."""
        if not self._upper:
            return ()
        return read_upper(self._upper, self._marks, self._root, self._below.entry, self._owners)

    def stored(self, layer: StoredLayer) -> None:
        """See ports.Capture: a later checkout of the same layers in this process uses the directory as it is."""
        if self._upper:
            self.level.stored(layer)

    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return next(iter(self.entries()), None) is None

    def _walk(self) -> list[Entry]:
        return [entry for entry, _ in self.entries()]
