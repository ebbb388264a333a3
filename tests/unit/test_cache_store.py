"""The store and its records: what is whole is found, what is damaged is a miss, what killed builds left goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coopery.cache.entries import load_entries, save_entries
from coopery.cache.layout import cache_root
from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.cache.store import Store
from coopery.errors import StorageError
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.ports import StoredLayer
from coopery.tree.entry import Entry, Kind

KEY = Digest.of(b"key")
GARBAGE = [b"", b"{", b"[", b"null", b"[]", b"{}", b"5", b'"text"', b"[1,2]", b"[[]]", b"[[5,5]]", b'[["sha256:x",""]]']
GARBAGE += [b"\xff\xfe", b"[" * 200_000, b'{"a":' * 50_000, b"[[null,null]]", b'{"digest":5,"mediaType":1,"size":[]}']


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path)) as opened:
        yield opened


def put(store: Store, data: bytes = b"tar" * 500) -> StoredLayer:
    with store.stage() as staged:
        staged.write(data)
        return store.put_layer(staged, Digest.of(data), [Entry(b"f", Kind.FILE, 0o644, 0, 0, 3, offset=512)])


def never(_: str) -> tuple[Entry, ...]:
    raise AssertionError("the list of entries wasn't used")


# ---------------------------------------------------------------------------------------------------- documents


def test_a_record_is_found_with_all_its_layers_or_not_at_all(store):
    records = LocalRecords(store)
    one, two = put(store, b"1"), put(store, b"2")
    record = CacheRecord(KEY, (Outcome(one.diff_id, "2020-01-01T00:00:00Z"), Outcome(two.diff_id, "2021")))
    records.store(record)
    assert records.lookup(KEY) == record
    assert records.lookup(Digest.of(b"other")) is None
    os.unlink(one.tar)
    assert records.lookup(KEY) is None


def test_a_coding_is_found_with_its_blob_or_not_at_all(store):
    records = LocalRecords(store)
    blob = store.put_blob(b"blob")
    descriptor = Descriptor(OCI_LAYER_GZIP, blob, 4)
    records.store_coded(KEY, "gzip-6", descriptor)
    assert records.coded(KEY, "gzip-6") == descriptor
    assert records.coded(KEY, "gzip-9") is None
    Path(store.blob_path(blob)).write_bytes(b"blo")
    assert records.coded(KEY, "gzip-6") is None


@pytest.mark.parametrize("garbage", GARBAGE)
def test_damaged_documents_are_misses(store, garbage):
    records = LocalRecords(store)
    Path(store.root, "records", KEY.hex).write_bytes(garbage)
    Path(store.root, "coded", f"{KEY.hex}.gzip").write_bytes(garbage)
    assert records.lookup(KEY) is None
    assert records.coded(KEY, "gzip") is None


def test_every_truncation_of_a_record_is_a_miss(store):
    records = LocalRecords(store)
    record = CacheRecord(KEY, (Outcome(put(store).diff_id, "2020"),))
    records.store(record)
    path = Path(store.root, "records", KEY.hex)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert records.lookup(KEY) is None


@pytest.mark.parametrize("garbage", [*GARBAGE, b"[1,5]", b"[1,[5]]", b'[1,[["\xc4\x80","0",1,1,1,1,1,"",[0,0],[],1]]]'])
def test_a_damaged_list_of_entries_is_read_again_from_the_tar(store, garbage):
    layer = put(store)
    assert store.layer(layer.diff_id, never) == layer
    Path(layer.tar.removesuffix(".tar") + ".entries").write_bytes(garbage)
    again = (Entry(b"again", Kind.FIFO, 0o600, 1, 2),)
    found = store.layer(layer.diff_id, lambda path: again if path == layer.tar else ())
    assert found is not None
    assert found.entries in (again, ())  # an empty list is a list
    assert found.entries == again or garbage == b"[1,[]]"


def test_entries_of_any_bytes_survive(tmp_path):
    odd = bytes(range(1, 256)).replace(b"/", b"")
    entries = (
        Entry(
            odd, Kind.FILE, 0o7777, 2**32 - 2, 5, 2**60, -5, b"", (0, 0), ((b"user." + odd, bytes(range(256))),), 512
        ),
        Entry(b"d/l", Kind.SYMLINK, 0o777, 0, 0, 0, 2**62, odd),
        Entry(b"dev", Kind.CHARACTER, 0, 0, 0, 0, 0, b"", (4095, 2**20 - 1)),
    )
    with (tmp_path / "entries").open("wb") as file:
        save_entries(entries, file.write)
    assert load_entries(str(tmp_path / "entries")) == entries


# ------------------------------------------------------------------------------------------------- staged files


def test_what_is_not_published_is_gone_and_what_is_is_whole(store):
    with pytest.raises(RuntimeError), store.stage() as staged:
        staged.write(b"half")
        raise RuntimeError
    assert os.listdir(store.tmp) == []
    digest = store.put_blob(b"data")
    assert store.put_blob(b"data") == digest
    assert store.read_blob(digest) == b"data"
    assert os.listdir(store.tmp) == []


def test_a_damaged_blob_is_not_read(store):
    digest = store.put_blob(b"data")
    Path(store.blob_path(digest)).write_bytes(b"dat\0")
    assert store.read_blob(digest) is None
    assert store.read_blob(Digest.of(b"other")) is None
    with pytest.raises(StorageError, match="has left the cache"):
        store.open_blob(Digest.of(b"other"))


def test_an_unpacked_tree_is_there_once_it_is_whole(store):
    chain = Digest.of(b"chain")
    with pytest.raises(RuntimeError), store.make_tree("0", chain) as path:
        Path(path, "f").touch()
        raise RuntimeError
    assert store.tree("0", chain) is None
    with store.make_tree("0", chain) as path:
        Path(path, "f").touch()
        with store.make_tree("0", chain) as other:  # another build was faster
            Path(other, "g").touch()
    found = store.tree("0", chain)
    assert found is not None
    assert os.listdir(found) == ["g"]
    assert store.tree("1", chain) is None


def test_a_tree_that_cannot_be_moved_is_not_marked_whole(store):
    chain = Digest.of(b"chain")
    Path(store.root, "trees/0").mkdir(parents=True)
    Path(store.root, "trees/0", chain.hex).touch()  # a file stands in its place
    with pytest.raises(OSError), store.make_tree("0", chain):
        pass
    assert store.tree("0", chain) is None


# --------------------------------------------------------------------------------------------------- opening


def test_where_the_cache_lies():
    assert cache_root({"COOPERY_CACHE": "/a/../b", "HOME": "/h"}) == "/b"
    assert cache_root({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == "/x/coopery"
    assert cache_root({"HOME": "/h"}) == "/h/.cache/coopery"
    assert cache_root({"XDG_CACHE_HOME": "relative", "HOME": "/h"}) == "/h/.cache/coopery"
    assert cache_root({}) == "/.cache/coopery"


def test_a_store_sweeps_what_dead_builds_left_and_nothing_else(tmp_path):
    with Store(str(tmp_path)) as living:
        Path(living.tmp, "mine").touch()
        parent = Path(living.tmp).parent
        (parent / "1-dead").mkdir()
        (parent / "1-dead/half").write_bytes(b"x")
        (parent / "1-dead.lock").touch()
        (parent / "2-without-lock").mkdir()
        (parent / "3-without-directory.lock").touch()
        with Store(str(tmp_path)) as other:
            mine, its = Path(living.tmp).name, Path(other.tmp).name
            assert sorted(os.listdir(parent)) == sorted([mine, f"{mine}.lock", its, f"{its}.lock"])
        assert os.listdir(living.tmp) == ["mine"]
    assert os.listdir(parent) == []


def test_a_store_that_cannot_be_opened(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((StorageError, NotADirectoryError, FileExistsError)):
        Store(str(tmp_path / "file"))


WRITER = """
import sys
from coopery.cache.records import CacheRecord, LocalRecords, Outcome
from coopery.cache.store import Store
from coopery.oci.digest import Digest
from coopery.tree.entry import Entry, Kind
for turn in range(15):
    with Store(sys.argv[1]) as store:
        records = LocalRecords(store)
        for number in range(4):
            key, data = Digest.of(b"%d" % number), b"%d" % number * 3000
            with store.step_lock(key):
                if records.lookup(key) is None:
                    with open(sys.argv[1] + "/runs", "ab", buffering=0) as log:
                        log.write(b"%d\\n" % number)
                    with store.stage() as staged:
                        staged.write(data)
                        entries = [Entry(b"f%d" % number, Kind.FILE, 0o644, 0, 0, 3000, offset=0)]
                        layer = store.put_layer(staged, Digest.of(data), entries)
                    records.store(CacheRecord(key, (Outcome(layer.diff_id, "2020"),)))
            store.write_document("files", "shared", {"turn": turn, "fill": "x" * 5000})
            value = store.read_document("files", "shared")
            assert value and len(value["fill"]) == 5000, value
            found = store.layer(Digest.of(data), lambda path: sys.exit("no entries"))
            assert found and found.entries[0].path == b"f%d" % number
            assert open(found.tar, "rb").read() == data
"""


def test_processes_share_a_store_and_do_each_step_once(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]
    assert os.listdir(tmp_path / "v1/tmp") == []


KILLED = """
import os, sys
from coopery.cache.store import Store
from coopery.oci.digest import Digest
store = Store(sys.argv[1])
with store.step_lock(Digest.of(b"key")), store.stage() as staged:
    staged.write(b"half a layer")
    print("ready", flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_killed_writer_leaves_no_lock_and_nothing_half(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-9, "ready\n")
    with Store(str(tmp_path)) as store:
        assert sorted(os.listdir(tmp_path / "v1/tmp")) == sorted(
            [os.path.basename(store.tmp), os.path.basename(store.tmp) + ".lock"]
        )
        with store.step_lock(KEY):
            pass
        kept = [path for path in (tmp_path / "v1").rglob("*") if path.is_file() and path.stat().st_size]
        assert kept == []


def test_documents_are_json_of_one_line(store):
    store.write_document("records", "name", {"a": [1, "ä"]})
    assert json.loads(Path(store.root, "records/name").read_text()) == {"a": [1, "ä"]}
    assert store.read_document("records", "name") == {"a": [1, "ä"]}
    assert store.read_document("records", "other") is None
