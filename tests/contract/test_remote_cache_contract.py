"""What every remote cache must do, whatever lies behind it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coopery.cache.gha import ActionsCache
from coopery.cache.object_stores import open_objects
from coopery.cache.records import CacheRecord, Outcome
from coopery.cache.remote.directory import DirectoryCache
from coopery.cache.remote.protocol import Cache, MayNotWrite
from coopery.cache.remote.record import RemoteRecord
from coopery.cache.remote.registry import RegistryCache
from coopery.engines.cache_spec import parse_cache
from coopery.errors import IntegrityError, NotFound, StorageError
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.platform import host
from coopery.oci.reference import Reference
from coopery.registry import RegistryClient
from coopery.registry.transport import Transport
from coopery.request import OBJECT_STORES
from plainregistry import Registry
from support.actions_cache import READ, WRITE, ActionsCacheService, Trouble

#: Opens the cache: as the one job sees it that made it, or as another one does.
Open = Callable[[], Cache]


class Nobody:
    def get(self, registry: str, repository: str) -> None:
        return None

    def advice(self, registry: str, repository: str, action: str) -> str:
        return ""


@pytest.fixture(params=["registry", "registry with a tag", "local", "gha", "s3", "azblob", "gcs"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param in OBJECT_STORES:
        store = request.getfixturevalue("object_store")(request.param)
        spec = parse_cache(f"{store.spec},prefix=contract/{os.urandom(4).hex()}", "--cache-to")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in store.env.items():
                patch.setenv(name, value)
            yield lambda: open_objects(spec, os.environ, lambda secret: None)
    elif request.param == "local":
        yield lambda: DirectoryCache(str(tmp_path / "cache"))
    elif request.param == "gha":
        with ActionsCacheService() as service:
            token = service.token(("refs/heads/main", READ | WRITE))
            yield lambda: ActionsCache(Transport(), service.url, token, "app")
    else:
        registry: Registry = request.getfixturevalue("registry")
        tag = ":main" if "tag" in request.param else ""
        reference = Reference.parse(f"{registry.host}/contract/{os.urandom(4).hex()}{tag}")
        yield lambda: RegistryCache(RegistryClient(Nobody()), reference, (host(),))


def blob(content: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, Digest.of(content), len(content))


def record(name: str, *layers: Descriptor, stored: int = 1_800_000_000, ttl: int = 0) -> RemoteRecord:
    """A record of as many steps; the diff IDs are made up: nobody looks behind them here."""
    outcomes = tuple(
        Outcome(Digest.of(b"tar of " + layer.digest.hex.encode()), f"2026-03-04T05:06:{number:02}Z", 1.5)
        for number, layer in enumerate(layers)
    )
    return RemoteRecord(CacheRecord(Digest.of(name.encode()), outcomes), layers, "gzip-1", stored, ttl)


def keep(cache: Cache, made: RemoteRecord) -> None:
    """Keeps a record; its blobs were put before."""
    cache.put_record(made, lambda layer: io.BytesIO(BLOBS[layer.digest]))


BLOBS: dict[Digest, bytes] = {}


def put(cache: Cache, content: bytes) -> Descriptor:
    descriptor = blob(content)
    BLOBS[descriptor.digest] = content
    cache.put_blob(descriptor, lambda: io.BytesIO(content))
    return descriptor


def test_a_record_comes_back_as_it_was_for_another_job(opened: Open) -> None:
    cache = opened()
    one, two = put(cache, b"one"), put(cache, b"two" * 100_000)
    made = record("step", one, two, one, ttl=3600)
    keep(cache, made)
    other = opened()
    assert other.lookup(made.record.key) == made
    assert b"".join(other.blob(two)) == b"two" * 100_000
    assert other.lookup(Digest.of(b"another step")) is None


def test_nothing_is_found_where_nothing_was_kept(opened: Open) -> None:
    assert opened().lookup(Digest.of(b"step")) is None
    with pytest.raises(NotFound):
        list(opened().blob(blob(b"never kept")))


def test_a_blob_is_sent_once(opened: Open) -> None:
    content, cache = b"content", opened()
    assert cache.put_blob(blob(content), lambda: io.BytesIO(content)) == "uploaded"

    def never() -> io.BytesIO:
        raise AssertionError

    assert opened().put_blob(blob(content), never) == "exists"


def test_the_newest_record_under_a_key_counts(opened: Open) -> None:
    cache = opened()
    old, new = record("step", put(cache, b"old")), record("step", put(cache, b"new"), stored=1_800_000_100)
    for each in (old, new):
        keep(cache, each)
    assert opened().lookup(old.record.key) == new


def test_blobs_of_many_blocks_come_back_whole(opened: Open) -> None:
    content = os.urandom(1 << 20) * 40
    layer = put(opened(), content)
    assert b"".join(opened().blob(layer)) == content


def test_a_blob_that_isnt_what_its_record_says_is_refused(opened: Open) -> None:
    """The record may be a liar's: it names the digest of one blob and the size of another."""
    cache = opened()
    layer = put(cache, b"content")
    for wrong in (replace(layer, size=6), replace(layer, size=8)):
        with pytest.raises(IntegrityError):
            list(opened().blob(wrong))


