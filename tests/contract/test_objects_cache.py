"""What is particular to caches in object stores; what all caches must do is in test_remote_cache_contract."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from coopery.cache.object_stores import open_objects
from coopery.cache.objects import ObjectCache
from coopery.cache.records import CacheRecord, Outcome
from coopery.cache.remote.protocol import MayNotWrite
from coopery.cache.remote.record import RemoteRecord
from coopery.engines.cache_spec import parse_cache
from coopery.errors import AuthError, EnvironmentUnsuitable, IntegrityError, NetworkError, NotFound, UsageError
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from support.object_stores import ObjectStore

obstore = pytest.importorskip("obstore", reason="needs obstore")

Open = Callable[..., ObjectCache]


@pytest.fixture(params=["s3", "azblob", "gcs"])
def store(request: pytest.FixtureRequest, object_store: Callable[[str], ObjectStore]) -> ObjectStore:
    found: ObjectStore = object_store(request.param)
    return found


@pytest.fixture
def opened(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the cache of this test, with more keys if given."""
    prefix = os.urandom(4).hex()

    def cache(more: str = "") -> ObjectCache:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        return opening(f"{store.spec},prefix={prefix}{more}")

    return cache


def opening(text: str, environ: dict[str, str] | None = None) -> ObjectCache:
    spec = parse_cache(text, "--cache-to")
    return open_objects(spec, os.environ if environ is None else environ, lambda secret: None)


def layer(content: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, Digest.of(content), len(content))


def record(stored: int, ttl: int = 0) -> RemoteRecord:
    outcome = Outcome(Digest.of(b"tar"), "2026-03-04T05:06:07Z", 1.5)
    return RemoteRecord(CacheRecord(Digest.of(b"step"), (outcome,)), (layer(b"content"),), "gzip-1", stored, ttl)


def never(descriptor: Descriptor) -> io.BytesIO:
    raise AssertionError


def put(cache: ObjectCache, content: bytes) -> str:
    return cache.put_blob(layer(content), lambda: io.BytesIO(content))


def path_of(cache: ObjectCache, content: bytes) -> str:
    return cache._blob(layer(content).digest)


def test_a_newer_record_is_never_replaced_by_an_older_one(opened: Open) -> None:
    opened().put_record(record(2000, ttl=60), never)
    opened().put_record(record(1000), never)
    assert opened().lookup(record(0).record.key) == record(2000, ttl=60)


def test_of_concurrent_writers_the_newest_wins(opened: Open) -> None:
    barrier, failures = threading.Barrier(6), []
    caches = [opened() for _ in range(6)]

    def write(number: int) -> None:
        try:
            barrier.wait()
            caches[number].put_record(record(1000 + number), never)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert opened().lookup(record(0).record.key) == record(1005)


def test_every_name_is_written_and_one_is_enough(opened: Open) -> None:
    opened(",name=main;v1").put_record(record(1000), never)
    key = record(0).record.key
    assert opened(",name=v1").lookup(key) == opened(",name=other;main").lookup(key) == record(1000)
    assert opened(",name=other").lookup(key) is None


def test_objects_are_where_the_docs_say(opened: Open) -> None:
    cache = opened(",name=main")
    put(cache, b"content")
    cache.put_record(record(1000), never)
    prefix = path_of(cache, b"").partition("/")[0]
    names = sorted(found["path"] for some in obstore.list(cache._store, prefix) for found in some)
    assert names == [
        f"{prefix}/blobs/{Digest.of(b'content')}",
        f"{prefix}/manifests/main/{Digest.of(b'step').hex}",
    ]


def test_what_is_truncated_is_refused_and_replaced(opened: Open) -> None:
    cache, content = opened(), os.urandom(100_000)
    put(cache, content)
    obstore.put(cache._store, path_of(cache, content), content[:70_000])
    with pytest.raises(IntegrityError):
        next(cache.blob(layer(content)))
    cache.refuse(layer(content))
    assert put(opened(), content) == "uploaded"
    assert b"".join(opened().blob(layer(content))) == content


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_what_is_damaged_is_refused_and_replaced_by_another_job(opened: Open, size: int) -> None:
    cache, content = opened(), os.urandom(size)
    put(cache, content)
    obstore.put(cache._store, path_of(cache, content), bytes(size))
    with pytest.raises(IntegrityError):
        list(cache.blob(layer(content)))
    cache.refuse(layer(content))
    assert put(opened(), content) == "uploaded"
    assert b"".join(opened().blob(layer(content))) == content


