"""What the client makes of connections that break and servers that lie or fail."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from registry_support import FakeBlobs, Reply, Request, ScriptedServer, blob_of, client

from coopery.errors import CooperyError, IntegrityError, NetworkError, NotFound, RegistryError
from coopery.oci.descriptor import OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest
from coopery.oci.reference import Reference

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]
DATA = bytes(range(256)) * 12_000  # three pieces
MANIFEST = Manifest(blob_of(b"{}"), ()).serialize()


def at(server: ScriptedServer, path: str = "team/app:1") -> Reference:
    return Reference.parse(f"{server.host}/{path}")


def pull(server: ScriptedServer, data: bytes = DATA) -> bytes:
    return b"".join(client().registry.blob(at(server), blob_of(data)))


# ------------------------------------------------------------------------------------------------ pulling


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_download_is_resumed(serve: Serve, ranges: bool) -> None:
    fake = FakeBlobs(DATA)
    fake.ranges = ranges
    cuts = iter([1_500_000, 700_000, 100_000])

    def cut(request: Request) -> Reply | None:
        if "/blobs/" in request.path:
            for length in cuts:
                fake.before = lambda request: None
                reply = fake(request)
                fake.before = cut
                reply.cut = length
                return reply
        return None

    fake.before = cut
    server = serve(fake)
    assert pull(server) == DATA
    assert len(server.sent("GET", "/blobs/")) == 4


def test_download_that_breaks_for_ever_is_given_up(serve: Serve) -> None:
    def cut(request: Request) -> Reply:
        return Reply(body=DATA, cut=0 if request.headers.get("range") else 10) if "blobs" in request.path else Reply()

    server = serve(cut)
    with pytest.raises(NetworkError):
        pull(server)
    assert len(server.requests) < 40


def test_resumed_range_at_the_wrong_place_is_refused(serve: Serve) -> None:
    def shifted(request: Request) -> Reply:
        if request.headers.get("range"):
            return Reply(206, {"Content-Range": f"bytes 0-9/{len(DATA)}"}, DATA[:10])
        return Reply(body=DATA, cut=2_000_000) if "blobs" in request.path else Reply()

    with pytest.raises(IntegrityError, match="another place"):
        pull(serve(shifted))


@pytest.mark.parametrize("length", [100, 3_000_000])
def test_wrong_bytes_are_refused_before_the_last_piece(serve: Serve, length: int) -> None:
    right, wrong = b"a" * length, b"a" * (length - 1) + b"b"
    server = serve(lambda request: Reply(body=wrong))
    got = bytearray()
    with pytest.raises(IntegrityError, match="has digest"):
        for piece in client().registry.blob(at(server), blob_of(right)):
            got += piece
    assert len(got) < length


@pytest.mark.parametrize("body", [DATA + b"!", DATA[:-1], b""])
def test_wrong_length_is_refused(serve: Serve, body: bytes) -> None:
    with pytest.raises(IntegrityError, match="bytes has"):
        pull(serve(lambda request: Reply(body=body)))


def test_surplus_without_a_length_is_refused(serve: Serve) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA) + 1, DATA + b"!")

    def endless(request: Request) -> Reply:
        reply = Reply(headers={"Transfer-Encoding": "chunked"}, body=chunked)
        reply.headers["Content-Length"] = []
        return reply

    with pytest.raises(IntegrityError, match="longer"):
        pull(serve(endless))


def test_abandoned_download_gives_its_connection_back(serve: Serve) -> None:
    server = serve(FakeBlobs(DATA))
    registry = client(connections=1).registry
    for _ in range(3):
        pieces = registry.blob(at(server), blob_of(DATA))
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
    assert b"".join(registry.blob(at(server), blob_of(DATA))) == DATA


def test_connections_to_one_host_are_bounded(serve: Serve) -> None:
    server = serve(FakeBlobs(DATA))
    registry = client(connections=2).registry
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: b"".join(registry.blob(at(server), blob_of(DATA))), range(16))
        assert all(result == DATA for result in results)
    assert server.most_open_requests <= 3  # two downloads, and a look-up beside them


# ------------------------------------------------------------------------------------------------ manifests


def manifest_reply(request: Request) -> Reply:
    return Reply(headers={"Content-Type": OCI_MANIFEST}, body=b"" if request.path == "/v2/" else MANIFEST)


def test_manifest_of_another_digest_is_refused(serve: Serve) -> None:
    server = serve(manifest_reply)
    wanted = at(server, "team/app").at(Digest.of(b"another"))
    with pytest.raises(IntegrityError, match="was expected"):
        client().registry.manifest(wanted)


def test_manifest_must_have_the_digest_the_registry_says(serve: Serve) -> None:
    def lying(request: Request) -> Reply:
        reply = manifest_reply(request)
        reply.headers["Docker-Content-Digest"] = str(Digest.of(b"another"))
        return reply

    with pytest.raises(IntegrityError, match="was expected"):
        client().registry.manifest(at(serve(lying)))


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b'{"schemaVersion": 1}', b" " * ((4 << 20) + 10), b"[" * 50_000]
)
def test_malformed_manifest_is_refused(serve: Serve, body: bytes) -> None:
    server = serve(lambda request: Reply(body=body))
    with pytest.raises(IntegrityError):
        client().registry.manifest(at(server))


def test_head_without_headers_asks_for_the_manifest(serve: Serve) -> None:
    server = serve(manifest_reply)
    assert client().registry.head(at(server)) == Descriptor(OCI_MANIFEST, Digest.of(MANIFEST), len(MANIFEST))


def test_head_of_another_digest_is_refused(serve: Serve) -> None:
    def lying(request: Request) -> Reply:
        reply = manifest_reply(request)
        reply.headers["Docker-Content-Digest"] = str(Digest.of(b"another"))
        return reply

    server = serve(lying)
    with pytest.raises(IntegrityError):
        client().registry.head(at(server, "team/app").at(Digest.of(MANIFEST)))


# ------------------------------------------------------------------------------------------------ pushing


def push(server: ScriptedServer, data: bytes = DATA) -> tuple[str, int]:
    opened = []

    def open_blob() -> io.BytesIO:
        opened.append(1)
        return io.BytesIO(data)

    return client().registry.push_blob(at(server), blob_of(data), open_blob), len(opened)


def test_upload_starts_again_after_a_lost_connection(serve: Serve) -> None:
    fake = FakeBlobs()
    lost = iter([1, 2])
    fake.before = lambda request: Reply(cut=-1) if request.method == "PUT" and next(lost, 0) else None
    server = serve(fake)
    assert push(server) == ("uploaded", 3)
    assert fake.blobs[str(Digest.of(DATA))] == DATA


@pytest.mark.parametrize("status", [500, 503, 429])
def test_upload_starts_again_after_a_failure(serve: Serve, status: int) -> None:
    fake = FakeBlobs()
    bad = iter([1])
    fake.before = lambda request: Reply(status) if request.method == "PUT" and next(bad, 0) else None
    assert push(serve(fake)) == ("uploaded", 2)


def test_upload_whose_answer_was_lost_is_not_sent_again(serve: Serve) -> None:
    fake = FakeBlobs()

    def swallow(request: Request) -> Reply | None:
        if request.method == "PUT":
            fake.before = lambda request: None
            fake(request)
            return Reply(cut=-1)
        return None

    fake.before = swallow
    assert push(serve(fake)) == ("uploaded", 1)


def test_upload_that_never_works_ends_with_the_registrys_words(serve: Serve) -> None:
    fake = FakeBlobs()
    words = json.dumps({"errors": [{"code": "UNKNOWN", "message": "disk\x1b[31m full\n::error::x"}]}).encode()
    fake.before = lambda request: Reply(500, body=words) if request.method == "PUT" else None
    with pytest.raises(RegistryError, match="status 500") as caught:
        push(serve(fake))
    assert caught.value.detail == "UNKNOWN: disk [31m full ::error::x"


def test_upload_session_keeps_its_query(serve: Serve) -> None:
    server = serve(FakeBlobs())
    push(server, b"small")
    query = server.sent("PUT")[0].query
    assert query == {"_state": ["a+b"], "digest": [str(Digest.of(b"small"))]}
    assert server.sent("PUT")[0].headers["content-length"] == "5"


def test_another_digest_after_the_upload_is_an_error(serve: Serve) -> None:
    fake = FakeBlobs()
    other = {"Docker-Content-Digest": str(Digest.of(b"other"))}
    fake.before = lambda request: Reply(201, other) if request.method == "PUT" else None
    with pytest.raises(IntegrityError, match="under another digest"):
        push(serve(fake))


def test_manifest_stored_under_another_digest_is_an_error(serve: Serve) -> None:
    server = serve(lambda request: Reply(201, {"Docker-Content-Digest": str(Digest.of(b"other"))}))
    with pytest.raises(IntegrityError, match="under another digest"):
        client().registry.push_manifest(at(server), blob_of(MANIFEST, OCI_MANIFEST), MANIFEST)


def test_refused_upload_is_not_repeated(serve: Serve) -> None:
    fake = FakeBlobs()
    fake.before = lambda request: Reply(413) if request.method == "PUT" else None
    server = serve(fake)
    with pytest.raises(RegistryError, match="413") as caught:
        push(server)
    assert "size of uploads" in caught.value.hint
    assert len(server.sent("PUT")) == 1


def test_push_to_a_missing_project_is_not_found(serve: Serve) -> None:
    fake = FakeBlobs()
    fake.before = lambda request: Reply(404) if request.method == "POST" else None
    server = serve(fake)
    with pytest.raises(NotFound):
        push(server)
    assert len(server.sent("POST")) == 1


# ------------------------------------------------------------------------------------------------ retries


def after(failures: list[Reply]) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        if request.path != "/v2/" and failures:
            return failures.pop(0)
        return manifest_reply(request)

    return answer


def test_retry_after_is_honoured(serve: Serve) -> None:
    server = serve(after([Reply(429, {"Retry-After": "7"}), Reply(503)]))
    one = client()
    one.registry.manifest(at(server))
    assert one.pauses[0] == 7
    assert 0 < one.pauses[1] < 2


def test_retry_after_as_a_date_in_the_past_means_now(serve: Serve) -> None:
    server = serve(after([Reply(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]))
    one = client()
    one.registry.manifest(at(server))
    assert one.pauses == [0]


def test_retry_after_an_hour_is_not_waited_for(serve: Serve) -> None:
    server = serve(after([Reply(429, {"Retry-After": "3600"})] * 9))
    one = client()
    with pytest.raises(RegistryError, match="429") as caught:
        one.registry.manifest(at(server))
    assert one.pauses == []
    assert "3600" in caught.value.hint


def test_lost_connections_and_failures_are_tried_again(serve: Serve) -> None:
    server = serve(after([Reply(cut=-1), Reply(502), Reply(body=b"half", cut=2)]))
    assert client().registry.manifest(at(server))[1] == MANIFEST


def test_lasting_failure_is_an_error(serve: Serve) -> None:
    server = serve(after([Reply(500)] * 20))
    with pytest.raises(RegistryError, match="status 500"):
        client().registry.manifest(at(server))


def test_refused_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NetworkError, match=f"127.0.0.1:{port} refused the connection") as caught:
            client().registry.manifest(Reference.parse(f"127.0.0.1:{port}/x"))
    assert caught.value.hint


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-x\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000]
)
def test_a_server_that_does_not_speak_http(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(greeting)

        pool.submit(greet)
        with pytest.raises(CooperyError):
            client().registry.manifest(Reference.parse(f"127.0.0.1:{listener.getsockname()[1]}/x"))
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "body", [b'{"errors": 7}', b'{"errors": [7, {"code": [], "message": {}}]}', b"<html>", b"\xff"]
)
def test_nonsense_in_an_error_is_passed_over(serve: Serve, body: bytes) -> None:
    server = serve(after([Reply(400, body=body)]))
    with pytest.raises(RegistryError, match="status 400") as caught:
        client().registry.manifest(at(server))
    assert caught.value.detail == ""
