"""What a change says, whichever snapshotter found it."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from coopery.errors import IntegrityError
from coopery.ports import Snapshotter, StoredLayer
from coopery.snapshot.overlay import OverlaySnapshotter
from coopery.snapshot.scan import ScanSnapshotter
from coopery.tree.entry import Entry, Kind
from support.snapshotting import Shelf, run_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to enter the namespaces of all modes")

Make = Callable[[Path], Snapshotter]


def overlay(top: Path) -> Snapshotter:
    return OverlaySnapshotter(mode="mnt", derived=Shelf(top / "store"), scratch=scratch(top))


def scan(top: Path) -> Snapshotter:
    return ScanSnapshotter(mode="mnt", scratch=scratch(top))


def scratch(top: Path) -> str:
    path = top / "scratch"
    path.mkdir(exist_ok=True)
    return str(path)


both = pytest.mark.parametrize("make", [overlay, scan])


def fill(root: str) -> None:
    """What the lower layer holds in these tests."""
    top = Path(root)
    for name in ("app", "app/lib", "data", "empty"):
        (top / name).mkdir()
    for name in ("app/main", "app/lib/one", "app/lib/two", "data/-x", "data/a", "data/z"):
        (top / name).write_text(name)
    (top / "link").symlink_to("app/main")
    for directory, names, files in os.walk(root):
        for name in names + files:
            os.utime(os.path.join(directory, name), (1000, 1000), follow_symlinks=False)


def change_of(make: Make, step: Callable[[Path], None]) -> list[Entry]:
    """The entries of what `step` does to a root that holds `fill`."""
    entries: list[Entry] = []

    def body(top: Path) -> None:
        snapshotter = make(top)
        shelf = Shelf(top / "layers")
        with snapshotter.checkout([]) as workspace:
            fill(workspace.rootfs)
            base = shelf.keep(workspace.commit())
        assert base
        with snapshotter.checkout([base]) as workspace:
            step(Path(workspace.rootfs))
            entries.extend(entry for entry, _ in workspace.commit().entries())

    # The child can't change this process's list, but it can leave what it found in a file that both have open.
    handle = os.memfd_create("entries")

    def reporting(top: Path) -> None:
        body(top)
        os.write(handle, pickle.dumps(entries))

    run_in("mnt", reporting)
    found = pickle.loads(os.pread(handle, 1 << 20, 0))
    os.close(handle)
    assert isinstance(found, list)
    return found


def paths(entries: list[Entry]) -> list[bytes]:
    return [entry.path for entry in entries]


@both
def test_nothing_done_is_no_change(make: Make) -> None:
    assert change_of(make, lambda root: None) == []


@both
def test_reading_is_no_change(make: Make) -> None:
    def step(root: Path) -> None:
        for directory, _, files in os.walk(root):
            for name in files:
                with open(os.path.join(directory, name), "rb") as file:
                    file.read()

    assert change_of(make, step) == []


@both
def test_a_file_that_came_and_went_in_the_root_is_no_change(make: Make) -> None:
    def step(root: Path) -> None:
        (root / "temporary").write_text("x")
        (root / "temporary").unlink()

    assert change_of(make, step) == []


@both
def test_a_mount_point_made_and_taken_away_is_no_change(make: Make) -> None:
    def step(root: Path) -> None:
        before = os.stat(root / "app")
        (root / "app/cache").mkdir()
        (root / "app/cache").rmdir()
        os.utime(root / "app", ns=(before.st_atime_ns, before.st_mtime_ns))

    assert change_of(make, step) == []


@both
def test_a_changed_file_comes_with_its_parents(make: Make) -> None:
    def step(root: Path) -> None:
        (root / "app/lib/one").write_text("new")

    entries = change_of(make, step)
    assert paths(entries) == [b"app", b"app/lib", b"app/lib/one"]
    assert [entry.kind for entry in entries] == [Kind.DIRECTORY, Kind.DIRECTORY, Kind.FILE]
    assert [entry.mtime_ns for entry in entries[:2]] == [1000 * 10**9] * 2
    assert entries[2].size == 3


@both
def test_contents_of_the_same_size_with_the_time_set_back_are_a_change(make: Make) -> None:
    def step(root: Path) -> None:
        (root / "data/a").write_text("DATA/A")
        os.utime(root / "data/a", (1000, 1000))

    assert paths(change_of(make, step)) == [b"data", b"data/a"]


@both
def test_deletions_come_before_their_siblings(make: Make) -> None:
    def step(root: Path) -> None:
        (root / "data/z").unlink()
        (root / "data/-x").write_text("new")
        shutil.rmtree(root / "app")

    assert paths(change_of(make, step)) == [b".wh.app", b"data", b"data/.wh.z", b"data/-x"]


@both
def test_names_go_in_order_of_their_bytes(make: Make) -> None:
    names = [b"new/b", b"new/a/x", b"new/a-b", b"new/\xff", b"new/B", b"new/-"]

    def step(root: Path) -> None:
        for name in names:
            path = os.path.join(os.fsencode(root), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb"):
                pass

    assert paths(change_of(make, step)) == [
        b"new",
        b"new/-",
        b"new/B",
        b"new/a",
        b"new/a/x",
        b"new/a-b",
        b"new/b",
        b"new/\xff",
    ]


@both
def test_a_directory_in_place_of_a_file_and_the_reverse(make: Make) -> None:
    def step(root: Path) -> None:
        shutil.rmtree(root / "app")
        (root / "app").write_text("now a file")
        (root / "link").unlink()
        (root / "link").mkdir()

    entries = change_of(make, step)
    assert [(entry.path, entry.kind) for entry in entries] == [(b"app", Kind.FILE), (b"link", Kind.DIRECTORY)]


@both
def test_hard_links_point_to_the_first_name(make: Make) -> None:
    def step(root: Path) -> None:
        (root / "data/new").write_text("contents")
        os.link(root / "data/new", root / "app/again")
        os.link(root / "data/a", root / "data/b")

    links = {entry.path: entry for entry in change_of(make, step)}
    assert (links[b"app/again"].kind, links[b"app/again"].size) == (Kind.FILE, 8)
    assert (links[b"data/new"].kind, links[b"data/new"].link, links[b"data/new"].size) == (
        Kind.HARDLINK,
        b"app/again",
        0,
    )
    # A link can only be made to what the same layer holds.
    assert links[b"data/a"].kind is Kind.FILE
    assert (links[b"data/b"].kind, links[b"data/b"].link) == (Kind.HARDLINK, b"data/a")


@both
def test_special_files(make: Make) -> None:
    def step(root: Path) -> None:
        os.mkfifo(root / "fifo", 0o640)
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.fsencode(root / "socket"))

    entries = change_of(make, step)
    assert [(entry.path, entry.kind, entry.device) for entry in entries] == [
        (b"fifo", Kind.FIFO, (0, 0)),
        (b"null", Kind.CHARACTER, (1, 3)),
    ]


@both
def test_a_socket_in_place_of_a_file_deletes_it(make: Make) -> None:
    def step(root: Path) -> None:
        (root / "data/a").unlink()
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.fsencode(root / "data/a"))

    assert paths(change_of(make, step)) == [b"data", b"data/.wh.a"]


@both
def test_capabilities_and_user_attributes_are_kept_and_no_others(make: Make) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")

    def step(root: Path) -> None:
        os.setxattr(root / "app/main", "security.capability", capability)
        os.setxattr(root / "app/main", "trusted.own", b"machine")
        os.setxattr(root / "app/main", "user.b", b"2")
        os.setxattr(root / "app/main", "user.a", b"1")
        os.setxattr(root / "empty", "user.on-directory", b"3")

    found = {entry.path: entry.xattrs for entry in change_of(make, step)}
    assert found == {
        b"app": (),
        b"app/main": ((b"security.capability", capability), (b"user.a", b"1"), (b"user.b", b"2")),
        b"empty": ((b"user.on-directory", b"3"),),
    }


@both
def test_the_root_is_told_of_when_its_mode_or_owner_changed(make: Make) -> None:
    def step(root: Path) -> None:
        root.chmod(0o700)
        os.chown(root, 5, 6)

    (entry,) = change_of(make, step)
    assert (entry.path, entry.kind, entry.mode, entry.uid, entry.gid) == (b"", Kind.DIRECTORY, 0o700, 5, 6)


@both
def test_a_name_that_reads_as_a_deletion_is_refused(make: Make) -> None:
    def body(top: Path) -> None:
        with make(top).checkout([]) as workspace:
            Path(workspace.rootfs, ".wh.file").write_text("x")
            with pytest.raises(IntegrityError, match=r"/\.wh\.file can't be put into a layer"):
                list(workspace.commit().entries())

    run_in("mnt", body)


@both
def test_equal_steps_give_equal_bytes(make: Make) -> None:
    """Also where a whole directory is made anew, in whatever order the file system lists it."""

    def body(top: Path) -> None:
        shelf = Shelf(top / "layers")
        layers = []
        for names in (range(50), reversed(range(50))):
            with make(top).checkout([]) as workspace:
                fill(workspace.rootfs)
                root = Path(workspace.rootfs, "many")
                root.mkdir()
                for number in names:
                    (root / str(number)).write_text(str(number))
                    os.utime(root / str(number), (7, 7))
                os.utime(root, (7, 7))
                layers.append(shelf.keep(workspace.commit()))
        assert layers[0] and layers[1]
        assert layers[0].diff_id == layers[1].diff_id

    run_in("mnt", body)


def test_both_find_the_same_change() -> None:
    def step(root: Path) -> None:
        (root / "app/lib/one").unlink()
        (root / "app/lib/three").write_text("3")
        (root / "app/main").chmod(0o4711)
        os.chown(root / "data", 3, 4)
        (root / "new/deep").mkdir(parents=True)
        (root / "new/deep/file").write_text("x")
        os.link(root / "new/deep/file", root / "new/other")
        (root / "link").unlink()
        (root / "link").symlink_to("elsewhere")
        for directory, names, files in os.walk(root):
            for name in names + files:
                if not directory.endswith(("/dev", "/etc", "/proc", "/sys")) and name not in "dev etc proc sys":
                    os.utime(os.path.join(directory, name), (2000, 2000), follow_symlinks=False)

    assert change_of(overlay, step) == change_of(scan, step)


@both
def test_a_finished_layer_can_be_put_on_top_between_steps(make: Make) -> None:
    def body(top: Path) -> None:
        shelf = Shelf(top / "layers")
        copied = shelf.put(
            [
                (Entry(b"app", Kind.DIRECTORY, 0o755, 0, 0), None),
                (Entry(b"app/.wh.main", Kind.FILE, 0, 0, 0), None),
                (Entry(b"copied", Kind.FILE, 0o600, 1, 2, 5), lambda: io.BytesIO(b"hello")),
            ]
        )
        assert copied
        with make(top).checkout([]) as workspace:
            fill(workspace.rootfs)
            first = workspace.commit()
            kept = shelf.keep(first) if not first.frozen else None
            workspace.apply(copied)
            root = Path(workspace.rootfs)
            assert (root / "copied").read_bytes() == b"hello"
            assert not (root / "app/main").exists()
            assert (root / "app/lib/one").exists()
            assert os.stat(root / "copied").st_uid == 1
            assert not list(workspace.commit().entries())
            (root / "copied").unlink()
            second = workspace.commit()
            assert paths([entry for entry, _ in second.entries()]) == [b".wh.copied"]
            layers: list[StoredLayer | None] = [kept or shelf.keep(first), copied, shelf.keep(second)]
        with make(top).checkout([layer for layer in layers if layer]) as workspace:
            assert not (Path(workspace.rootfs) / "copied").exists()
            assert sorted(os.listdir(Path(workspace.rootfs) / "app")) == ["lib"]

    run_in("mnt", body)