def test_a_blob_in_parts_that_breaks_leaves_nothing(opened: Open) -> None:
    class Breaks(io.BytesIO):
        def read(self, amount: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError("broken")
            return super().read(amount)

    content, cache = os.urandom(1 << 20) * 12, opened()
    with pytest.raises(Exception, match="broken"):
        cache.put_blob(layer(content), lambda: Breaks(content))
    with pytest.raises(NotFound):
        list(cache.blob(layer(content)))


def test_old_blobs_are_made_to_look_new_when_they_are_used(opened: Open, store: ObjectStore) -> None:
    cache = opened(",touch_refresh=1ms")
    put(cache, b"content")
    before = obstore.head(cache._store, path_of(cache, b"content"))
    assert put(opened(",touch_refresh=24h"), b"content") == "exists"
    assert obstore.head(cache._store, path_of(cache, b"content")) == before
    cache._now = lambda: before["last_modified"].timestamp() + 60
    assert put(cache, b"content") == "exists"
    if store.type == "azblob":  # elsewhere tags are hashes of the content, and times are in seconds
        assert obstore.head(cache._store, path_of(cache, b"content"))["e_tag"] != before["e_tag"]
    assert b"".join(cache.blob(layer(b"content"))) == b"content"
    prefix = path_of(cache, b"").partition("/")[0]
    assert len([found for some in obstore.list(cache._store, prefix) for found in some]) == 1


def test_what_was_found_is_made_to_look_new_with_its_blobs(opened: Open, store: ObjectStore) -> None:
    cache = opened(",touch_refresh=24h")
    put(cache, b"content")
    cache.put_record(record(1000), never)
    paths = [path_of(cache, b"content"), next(cache._records(record(0).record.key))]

    def versions() -> list[Any]:
        return [(told["last_modified"], told["e_tag"]) for told in (obstore.head(cache._store, path) for path in paths)]

    before = versions()
    cache.touch(record(0).record.key)
    assert versions() == before
    cache._now = lambda: before[0][0].timestamp() + 90_000
    cache.touch(record(0).record.key)
    if store.type == "azblob":
        assert not {tag for _, tag in versions()} & {tag for _, tag in before}
    assert cache.lookup(record(0).record.key) == record(1000)
    assert b"".join(cache.blob(layer(b"content"))) == b"content"


def test_a_bucket_that_isnt_there_has_nothing_and_takes_nothing(store: ObjectStore, opened: Open) -> None:
    opened()
    cache = opening(re.sub(r"(bucket|container)=cache", r"\1=elsewhere", store.spec))
    assert cache.lookup(record(0).record.key) is None
    with pytest.raises(NotFound) as caught:
        put(cache, b"content")
    assert "make the bucket" in caught.value.hint


def test_a_blob_goes_both_ways_in_little_memory(object_store: Callable[[str], ObjectStore], tmp_path: Any) -> None:
    """Of 80 MB much less than half are in memory at any time."""
    store = object_store("s3")
    script = """\
import hashlib, os, resource, sys
from coopery.cache.object_stores import open_objects
from coopery.engines.cache_spec import parse_cache
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
spec, path = sys.argv[1:]
cache = open_objects(parse_cache(spec, "--cache-to"), os.environ, lambda secret: None)
with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
layer = Descriptor("x", Digest.parse("sha256:" + digest), os.path.getsize(path))
cache.lookup(layer.digest)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert cache.put_blob(layer, lambda: open(path, "rb")) == "uploaded"
assert sum(map(len, cache.blob(layer))) == layer.size
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "blob").write_bytes(os.urandom(1 << 20) * 80)
    command = [sys.executable, "-c", script, f"{store.spec},prefix={os.urandom(4).hex()}", str(tmp_path / "blob")]
    done = subprocess.run(command, env=os.environ | store.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 36_000  # KiB


# ------------------------------------------------------------------------------------------------ who we are


def test_a_job_that_may_not_write_says_so(object_store: Callable[[str], ObjectStore]) -> None:
    store = object_store("azblob")
    other = base64.b64encode(b"another key").decode()
    cache = opening(re.sub("secret_access_key=[^,]+", f"secret_access_key={other}", store.spec))
    with pytest.raises(MayNotWrite) as caught:
        put(cache, b"content")
    assert other not in str(caught.value)
    with pytest.raises(AuthError):
        cache.lookup(record(0).record.key)


@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        ("type=s3,region=x", {}, "add bucket=… or set AWS_BUCKET"),
        ("type=s3,bucket=x", {}, "add region=… or set AWS_REGION"),
        ("type=gcs", {}, "add bucket="),
        ("type=azblob", {}, "add account_url="),
        ("type=azblob,account_url=https://a.example", {"AZURE_STORAGE_TOKEN": "t"}, "to Azure's own hosts only"),
        ("type=azblob,account_url=http://a.blob.core.windows.net", {}, "needs an account key"),
        ("type=azblob,account_url=https://a.blob.core.windows.net.a.example", {}, "needs an account key"),
    ],
)
def test_what_the_environment_has_to_say(text: str, environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        opening(text, environ)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_azures_own_hosts_need_no_account_key() -> None:
    for account in ("https://a.blob.core.windows.net", "https://a.z1.blob.storage.azure.net/"):
        assert (
            opening(f"type=azblob,account_url={account}", {}).name
            == f"azblob {account[8:].rstrip('/')}/buildkit-cache coopery"
        )


@pytest.mark.parametrize(
    ("more", "endpoint", "virtual"),
    [
        ("", "", True),
        (",use_path_style=true", "", False),
        (",endpoint_url=https://s3.example:9000/", "https://cache.s3.example:9000", True),
        (",endpoint_url=https://s3.example,use_path_style=true", "https://s3.example", False),
        (",endpoint_url=http://127.0.0.1:9000", "http://127.0.0.1:9000", False),
    ],
)
def test_where_the_bucket_stands_in_s3s_urls(more: str, endpoint: str, virtual: bool) -> None:
    config = opening(f"type=s3,bucket=cache,region=eu-west-1{more}", {})._store.config
    assert config.get("endpoint", "") == endpoint
    assert config["virtual_hosted_style_request"] == str(virtual).lower()


def test_a_profile_of_awss_own_files_counts(
    object_store: Callable[[str], ObjectStore], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore", reason="needs botocore")
    store = object_store("s3")
    file = tmp_path / "credentials"
    file.write_text("[builder]\naws_access_key_id = one\naws_secret_access_key = two\n")
    for name in store.env:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "builder")
    cache = opening(f"{store.spec},prefix={os.urandom(4).hex()}")
    assert cache._store.credential_provider is not None
    assert put(cache, b"content") == "uploaded"


def test_secrets_are_masked_before_they_are_used() -> None:
    told: list[bytes] = []
    spec = parse_cache("type=s3,bucket=b,region=r,access_key_id=i,secret_access_key=s,session_token=t", "--cache-to")
    cache = open_objects(spec, {"AZURE_CLIENT_SECRET": "c"}, told.append)
    assert told == [b"s", b"t", b"c"]
    assert "access" not in cache.name


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(EnvironmentUnsuitable) as caught:
        opening("type=gcs,bucket=x", {})
    assert "coopery[objects]" in caught.value.hint


# ------------------------------------------------------------------------------------------- awkward servers


class Awkward(ThreadingHTTPServer):
    """Speaks like S3, but knows no conditions, and breaks off the first downloads of what is long."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.breaks = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Awkward

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        if "if-none-match" in self.headers:
            self._answer(501, b"")
        else:
            self.server.objects[self.path] = data
            self._answer(200, b"")

    def do_GET(self) -> None:
        data = self.server.objects.get(self.path)
        if data is None:
            self._answer(404, b"")
            return
        start = int((self.headers.get("range") or "bytes=0-")[6:].partition("-")[0])
        self._answer(206 if start else 200, data[start:], start, len(data))

    do_HEAD = do_GET

    def _answer(self, status: int, data: bytes, start: int = 0, whole: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Fri, 20 Nov 2026 20:00:00 GMT")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        if self.command == "GET":
            cut = len(data) > 1000 and self.server.breaks > 0
            self.server.breaks -= cut
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut


@pytest.fixture
def awkward() -> Iterator[Awkward]:
    server = Awkward()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def at(server: Awkward, more: str = "") -> ObjectCache:
    place = f"endpoint_url=http://127.0.0.1:{server.server_port},retry_max_attempts=1"
    return opening(f"type=s3,bucket=b,region=r,access_key_id=i,secret_access_key=s,{place}{more}")


def test_a_store_without_conditions_is_written_all_the_same(awkward: Awkward) -> None:
    put(at(awkward), b"content")
    at(awkward).put_record(record(1000), never)
    assert at(awkward).lookup(record(0).record.key) == record(1000)


def test_a_broken_download_goes_on_where_it_broke(awkward: Awkward) -> None:
    content = os.urandom(100_000)
    put(at(awkward), content)
    awkward.breaks = 2
    assert b"".join(at(awkward).blob(layer(content))) == content
    assert awkward.breaks == 0


def test_no_answer_is_a_matter_of_the_network(awkward: Awkward) -> None:
    cache = at(awkward)
    awkward.server_close()
    with pytest.raises(NetworkError):
        cache.lookup(record(0).record.key)
