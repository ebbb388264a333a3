"""What comparing alone has to get right."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from coopery.errors import StorageError
from coopery.snapshot.scan import ScanSnapshotter
from coopery.tree.entry import Entry, Kind
from support.snapshotting import Shelf, run_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to enter the namespaces of all modes")


def test_the_workspace_of_a_failed_step_is_of_no_use() -> None:
    def body(top: Path) -> None:
        with ScanSnapshotter(mode="none", scratch=str(top)).checkout([]) as workspace:
            Path(workspace.rootfs, "half").touch()
            workspace.discard()
            with pytest.raises(StorageError, match="failed step"):
                _ = workspace.rootfs
            with pytest.raises(StorageError):
                workspace.commit()
        assert os.listdir(top) == []

    run_in("none", body)


def test_a_change_must_be_read_before_the_next_step() -> None:
    def body(top: Path) -> None:
        with ScanSnapshotter(mode="none", scratch=str(top)).checkout([]) as workspace:
            Path(workspace.rootfs, "a").touch()
            capture = workspace.commit()
            assert not capture.frozen
            Path(workspace.rootfs, "a").unlink()
            with pytest.raises(RuntimeError):
                list(capture.entries())

    run_in("none", body)


def test_without_privileges_owners_are_kept_and_locked_files_are_read() -> None:
    def body(top: Path) -> None:
        shelf = Shelf(top / "store")
        layer = shelf.put(
            [
                (Entry(b"locked", Kind.DIRECTORY, 0o000, 5, 5), None),
                (Entry(b"locked/secret", Kind.FILE, 0o000, 5, 6, 3), lambda: io.BytesIO(b"old")),
                (Entry(b"fixed", Kind.DIRECTORY, 0o555, 0, 0), None),
                (Entry(b"fixed/file", Kind.FILE, 0o444, 0, 0), None),
            ]
        )
        assert layer
        scratch = top / "scratch"
        scratch.mkdir()
        snapshotter = ScanSnapshotter(mode="none", scratch=str(scratch))
        assert snapshotter.probe() is None
        with snapshotter.checkout([layer]) as workspace:
            root = Path(workspace.rootfs)
            (root / "locked").chmod(0o700)
            (root / "locked/secret").chmod(0o600)
            (root / "locked/secret").write_text("new")
            (root / "locked/secret").chmod(0o000)
            (root / "locked").chmod(0o000)
            (root / "made").touch()
            changed = shelf.put(workspace.commit().entries())
            assert changed
            assert [(entry.path, entry.mode, entry.uid, entry.gid) for entry in changed.entries] == [
                (b"locked", 0o000, 5, 5),
                (b"locked/secret", 0o000, 5, 6),
                (b"made", 0o644, 0, 0),
            ]
            secret = changed.entries[1]
            assert Path(changed.tar).read_bytes()[secret.offset : secret.offset + 3] == b"new"
            assert os.stat(root / "locked").st_mode & 0o777 == 0
        assert os.listdir(scratch) == []

    run_in("user", body)


def test_the_probe_says_when_scratch_cannot_be_written(tmp_path: Path) -> None:
    reason = ScanSnapshotter(mode="none", scratch=str(tmp_path / "missing")).probe()
    assert reason and "No such file" in reason
