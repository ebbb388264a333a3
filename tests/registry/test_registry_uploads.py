"""Large blobs over links that break, proxies that limit and registries that don't take parts, with real registries."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_proxy import Fault, FaultyProxy
from registry_support import (
    FakeBlobs,
    Reply,
    Request,
    ScriptedServer,
    TokenServer,
    blob_of,
    client,
    login,
)

from coopery.errors import IntegrityError, NetworkError, RegistryError, StorageError
from coopery.oci.descriptor import OCI_LAYER, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.registry import body, uploading

#: A mebibyte of real life: what decides how blobs are sent is made as much smaller, to have fast tests.
UNIT = 1 << 17
SIZE = 48 * UNIT + 7


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((uploading, "STREAM_ABOVE"), (uploading, "MIN_CHUNK"), (body, "MARK_EVERY")):
        monkeypatch.setattr(module, name, getattr(module, name) >> 3)


@functools.cache
def large() -> bytes:
    """Bytes that don't repeat where they could hide a mistake: each block begins with its number."""
    block = bytes(range(256)) * 16
    return b"".join(number.to_bytes(8) + block[8:] for number in range(SIZE // len(block) + 1))[:SIZE]


def push(host: str, data: bytes | None = None, path: str = "large/blob") -> str:
    content = large() if data is None else data
    one = client(login())
    outcome = one.registry.push_blob(Reference.parse(f"{host}/{path}"), blob_of(content), lambda: io.BytesIO(content))
    assert max(one.pauses, default=0) < 60
    return outcome


def pulled(host: str, path: str = "large/blob") -> bool:
    digest = hashlib.sha256()
    for piece in client(login()).registry.blob(Reference.parse(f"{host}/{path}"), blob_of(large())):
        digest.update(piece)
    return digest.hexdigest() == blob_of(large()).digest.hex


@pytest.fixture
def proxy(fresh_registry: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(fresh_registry) as one:
        yield one


# ------------------------------------------------------------------------------------------------ links that break


@pytest.mark.parametrize("every", [12 * UNIT, 30 * UNIT])
def test_connections_that_break(fresh_registry: str, every: int) -> None:
    with FaultyProxy(fresh_registry, break_every=every) as proxy:
        assert push(proxy.host) == "uploaded"
        assert proxy.breaks
        proxy.breaks, proxy.break_every = 0, every
        assert pulled(proxy.host)
        assert proxy.breaks >= SIZE // every


def test_a_link_that_breaks_is_resumed_where_the_registry_keeps_what_it_got(new_registry: str) -> None:
    with FaultyProxy(new_registry, break_every=4 * UNIT, whole_link=True) as proxy:
        assert push(proxy.host) == "uploaded"
        assert proxy.breaks >= SIZE // (4 * UNIT)
        assert sum(request.sent for request in proxy.passed) < 3 * SIZE  # parts may come before it is ready for them
        assert len(proxy.sent("POST")) == 1
        proxy.break_every = 12 * UNIT  # what is read at once must come through
        assert pulled(proxy.host)


def test_a_link_that_lets_nothing_through_is_given_up(proxy: FaultyProxy) -> None:
    proxy.faults.append(Fault("PATCH", cut_up=1000, times=-1))
    proxy.faults.append(Fault("PUT", cut_up=1000, times=-1))
    with pytest.raises(NetworkError):
        push(proxy.host)
    assert len(proxy.passed) < 60


def test_a_small_blob_is_sent_again_whole(proxy: FaultyProxy) -> None:
    proxy.faults.append(Fault("PUT", cut_up=1000))
    assert push(proxy.host, large()[: 3 * UNIT]) == "uploaded"
    assert not proxy.sent("PATCH")


def test_lost_answers(proxy: FaultyProxy) -> None:
    proxy.faults += [Fault("PATCH", lose_answer=True), Fault("PUT", lose_answer=True), Fault("POST", lose_answer=True)]
    assert push(proxy.host) == "uploaded"
    assert pulled(proxy.host)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_bursts_of_failures(proxy: FaultyProxy, status: int) -> None:
    headers = {"Retry-After": "3"} if status == 429 else {}
    proxy.faults += [
        Fault(method, status=status, headers=headers, times=2) for method in ("HEAD", "POST", "PATCH", "PUT")
    ]
    one = client()
    target = Reference.parse(f"{proxy.host}/large/blob")
    assert one.registry.push_blob(target, blob_of(large()), lambda: io.BytesIO(large())) == "uploaded"
    assert not any(fault.times for fault in proxy.faults)
    assert one.pauses.count(3) == (8 if status == 429 else 0)
    assert pulled(proxy.host)


def test_headers_may_come_in_any_order_and_few(proxy: FaultyProxy) -> None:
    proxy.faults.append(Fault("PATCH", reverse=True, drop=("range", "docker-upload-uuid"), times=-1))
    proxy.faults.append(Fault("PUT", drop=("docker-content-digest", "location"), times=-1))
    assert push(proxy.host) == "uploaded"
    assert pulled(proxy.host)


def test_memory_stays_flat(open_registry: str, tmp_path: Path) -> None:
    """A blob larger than the limit, over connections that break, pushed and pulled in a process of its own."""
    size, limit = 192 << 20, 150 << 20
    path = tmp_path / "blob"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size >> 20):
            piece = number.to_bytes(4) * (1 << 18)
            file.write(piece)
            digest.update(piece)
    program = (
        "import resource, sys\n"
        "from coopery.oci.descriptor import Descriptor\n"
        "from coopery.oci.digest import Digest\n"
        "from coopery.oci.reference import Reference\n"
        "from coopery.registry import RegistryClient\n"
        "class Nobody:\n"
        "    def get(self, registry, repository): return None\n"
        "path, reference, digest, size = sys.argv[1], Reference.parse(sys.argv[2]), sys.argv[3], int(sys.argv[4])\n"
        "blob = Descriptor('application/octet-stream', Digest.parse(digest), size)\n"
        "client = RegistryClient(Nobody())\n"
        "assert client.push_blob(reference, blob, lambda: open(path, 'rb')) == 'uploaded'\n"
        "assert sum(map(len, client.blob(reference, blob))) == size\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
    )
    with FaultyProxy(open_registry, break_every=50_000_000) as proxy:
        arguments = [path, f"{proxy.host}/flat/blob", f"sha256:{digest.hexdigest()}", str(size)]
        command = [sys.executable, "-c", program, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    # A process starts with the peak of the one it was forked from.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert int(result.stdout) <= max(limit, inherited)
    assert proxy.breaks > 3


# ----------------------------------------------------------------------------------------------- registries that differ


def test_blobs_are_streamed_as_docker_does(proxy: FaultyProxy) -> None:
    assert push(proxy.host) == "uploaded"
    [patch] = proxy.sent("PATCH")
    assert patch.headers["content-length"] == str(SIZE)
    assert "content-range" not in patch.headers
    assert proxy.sent("PUT", "digest=sha256:")[0].headers["content-length"] == "0"


@pytest.mark.parametrize("status", [404, 405])
def test_a_registry_that_takes_no_uploads_is_asked_once(proxy: FaultyProxy, status: int) -> None:
    proxy.faults.append(Fault("POST", status=status, times=-1))
    with pytest.raises(RegistryError):
        push(proxy.host)
    assert len(proxy.sent("POST")) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_registry_without_patch_gets_the_blob_whole(proxy: FaultyProxy, status: int) -> None:
    proxy.faults.append(Fault("PATCH", status=status, times=-1))
    assert push(proxy.host) == "uploaded"
    assert [request.sent for request in proxy.sent("PUT")] == [SIZE]
    assert pulled(proxy.host)


def test_a_registry_without_patch_is_asked_once(proxy: FaultyProxy) -> None:
    proxy.faults.append(Fault("PATCH", status=405, times=-1))
    registry = client().registry
    target = Reference.parse(f"{proxy.host}/large/blob")
    for data in (large(), large()[1:]):
        assert registry.push_blob(target, blob_of(data), lambda data=data: io.BytesIO(data)) == "uploaded"
    assert len(proxy.sent("PATCH")) == 1


def test_a_registry_that_does_not_say_how_far_it_is(proxy: FaultyProxy) -> None:
    proxy.faults += [Fault("PATCH", cut_up=20 * UNIT), Fault("GET", "/uploads/", status=404, times=-1)]
    assert push(proxy.host) == "uploaded"
    assert pulled(proxy.host)


def test_a_limit_on_the_length_of_bodies(serve: Callable[[Callable[[Request], Reply]], ScriptedServer]) -> None:
    chunks = Chunks(longest=9 * UNIT)
    server = serve(chunks)
    assert push(server.host) == "uploaded"
    assert chunks.blob == large()
    assert max(len(request.body) for request in server.sent("PATCH") if request.headers.get("taken")) <= 9 * UNIT


def test_a_shortest_chunk_is_honoured(serve: Callable[[Callable[[Request], Reply]], ScriptedServer]) -> None:
    chunks = Chunks(shortest=10 * UNIT, longest=11 * UNIT)
    server = serve(chunks)
    assert push(server.host) == "uploaded"
    assert chunks.blob == large()
    *most, last = [request for request in server.sent("PATCH") if request.headers.get("taken")]
    assert min(len(request.body) for request in most) >= 10 * UNIT
    assert last.headers["content-range"].endswith(f"-{SIZE - 1}")


def test_a_registry_that_kept_less_than_it_was_sent(
    serve: Callable[[Callable[[Request], Reply]], ScriptedServer],
) -> None:
    chunks = Chunks(keeps=30 * UNIT)
    assert push(serve(chunks).host) == "uploaded"
    assert chunks.blob == large()


def test_a_limit_that_no_chunk_meets_is_an_error(
    serve: Callable[[Callable[[Request], Reply]], ScriptedServer],
) -> None:
    with pytest.raises(RegistryError, match="413") as caught:
        push(serve(Chunks(longest=UNIT)).host)
    assert "limits the size" in caught.value.hint


class Chunks(FakeBlobs):
    """Takes uploads in chunks of a shortest and longest length, in order, and keeps no more than `keeps` of one."""

    def __init__(self, *, shortest: int = 0, longest: int = 1 << 40, keeps: int = 1 << 40) -> None:
        super().__init__()
        self.shortest, self.longest, self.keeps = shortest, longest, keeps
        self.blob = bytearray()

    def __call__(self, request: Request) -> Reply:
        session = {"Location": "/v2/large/blob/blobs/uploads/session", "Range": f"0-{max(0, len(self.blob) - 1)}"}
        if request.method == "POST":
            least = {"OCI-Chunk-Min-Length": str(self.shortest)} if self.shortest else {}
            return Reply(202, session | least)
        if request.method == "GET" and "/uploads/" in request.path:
            return Reply(204, session)
        if request.method == "PATCH":
            if len(request.body) > self.longest:
                return Reply(413)
            start = int(request.headers.get("content-range", "0-").split("-")[0])
            if start != len(self.blob):
                return Reply(416, session)
            request.headers["taken"] = "yes"
            self.blob += request.body[: self.keeps]
            return Reply(202, session | {"Range": f"0-{len(self.blob) - 1}"})
        if request.method == "PUT":
            right = str(Digest.of(self.blob)) == request.query["digest"][0] and not request.body
            return Reply(201 if right else 400)
        return Reply(404) if request.method == "HEAD" else super().__call__(request)


# ------------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "GET"])
def test_a_token_that_runs_out_in_mid_push_is_renewed(
    token_registry: str, token_server: TokenServer, method: str
) -> None:
    with FaultyProxy(token_registry) as proxy:
        proxy.faults.append(Fault("PATCH", cut_up=20 * UNIT))
        proxy.faults.append(Fault(method, "/uploads/", anonymous=True))
        path = f"token/{method.lower()}"
        assert push(proxy.host, path=path) == "uploaded"
        assert not any(fault.times for fault in proxy.faults)
        assert pulled(proxy.host, path)


# ------------------------------------------------------------------------------------------------ what is pushed


def test_wrong_bytes_are_not_pushed_and_the_session_is_closed(proxy: FaultyProxy) -> None:
    wrong = large()[:-1] + b"!"
    target = Reference.parse(f"{proxy.host}/large/blob")
    with pytest.raises(IntegrityError, match="to be pushed"):
        client().registry.push_blob(target, blob_of(large()), lambda: io.BytesIO(wrong))
    assert not client().registry.has_blob(target, blob_of(large()).digest)
    assert proxy.sent("DELETE", "/uploads/")


def test_a_file_that_changes_between_two_tries_is_refused(new_registry: str) -> None:
    changed = large()[: 40 * UNIT] + b"changed" + large()[40 * UNIT + 7 :]
    contents = itertools.chain([large()], itertools.repeat(changed))
    with FaultyProxy(new_registry) as proxy:
        proxy.faults.append(Fault("PATCH", cut_up=30 * UNIT))
        target = Reference.parse(f"{proxy.host}/large/changing")
        with pytest.raises(IntegrityError, match="has digest"):
            client().registry.push_blob(target, blob_of(large()), lambda: io.BytesIO(next(contents)))


class OneWay(io.BytesIO):
    """A source that can't go back."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation("seek")


def test_a_source_that_cannot_seek_is_read_again(new_registry: str) -> None:
    with FaultyProxy(new_registry, break_every=20 * UNIT) as proxy:
        target = Reference.parse(f"{proxy.host}/large/oneway")
        assert client().registry.push_blob(target, blob_of(large()), lambda: OneWay(large())) == "uploaded"
        assert pulled(proxy.host, "large/oneway")


def test_a_source_that_fails_is_a_storage_error(proxy: FaultyProxy) -> None:
    class Failing(io.BytesIO):
        def read(self, amount: int | None = -1) -> bytes:
            if self.tell() > 20 * UNIT:
                raise OSError(5, "Input/output error")
            return super().read(amount)

    target = Reference.parse(f"{proxy.host}/large/failing")
    blob = Descriptor(OCI_LAYER, Digest.of(large()), SIZE)
    with pytest.raises(StorageError, match="Input/output error"):
        client().registry.push_blob(target, blob, lambda: Failing(large()))


# ------------------------------------------------------------------------------------------------ pulling


def test_wrong_bytes_of_the_right_length_are_refused(proxy: FaultyProxy) -> None:
    push(proxy.host)
    for fault in (Fault("GET", "/blobs/", flip=True), Fault("GET", "/blobs/", blank_from=20 * UNIT)):
        proxy.faults.append(fault)
        with pytest.raises(IntegrityError, match="has digest"):
            pulled(proxy.host)


def test_a_cut_body_a_slow_one_and_one_without_a_length(proxy: FaultyProxy) -> None:
    push(proxy.host)
    proxy.faults.append(Fault("GET", "/blobs/", cut_down=20 * UNIT))
    proxy.faults.append(Fault("GET", "/blobs/", cut_down=20 * UNIT, drop=("content-length",)))
    proxy.faults.append(Fault("GET", "/blobs/", drip=1000, drop=("content-length",)))
    assert pulled(proxy.host)
    assert len(proxy.sent("GET", "/blobs/sha256")) == 3
