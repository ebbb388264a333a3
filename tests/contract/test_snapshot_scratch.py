"""Scratch space is what was asked for, and gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coopery import kernel
from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.snapshot.memory import available_memory
from coopery.snapshot.mounting import filesystem_of
from coopery.snapshot.scratch import MINIMUM, Mode, Scratch, scratch_space
from support.snapshotting import run_in

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to enter the namespaces of all modes")


@needs_root
@pytest.mark.parametrize("mode", ["mnt", "full", "sub", "single"])
def test_memory_is_a_tmpfs_of_half_of_what_is_available(mode: Mode) -> None:
    def body(top: Path) -> None:
        with scratch_space("memory", disk=str(top), mode=mode) as scratch:
            assert scratch.kind == "memory"
            assert filesystem_of(scratch.path) == "tmpfs"
            assert 0 < scratch.capacity <= available_memory()
            before = scratch.used()
            Path(scratch.path, "file").write_bytes(bytes(1 << 20))
            assert scratch.used() - before >= 1 << 20
            assert not scratch.is_full()
        assert os.listdir(top) == []

    run_in(mode, body)


@needs_root
def test_auto_goes_by_how_much_memory_there_is() -> None:
    def body(top: Path) -> None:
        with scratch_space("auto", disk=str(top), mode="mnt") as scratch:
            assert scratch.kind == ("memory" if available_memory() >= MINIMUM else "disk")

    run_in("mnt", body)


@pytest.mark.parametrize("wanted", ["auto", "disk"])
def test_without_a_mount_namespace_it_is_on_disk(wanted: str, tmp_path: Path) -> None:
    with scratch_space(wanted, disk=str(tmp_path), mode="none") as scratch:
        assert scratch.kind == "disk"
        assert Path(scratch.path).parent == tmp_path
        assert scratch.capacity > 0
        Path(scratch.path, "directory").mkdir()
    assert os.listdir(tmp_path) == []


def test_a_directory_of_the_users_choice_stays(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    with scratch_space(str(chosen), disk="/nowhere", mode="mnt") as scratch:
        assert Path(scratch.path).parent == chosen
        assert scratch.kind == "disk"
    assert os.listdir(chosen) == []


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(EnvironmentUnsuitable, match="mount namespace"),
        scratch_space("memory", disk=str(tmp_path), mode="none"),
    ):
        pass
    with pytest.raises(UsageError, match="doesn't exist"), scratch_space("/no/such", disk=str(tmp_path), mode="none"):
        pass
    assert os.listdir(tmp_path) == []


@needs_root
@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=80"])
def test_running_out_of_room_or_inodes_is_seen(options: str) -> None:
    def body(top: Path) -> None:
        kernel.mount("tmpfs", str(top), "tmpfs", 0, options)
        scratch = Scratch(str(top), "memory", 1 << 20)
        assert not scratch.is_full()
        with pytest.raises(OSError, match="No space left"):
            for number in range(100):
                (top / str(number)).write_bytes(bytes(20_000))
        assert scratch.is_full()

    run_in("mnt", body)


def memory_tree(top: Path, files: dict[str, str]) -> str:
    for name, text in {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8000 kB\n", **files}.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(top)


def test_memory_without_control_groups(tmp_path: Path) -> None:
    assert available_memory(memory_tree(tmp_path, {})) == 8000 * 1024


def test_memory_in_nested_groups_of_version_2(tmp_path: Path) -> None:
    """The tightest of all groups above counts; page cache that can be dropped is free."""
    root = memory_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/job/step\n",
            "sys/fs/cgroup/job/memory.max": "5000000\n",
            "sys/fs/cgroup/job/memory.current": "3000000\n",
            "sys/fs/cgroup/job/memory.stat": "anon 2000000\ninactive_file 500000\n",
            "sys/fs/cgroup/job/step/memory.max": "max\n",
            "sys/fs/cgroup/job/step/memory.current": "3000000\n",
        },
    )
    assert available_memory(root) == 2_500_000


def test_memory_in_a_container_with_groups_of_version_1(tmp_path: Path) -> None:
    """The path is the host's; the container sees its own group at the top."""
    root = memory_tree(
        tmp_path,
        {
            "proc/self/cgroup": "9:memory:/docker/abc\n8:cpu:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
        },
    )
    assert available_memory(root) == 3_000_000