def test_concurrent_jobs_keep_each_others_records(opened: Open) -> None:
    failures: list[BaseException] = []

    def job(number: int) -> None:
        try:
            cache = opened()
            shared, own = put(cache, b"shared" * 1000), put(cache, b"own %d" % number)
            keep(cache, record("shared step", shared))
            keep(cache, record(f"step {number}", shared, own))
        except BaseException as error:
            failures.append(error)

    jobs = [threading.Thread(target=job, args=(number,)) for number in range(12)]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    assert not failures
    cache = opened()
    for number in range(12):
        found = cache.lookup(Digest.of(f"step {number}".encode()))
        assert found
        assert [b"".join(cache.blob(layer)) for layer in found.layers] == [b"shared" * 1000, b"own %d" % number]


# --------------------------------------------------------------------------------------------- one at a time


def test_records_of_different_tags_and_scopes_stay_apart(registry: Registry) -> None:
    repository = f"{registry.host}/contract/{os.urandom(4).hex()}"
    client = RegistryClient(Nobody())
    main, other = (RegistryCache(client, Reference.parse(f"{repository}:{tag}"), (host(),)) for tag in ("main", "pr-7"))
    made = record("step", put(main, b"content"))
    keep(main, made)
    assert other.lookup(made.record.key) is None
    with ActionsCacheService() as service:
        token = service.token(("refs/heads/main", READ | WRITE))
        one, two = (ActionsCache(Transport(), service.url, token, scope) for scope in ("one", "two"))
        keep(one, made)
        assert one.lookup(made.record.key) == made
        assert two.lookup(made.record.key) is None


def test_a_record_in_a_registry_is_a_plain_image(registry: Registry, tmp_path: Path) -> None:
    reference = Reference.parse(f"{registry.host}/contract/{os.urandom(4).hex()}")
    cache = RegistryCache(RegistryClient(Nobody()), reference, (host(),))
    made = record("step", put(cache, b"content"))
    keep(cache, made)
    data, media_type = registry.manifest(reference.repository, made.record.key.hex)
    manifest = json.loads(data)
    assert media_type == manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    config = json.loads(registry.blob(reference.repository, manifest["config"]["digest"]))
    assert config["rootfs"]["diff_ids"] == [str(diff_id) for diff_id in made.record.diff_ids]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"format":1}', b'{"format":1,"key":3,"steps":[]}'])
def test_a_malformed_record_is_refused(damage: bytes, tmp_path: Path) -> None:
    cache = DirectoryCache(str(tmp_path))
    made = record("step", put(cache, b"content"))
    keep(cache, made)
    (tmp_path / "records" / made.record.key.hex).write_bytes(damage)
    with pytest.raises(IntegrityError):
        cache.lookup(made.record.key)


def test_a_record_of_a_later_format_is_passed_over(tmp_path: Path) -> None:
    cache = DirectoryCache(str(tmp_path))
    made = record("step", put(cache, b"content"))
    keep(cache, made)
    (tmp_path / "records" / made.record.key.hex).write_bytes(b'{"format":2,"what":"ever"}')
    assert cache.lookup(made.record.key) is None


def test_a_damaged_file_is_refused_and_replaced(tmp_path: Path) -> None:
    cache = DirectoryCache(str(tmp_path))
    layer = put(cache, b"content")
    (tmp_path / "blobs" / "sha256" / layer.digest.hex).write_bytes(b"c0ntent")
    with pytest.raises(IntegrityError):
        list(cache.blob(layer))
    cache.refuse(layer)
    assert put(cache, b"content") == layer
    assert b"".join(cache.blob(layer)) == b"content"


def test_the_directory_is_an_image_layout_without_leftovers(tmp_path: Path) -> None:
    cache = DirectoryCache(str(tmp_path))
    keep(cache, record("step", put(cache, b"content")))

    class Breaks(io.BytesIO):
        def read(self, amount: int | None = -1, /) -> bytes:
            raise OSError("broken")

    with pytest.raises(StorageError):
        cache.put_blob(blob(b"other"), Breaks)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert names[-2:] == ["oci-layout", names[-1]]
    assert names[-1].startswith("records/")
    assert not [name for name in names if "part" in name]


