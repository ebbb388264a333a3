"""What overlays alone have to get right."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from coopery import kernel
from coopery.errors import EnvironmentUnsuitable
from coopery.ports import StoredLayer
from coopery.snapshot.attributes import shown_owner
from coopery.snapshot.overlay import OverlaySnapshotter
from coopery.snapshot.scratch import Mode
from coopery.snapshot.upper import RootAttributes, read_upper
from coopery.tree.entry import Entry, Kind
from support.snapshotting import Shelf, run_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to enter the namespaces of all modes")

modes = pytest.mark.parametrize("mode", ["mnt", "full", "sub", "single"])


def snapshotter(top: Path, mode: Mode, *, erofs: bool = True) -> OverlaySnapshotter:
    (top / "scratch").mkdir(exist_ok=True)
    return OverlaySnapshotter(mode=mode, derived=Shelf(top / "store", erofs=erofs), scratch=str(top / "scratch"))


def file(path: bytes, content: bytes = b"", uid: int = 0, gid: int = 0) -> tuple[Entry, object]:
    return Entry(path, Kind.FILE, 0o644, uid, gid, len(content), 0), lambda: io.BytesIO(content)


def directory(path: bytes, mode: int = 0o755, uid: int = 0) -> tuple[Entry, None]:
    return Entry(path, Kind.DIRECTORY, mode, uid, uid), None


def stored(top: Path, *entries: tuple[Entry, object]) -> StoredLayer:
    layer = Shelf(top / "store").put(entries)  # type: ignore[arg-type]
    assert layer
    return layer


def changed(capture_entries: object) -> list[bytes]:
    return [entry.path for entry, _ in capture_entries]  # type: ignore[attr-defined]


@modes
def test_the_probe_finds_overlays_usable(mode: Mode) -> None:
    def body(top: Path) -> None:
        made = snapshotter(top, mode)
        assert made.probe() is None
        made.close()
        assert os.listdir(top / "scratch") == []

    run_in(mode, body)


def test_the_probe_says_why_without_privileges() -> None:
    def body(top: Path) -> None:
        reason = snapshotter(top, "single").probe()
        assert reason and "Operation not permitted" in reason

    run_in("user", body)


def test_the_probe_says_that_scratch_lies_on_an_overlay() -> None:
    def body(top: Path) -> None:
        outer = snapshotter(top, "mnt")
        with outer.checkout([]) as workspace:
            inner = OverlaySnapshotter(mode="mnt", derived=Shelf(top / "other"), scratch=workspace.rootfs)
            reason = inner.probe()
            assert reason and "lies on an overlay itself" in reason and "--scratch" in reason
            with pytest.raises(EnvironmentUnsuitable) as caught, inner.checkout([]) as other:
                _ = other.rootfs
            assert "lies on an overlay itself" in caught.value.hint

    run_in("mnt", body)


@modes
@pytest.mark.parametrize("count", [60, 130])
def test_long_stacks_lose_no_layer(mode: Mode, count: int) -> None:
    """With paths so long that the option string of mount(2) would hold ten."""

    def body(top: Path) -> None:
        deep = top / ("long" * 60) / ("deep" * 10)
        deep.mkdir(parents=True)
        layers = [stored(top, file(b"common", b"%d" % n), file(b"file-%d" % n)) for n in range(count)]
        made = OverlaySnapshotter(mode=mode, derived=Shelf(top / "store"), scratch=str(deep))
        with made.checkout(layers) as workspace:
            names = os.listdir(workspace.rootfs)
            assert {f"file-{n}" for n in range(count)} < set(names)
            assert Path(workspace.rootfs, "common").read_text() == str(count - 1)
            Path(workspace.rootfs, "file-0").unlink()
            assert changed(workspace.commit().entries()) == [b".wh.file-0"]
        made.close()
        assert os.listdir(deep) == []

    run_in(mode, body)


@pytest.mark.parametrize("mode", ["mnt", "single"])
def test_only_a_directory_over_a_directory_is_opaque(mode: Mode) -> None:
    def body(top: Path) -> None:
        layer = stored(top, directory(b"old"), file(b"old/gone"), file(b"plain"))
        with snapshotter(top, mode).checkout([layer]) as workspace:
            root = Path(workspace.rootfs)
            shutil.rmtree(root / "old")
            (root / "old").mkdir()
            (root / "old/inner").mkdir()
            (root / "new").mkdir()
            (root / "plain").unlink()
            (root / "plain").mkdir()
            assert changed(workspace.commit().entries()) == [
                b"new",
                b"old",
                b"old/.wh..wh..opq",
                b"old/inner",
                b"plain",
            ]
            assert os.listdir(Path(workspace.rootfs) / "old") == ["inner"]

    run_in(mode, body)


@modes
def test_the_scaffold_is_there_and_never_in_a_layer(mode: Mode) -> None:
    def body(top: Path) -> None:
        with snapshotter(top, mode).checkout([]) as workspace:
            root = Path(workspace.rootfs)
            assert sorted(os.listdir(root)) == ["dev", "etc", "proc", "sys"]
            assert (root / "etc/resolv.conf").read_bytes() == b""
            assert not list(workspace.commit().entries())
            (root / "etc/hosts").unlink()
            (root / "dev").rmdir()
            (root / "etc/own").write_text("x")
            assert changed(workspace.commit().entries()) == [b"etc", b"etc/own"]
            assert (Path(workspace.rootfs) / "etc/own").exists()

    run_in(mode, body)


def test_an_image_keeps_its_own_files_where_the_scaffold_has_some() -> None:
    def body(top: Path) -> None:
        layer = stored(top, directory(b"etc", 0o700), file(b"etc/hosts", b"own"), directory(b"proc", 0o555))
        with snapshotter(top, "mnt").checkout([layer]) as workspace:
            root = Path(workspace.rootfs)
            assert (root / "etc/hosts").read_bytes() == b"own"
            assert os.stat(root / "etc").st_mode & 0o7777 == 0o700
            (root / "etc/hosts").unlink()
            assert changed(workspace.commit().entries()) == [b"etc", b"etc/.wh.hosts"]

    run_in("mnt", body)


def test_the_root_directory_has_the_attributes_of_the_image() -> None:
    def body(top: Path) -> None:
        layers = [stored(top, directory(b"", 0o711, 9), file(b"a")), stored(top, file(b"b"))]
        with snapshotter(top, "mnt").checkout(layers) as workspace:
            status = os.stat(workspace.rootfs)
            assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o711, 9, 9)
            Path(workspace.rootfs, "c").touch()
            assert changed(workspace.commit().entries()) == [b"c"]

    run_in("mnt", body)


@modes
def test_a_failed_step_leaves_nothing(mode: Mode) -> None:
    def body(top: Path) -> None:
        layer = stored(top, file(b"kept", b"before"))
        with snapshotter(top, mode).checkout([layer]) as workspace:
            place = workspace.rootfs
            Path(place, "kept").write_text("spoiled")
            Path(place, "more").touch()
            workspace.discard()
            assert workspace.rootfs == place
            assert Path(place, "kept").read_text() == "before"
            assert not Path(place, "more").exists()
            assert not list(workspace.commit().entries())

    run_in(mode, body)


def test_a_failed_step_can_be_tried_again_in_other_scratch_space() -> None:
    """As after a step for which the memory was too small."""

    def body(top: Path) -> None:
        small, large = top / "small", top / "large"
        small.mkdir()
        large.mkdir()
        kernel.mount("tmpfs", str(small), "tmpfs", 0, "size=1m")
        made = OverlaySnapshotter(mode="mnt", derived=Shelf(top / "store"), scratch=str(small))
        with made.checkout([stored(top, file(b"base"))]) as workspace:
            Path(workspace.rootfs, "first").touch()
            first = workspace.commit()
            with pytest.raises(OSError, match="No space left"):
                Path(workspace.rootfs, "big").write_bytes(bytes(2 << 20))
            workspace.discard()
            made.scratch = str(large)
            Path(workspace.rootfs, "big").write_bytes(bytes(2 << 20))
            assert sorted(set(os.listdir(workspace.rootfs)) - {"dev", "etc", "proc", "sys"}) == ["base", "big", "first"]
            assert changed(workspace.commit().entries()) == [b"big"]
            assert changed(first.entries()) == [b"first"]
        made.close()
        assert os.listdir(small) == os.listdir(large) == []

    run_in("mnt", body)


def test_with_one_id_files_of_the_image_keep_their_owners() -> None:
    def body(top: Path) -> None:
        layer = stored(top, directory(b"home", uid=33), file(b"home/file", b"x", 33, 34), file(b"other", b"", 7, 7))
        made = snapshotter(top, "single")
        shelf = Shelf(top / "store")
        with made.checkout([layer]) as workspace:
            Path(workspace.rootfs, "home/file").write_text("longer")
            Path(workspace.rootfs, "home/new").touch()
            first = workspace.commit()
            # The next step's owners hang on the first one's layer, which isn't archived yet.
            Path(workspace.rootfs, "home/file").chmod(0o600)
            Path(workspace.rootfs, "home/new").chmod(0o600)
            second = workspace.commit()
            for capture in (second, first):
                owned = shelf.put(capture.entries())
                assert owned
                assert {entry.path: (entry.uid, entry.gid) for entry in owned.entries} == {
                    b"home": (33, 33),
                    b"home/file": (33, 34),
                    b"home/new": (0, 0),
                }

    run_in("single", body)


@pytest.mark.parametrize("erofs", [True, False])
def test_a_layer_may_link_to_a_file_of_a_layer_below(erofs: bool) -> None:
    def body(top: Path) -> None:
        lower = stored(top, directory(b"d"), file(b"d/file", b"linked", 3, 4))
        upper = stored(top, (Entry(b"name", Kind.HARDLINK, 0o644, 3, 4, link=b"d/file"), None))
        with snapshotter(top, "mnt", erofs=erofs).checkout([lower, upper]) as workspace:
            assert Path(workspace.rootfs, "name").read_bytes() == b"linked"
            assert os.stat(os.path.join(workspace.rootfs, "name")).st_gid == 4

    run_in("mnt", body)


def test_derived_layers_are_used_again() -> None:
    def body(top: Path) -> None:
        layers: Sequence[StoredLayer] = [stored(top, file(b"a", b"1")), stored(top, file(b"b", b"2"))]
        for mode, form, erofs in (("mnt", "index-*", True), ("mnt", "tree-*", False)):
            shelf = Shelf(top / form.strip("-*"), erofs=erofs)
            seen = []
            for _ in range(2):
                made = OverlaySnapshotter(mode=mode, derived=shelf, scratch=str(top))  # type: ignore[arg-type]
                with made.checkout(layers) as workspace:
                    assert Path(workspace.rootfs, "b").read_text() == "2"
                made.close()
                seen.append({(path.name, path.stat().st_ino) for path in shelf.top.glob(form)})
            assert seen[0] == seen[1]
            assert len(seen[0]) >= len(layers)

    run_in("mnt", body)


def test_whiteouts_in_the_form_of_marked_files_are_read(tmp_path: Path) -> None:
    """Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories": the form without device nodes."""
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d/gone").touch()
    (upper / "d/empty").touch()
    os.setxattr(upper / "d", "user.overlay.opaque", b"x")
    os.setxattr(upper / "d/gone", "user.overlay.whiteout", b"y")
    below = {b"d": directory(b"d")[0], b"d/gone": file(b"d/gone")[0]}
    found = read_upper(str(upper), "user", RootAttributes.of(str(upper)), below.get, shown_owner)
    assert [(entry.path, entry.xattrs) for entry, _ in found] == [(b"d", ()), (b"d/.wh.gone", ()), (b"d/empty", ())]
