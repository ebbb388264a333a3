"""Pruning: by age, by size, never under a running build."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from coopery.cache.prune import disk_usage, prune
from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.cache.store import Store
from coopery.errors import StorageError
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.solver.cache_mounts import held

NOW = time.time()
HOUR = 3600


def layer(store: Store, name: str, size: int = 10_000) -> Digest:
    data = name.encode() * (size // len(name))
    with store.stage() as staged:
        staged.write(data)
        return store.put_layer(staged, Digest.of(data), []).diff_id


def age(root: Path, hours: float) -> None:
    """Make everything this old that is younger than a minute."""
    for path in (root / "v1").rglob("*"):
        if path.lstat().st_mtime > time.time() - 60:
            os.utime(path, (NOW - hours * HOUR,) * 2, follow_symlinks=False)


def kinds(root: Path) -> dict[str, int]:
    return {usage.kind: usage.entries for usage in disk_usage(str(root)) if usage.entries}


def everything(root: Path) -> None:
    with Store(str(root)) as store:
        records = LocalRecords(store)
        diff_id = layer(store, "layer")
        records.store(CacheRecord(Digest.of(b"key"), (Outcome(diff_id, "2020"),)))
        blob = store.put_blob(b"blob")
        records.store_coded(diff_id, "gzip", Descriptor(OCI_LAYER_GZIP, blob, 4))
        store.put_erofs(Digest.of(b"chain"), b"index")
        with store.make_tree("0", Digest.of(b"chain")) as path:
            Path(path, "dir").mkdir()
            os.utime(path, (1, 1))
        with held(store, "m", "shared") as path:
            Path(path, "file").write_bytes(b"kept between builds")
            os.utime(path, (1, 1))
        store.write_document("images", "i", {})
        store.write_document("files", "f", {})
        with store.step_lock(Digest.of(b"key")):
            pass


ALL = {
    "blobs": 1,
    "layers": 1,
    "layer indexes": 1,
    "unpacked layers": 1,
    "cache mounts": 1,
    "step records": 1,
    "images": 1,
    "codings": 1,
    "context files": 1,
}


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root / "v1")) for path in (root / "v1").rglob("*") if not path.is_dir())


def test_everything_is_counted_and_everything_can_go(tmp_path):
    everything(tmp_path)
    assert kinds(tmp_path) == ALL
    assert all(usage.size for usage in disk_usage(str(tmp_path)) if usage.entries)
    assert {usage.kind: usage.entries for usage in prune(str(tmp_path))} == ALL
    assert kinds(tmp_path) == {}
    assert files(tmp_path) == ["lock"]
    with Store(str(tmp_path)):
        pass


def test_nothing_to_prune(tmp_path):
    assert prune(str(tmp_path / "none")) == ()
    assert kinds(tmp_path / "none") == {}


def test_by_age_what_was_used_since_is_kept(tmp_path):
    everything(tmp_path)
    age(tmp_path, 3)
    assert prune(str(tmp_path), older_than=4 * HOUR) == ()
    # A build that uses things without making them.
    with Store(str(tmp_path)) as store:
        assert LocalRecords(store).lookup(Digest.of(b"key"))
        assert store.tree("0", Digest.of(b"chain"))
        with held(store, "m", "locked") as path:
            assert os.listdir(path) == ["file"]
    dropped = {usage.kind for usage in prune(str(tmp_path), older_than=2 * HOUR)}
    assert dropped == {"blobs", "layer indexes", "images", "codings", "context files"}
    assert kinds(tmp_path) == {"layers": 1, "step records": 1, "unpacked layers": 1, "cache mounts": 1}


def test_by_size_the_least_recently_used_go_first(tmp_path):
    with Store(str(tmp_path)) as store:
        layers = [layer(store, f"layer{number}", 100_000) for number in range(5)]
    for number, diff_id in enumerate(layers):
        os.utime(tmp_path / f"v1/tars/{diff_id.hex}.tar", (NOW - HOUR * (10 - number),) * 2)
    with Store(str(tmp_path)) as store:
        assert store.has_layer(layers[0])
    prune(str(tmp_path), keep_bytes=350_000)
    with Store(str(tmp_path)) as store:
        assert [store.has_layer(diff_id) for diff_id in layers] == [True, False, False, True, True]
    prune(str(tmp_path), keep_bytes=0)
    assert files(tmp_path) == ["lock"]


def test_age_and_size_together(tmp_path):
    with Store(str(tmp_path)) as store:
        old = layer(store, "old")
    age(tmp_path, 10)
    with Store(str(tmp_path)) as store:
        young = layer(store, "young")
    (dropped,) = prune(str(tmp_path), older_than=HOUR, keep_bytes=10**9)
    assert (dropped.kind, dropped.entries) == ("layers", 1)
    with Store(str(tmp_path)) as store:
        assert (store.has_layer(old), store.has_layer(young)) == (False, True)


def test_records_and_codings_go_with_what_they_speak_of(tmp_path):
    everything(tmp_path)
    age(tmp_path, 3)
    with Store(str(tmp_path)) as store:
        store.read_document("records", Digest.of(b"key").hex)
        store.write_document("coded", "damaged", 5)
        Path(store.root, "records/damaged").write_bytes(b"[" * 100_000)
    prune(str(tmp_path), older_than=HOUR)
    assert kinds(tmp_path) == {}


def test_a_running_build_keeps_all_it_may_need(tmp_path):
    everything(tmp_path)
    with Store(str(tmp_path)):
        with pytest.raises(StorageError, match="a build is using the cache") as caught:
            prune(str(tmp_path))
        assert caught.value.hint
        assert kinds(tmp_path) == ALL
    assert prune(str(tmp_path))


def test_what_interrupted_work_left_behind_goes(tmp_path):
    with Store(str(tmp_path)) as store:
        Path(store.root, "tars/dead.entries").touch()
        Path(store.root, "trees/0").mkdir()
        Path(store.root, "trees/0/dead.done").touch()
        Path(store.root, "mounts/dead.lock").touch()
    prune(str(tmp_path), older_than=HOUR)
    assert files(tmp_path) == ["lock"]


def test_a_removed_tree_is_never_half_there(tmp_path, monkeypatch):
    """A prune that is killed in the middle of a directory leaves no mark on it, and nothing under its name."""
    everything(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("coopery.cache.prune.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        prune(str(tmp_path))
    monkeypatch.undo()
    with Store(str(tmp_path)) as store:
        assert store.tree("0", Digest.of(b"chain")) is None
        assert not (tmp_path / "v1/trees/0" / Digest.of(b"chain").hex).exists()
        assert len(os.listdir(tmp_path / "v1/tmp")) == 2  # this store's own: the rest was swept