def test_a_writer_that_is_killed_leaves_nothing_that_counts(tmp_path: Path) -> None:
    layer = blob(b"content")
    script = (
        "import io, os, signal, sys\n"
        "from coopery.cache.remote.directory import DirectoryCache\n"
        "from coopery.oci.descriptor import Descriptor\n"
        "from coopery.oci.digest import Digest\n"
        "class Kills(io.BytesIO):\n"
        "    def read(self, amount=-1):\n"
        "        return super().read(3) or os.kill(os.getpid(), signal.SIGKILL)\n"
        "layer = Descriptor('x', Digest.parse(sys.argv[2]), 7)\n"
        "DirectoryCache(sys.argv[1]).put_blob(layer, lambda: Kills(b'conte'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(layer.digest)])
    assert done.returncode == -signal.SIGKILL
    cache = DirectoryCache(str(tmp_path))
    with pytest.raises(NotFound):
        list(cache.blob(layer))
    (left,) = tmp_path.rglob("*.part")
    os.utime(left, (1, 1))
    put(cache, b"content")
    assert b"".join(cache.blob(layer)) == b"content"
    assert not left.exists()


def test_a_time_to_live_is_the_records_and_the_readers() -> None:
    made = record("step", blob(b"content"), stored=1000, ttl=100)
    assert made.is_fresh(1099)
    assert not made.is_fresh(1100)
    assert not made.is_fresh(1050, ttl=50)
    assert replace(made, ttl=0).is_fresh(1e12)


# ---------------------------------------------------------------------------------------- the Actions service


@pytest.fixture
def service() -> Iterator[ActionsCacheService]:
    with ActionsCacheService() as running:
        yield running


def actions(service: ActionsCacheService, permission: int = READ | WRITE, mode: str = "") -> ActionsCache:
    transport = Transport(sleep=pauses.append)
    return ActionsCache(transport, service.url, service.token(("refs/heads/main", permission)), "app", mode)


pauses: list[float] = []


def test_a_job_that_may_only_read_says_so_without_asking(service: ActionsCacheService) -> None:
    for cache in (actions(service, READ), actions(service, mode="read")):
        with pytest.raises(MayNotWrite):
            put(cache, b"content")
    assert not service.count("POST", "Create")


def test_a_refusal_by_the_service_is_one_to_write(service: ActionsCacheService) -> None:
    opaque = ActionsCache(Transport(), service.url, service.token(("refs/heads/main", READ)), "app")
    opaque._may_write = True  # as with a token that can't be read
    with pytest.raises(MayNotWrite):
        put(opaque, b"content")


def test_other_branches_entries_are_seen_as_the_token_allows(service: ActionsCacheService) -> None:
    made = record("step", put(actions(service), b"content"))
    keep(actions(service), made)
    scopes = (("refs/pull/7/merge", READ | WRITE), ("refs/heads/main", READ))
    change = ActionsCache(Transport(), service.url, service.token(*scopes), "app")
    assert change.lookup(made.record.key) == made
    stranger = ActionsCache(Transport(), service.url, service.token(("refs/heads/other", READ | WRITE)), "app")
    assert stranger.lookup(made.record.key) is None


def test_a_limit_is_waited_for(service: ActionsCacheService) -> None:
    service.troubles.append(Trouble("POST", "Create", 429, headers={"Retry-After": "7"}))
    pauses.clear()
    put(actions(service), b"content")
    assert pauses == [7.0]


def test_a_url_that_has_run_out_is_asked_for_anew_and_broken_downloads_go_on(service: ActionsCacheService) -> None:
    content = os.urandom(100_000)
    layer = put(actions(service), content)
    service.troubles += [Trouble("GET", "blobs", 403), Trouble("GET", "blobs", 0, cut=60_000)]
    assert b"".join(actions(service).blob(layer)) == content
    assert service.count("GET", "blobs") == 3


def test_what_exists_by_the_time_it_is_reserved_is_fine(service: ActionsCacheService) -> None:
    service.troubles.append(Trouble("POST", "Create", 409, body=b'{"code":"already_exists","msg":"key"}'))
    assert actions(service).put_blob(blob(b"content"), lambda: io.BytesIO(b"content")) == "exists"


def test_a_refused_entry_gets_a_newer_one(service: ActionsCacheService) -> None:
    cache = actions(service)
    layer = put(cache, b"content")
    service.entries[0].data = b"c0ntent"
    with pytest.raises(IntegrityError):
        list(cache.blob(layer))
    cache.refuse(layer)
    put(cache, b"content")
    assert b"".join(actions(service).blob(layer)) == b"content"


def test_large_blobs_go_up_in_blocks(service: ActionsCacheService) -> None:
    put(actions(service), os.urandom(1 << 20) * 33)
    assert service.count("PUT", "comp=block&") == 3
    assert service.count("PUT", "comp=blocklist") == 1
