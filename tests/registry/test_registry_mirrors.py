"""Pulling through mirrors: where requests go, who gets which credential, and what happens when a mirror fails."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registry_support import (
    PASSWORD,
    USER,
    Client,
    FakeBlobs,
    Reply,
    Request,
    ScriptedServer,
    blob_of,
    client,
    push_image,
    real_registry,
)

from coopery.errors import AuthError, IntegrityError, NetworkError, NotFound, RegistryError
from coopery.oci.descriptor import OCI_MANIFEST
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import Credential, Source
from coopery.registry import RegistryClient, fetch_image
from coopery.registry.mirrors import Mirrored
from coopery.registry.settings import registry_settings
from support.registries import basic_auth

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": str(Digest.of(b"{}"))},
        "layers": [],
    }
).encode()


@pytest.fixture(scope="module")
def origin(workplace: Path) -> Iterator[str]:
    with real_registry(workplace / "origin") as host:
        yield host


@pytest.fixture(scope="module")
def mirror(workplace: Path) -> Iterator[str]:
    with real_registry(workplace / "mirror") as host:
        yield host


def through(*maps: str, fallback: bool = True, **options: object) -> Client:
    settings = registry_settings({}, registry_map=maps, skip_default_registry_fallback=not fallback)
    return client(settings=settings, **options)


def at(host: str, path: str) -> Reference:
    return Reference.parse(f"{host}/{path}")


def dead() -> str:
    """An address where nothing answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def serving(manifest: bytes = MANIFEST, *blobs: bytes) -> Callable[[Request], Reply]:
    """A registry that has one manifest under every name."""
    fake = FakeBlobs(*blobs)

    def answer(request: Request) -> Reply:
        if "/manifests/" in request.path:
            return Reply(headers={"Content-Type": OCI_MANIFEST}, body=manifest)
        return fake(request)

    return answer


def nothing(request: Request) -> Reply:
    return Reply() if request.path == "/v2/" else Reply(404)


def wanting(credential: str, answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    def ask(request: Request) -> Reply:
        if request.authorization == credential:
            return answer(request)
        return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})

    return ask


# ------------------------------------------------------------------------------------------------ real registries


@pytest.mark.parametrize("prefix", ["", "proxy", "team/hub.cache"])
def test_an_image_comes_from_the_mirror_and_keeps_its_name(origin: str, mirror: str, prefix: str) -> None:
    name = at(origin, f"only/in-mirror{len(prefix)}:1")
    below = f"{prefix}/" if prefix else ""
    pushed = push_image(client().registry, at(mirror, f"{below}{name.repository}:1"))
    one = through(f"{origin}={mirror}/{prefix}")
    fetched = fetch_image(one.source, name, Platform("linux", "amd64"))
    assert fetched.reference == name.at(pushed.digest)
    assert one.source.head(name) == pushed
    # Nothing goes to a mirror: what is asked of the registry itself is asked there.
    assert one.registry.head(name) is None


def test_docker_hub_has_mirrors_under_all_its_names(mirror: str) -> None:
    pushed = push_image(client().registry, at(mirror, "library/tests-base:latest"))
    for option in ({"registry_mirror": [mirror]}, {"registry_map": [f"index.docker.io={mirror}"]}):
        settings = registry_settings({}, skip_default_registry_fallback=True, **option)  # type: ignore[arg-type]
        assert client(settings=settings).source.head(Reference.parse("tests-base")) == pushed


def test_a_mirror_that_lacks_the_image(origin: str, mirror: str) -> None:
    name = at(origin, "only/in-origin:1")
    pushed = push_image(client().registry, name, b"layer of the origin")
    fetched = fetch_image(through(f"{origin}={mirror}").source, name, Platform("linux", "amd64"))
    assert fetched.manifest == pushed
    strict = through(f"{origin}={mirror}", fallback=False).source
    with pytest.raises(NotFound):
        strict.manifest(name)
    assert strict.head(name) is None


def test_a_mirror_that_is_down(origin: str, mirror: str) -> None:
    name = at(origin, "both:1")
    pushed = push_image(client().registry, name)
    down = dead()
    one = through(f"{origin}={down}")
    for _ in range(3):
        assert one.source.manifest(name)[0] == pushed
    assert not one.pauses  # the mirror was asked once, and never again
    push_image(client().registry, at(mirror, "both:1"))
    assert through(f"{origin}={down},{mirror}", fallback=False).source.head(name) == pushed
    with pytest.raises(NetworkError, match=down):
        through(f"{origin}={down}", fallback=False).source.manifest(name)


def test_a_mirror_that_hangs(serve: Serve, origin: str) -> None:
    name, end = at(origin, "hanging:1"), threading.Event()
    pushed = push_image(client().registry, name)

    def answer(request: Request) -> Reply:
        end.wait()
        return Reply()

    hanging = serve(answer)
    try:
        one = through(f"{origin}={hanging.host}", probe_seconds=0.05)
        assert one.source.manifest(name)[0] == one.source.head(name) == pushed
        assert {request.path for request in hanging.requests} == {"/v2/"}
    finally:
        end.set()


def test_a_mirror_that_fails_is_told_of_once(origin: str) -> None:
    name, down = at(origin, "told:1"), dead()
    push_image(client().registry, name)
    one = through(f"{origin}={down}")
    told: list[str] = []
    source = Mirrored(one.registry, one.transport.settings, told.append)
    fetch_image(source, name, Platform("linux", "amd64"))
    assert told == [f"going on without the mirror {down}: {down} refused the connection"]


def test_what_every_place_said_is_told(origin: str, mirror: str) -> None:
    down = dead()
    with pytest.raises(NotFound) as caught:
        through(f"{origin}={down},{mirror}").source.manifest(at(origin, "no/where:1"))
    assert f"{down}: {down} refused the connection" in caught.value.detail
    assert f"{mirror}: " in caught.value.detail


def test_a_blob_is_mounted_from_where_the_mirror_has_it(origin: str, mirror: str) -> None:
    base, layer = at(origin, "base:1"), b"a layer to be mounted"
    push_image(client().registry, at(mirror, "proxy/base:1"), layer)
    one = through(f"{origin}={mirror}/proxy")
    places = one.source.places(base)

    def never() -> object:
        raise AssertionError("no upload is needed")

    target = at(mirror, "team/app:1")
    assert one.registry.push_blob(target, blob_of(layer), never, places) == "mounted"  # type: ignore[arg-type]
    assert one.registry.has_blob(target, blob_of(layer).digest)


def test_no_mount_is_tried_where_the_image_cannot_be(serve: Serve) -> None:
    fake = FakeBlobs()
    target = serve(fake)
    one = through(f"{target.host}=127.0.0.1:1", fallback=False)
    places = one.source.places(at(target.host, "base:1"))
    one.registry.push_blob(at(target.host, "app:1"), blob_of(b"x"), lambda: io.BytesIO(b"x"), places)
    assert not any("mount" in request.query for request in target.requests)


# ------------------------------------------------------------------------------------------------ credentials


def test_each_place_gets_its_own_credential(serve: Serve) -> None:
    def basic(password: str) -> str:
        return "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    near = serve(wanting(basic("for-mirror"), nothing))
    far = serve(wanting(basic("for-origin"), serving()))
    given = {near.host: "for-mirror", far.host: "for-origin"}

    class Each:
        def __init__(self) -> None:
            self.asked: list[tuple[str, str]] = []

        def get(self, registry: str, repository: str) -> Credential | None:
            self.asked.append((registry, repository))
            return Credential(USER, given[registry])

        def advice(self, registry: str, repository: str, action: str) -> str:
            return ""

    one = through(f"{far.host}={near.host}/proxy")
    each = Each()
    source = Mirrored(RegistryClient(each, transport=one.transport), one.transport.settings)
    assert source.manifest(at(far.host, "team/app:1"))[1] == MANIFEST
    assert set(each.asked) == {(near.host, "proxy/team/app"), (far.host, "team/app")}
    assert {request.authorization for request in near.requests} == {"", basic("for-mirror")}
    assert {request.authorization for request in far.requests} == {"", basic("for-origin")}


def test_a_real_mirror_behind_a_password(workplace: Path, origin: str) -> None:
    name = at(origin, "guarded:1")
    pushed = push_image(client().registry, name)
    with real_registry(workplace / "guarded", basic_auth(workplace / "guarded")) as guarded:
        push_image(client(Credential(USER, PASSWORD)).registry, at(guarded, "guarded:1"))
        assert through(f"{origin}={guarded}").source.manifest(name)[0] == pushed  # refused there, then from the origin
        strict = through(f"{origin}={guarded}", fallback=False)
        with pytest.raises(AuthError, match=guarded):
            strict.source.manifest(name)


# ------------------------------------------------------------------------------------------------ mirrors that lie


def test_a_wrong_manifest_is_never_used(serve: Serve) -> None:
    pinned = Digest.of(MANIFEST)
    liar = serve(serving(MANIFEST.replace(b'"layers": []', b'"layers":  []')))
    honest = serve(serving())
    name = at(honest.host, "app").at(pinned)
    assert through(f"{honest.host}={liar.host}").source.manifest(name)[1] == MANIFEST
    with pytest.raises(IntegrityError):
        through(f"{honest.host}={liar.host}", fallback=False).source.manifest(name)


def test_a_wrong_blob_is_never_used(serve: Serve) -> None:
    right = b"right" * 10
    descriptor = blob_of(right)
    for wrong in (b"wrong" * 10, b"short", right + b"longer"):
        liar = serve(lambda request, wrong=wrong: Reply(body=wrong))
        honest = serve(FakeBlobs(right))
        name = at(honest.host, "app:1")
        assert b"".join(through(f"{honest.host}={liar.host}").source.blob(name, descriptor)) == right
        with pytest.raises((IntegrityError, NetworkError)):
            b"".join(through(f"{honest.host}={liar.host}", fallback=False).source.blob(name, descriptor))


def test_a_large_wrong_blob_is_an_error(serve: Serve) -> None:
    right = b"right" * (1 << 20)
    liar = serve(lambda request: Reply(body=b"wrong" * (1 << 20)))
    honest = serve(FakeBlobs(right))
    one = through(f"{honest.host}={liar.host}")
    with pytest.raises(IntegrityError):
        for _ in one.source.blob(at(honest.host, "app:1"), blob_of(right)):
            pass
    # It is found out once; from then on the mirror is left alone.
    assert b"".join(one.source.blob(at(honest.host, "app:1"), blob_of(right))) == right


def test_a_mirror_that_dies_in_the_middle_of_a_blob(serve: Serve) -> None:
    data = bytes(range(256)) * (20 << 10)  # 5 MiB

    def answer(request: Request) -> Reply:
        if request.path == "/v2/":
            return Reply()
        return Reply(500) if "range" in request.headers else Reply(body=data, cut=3 << 20)

    dying, honest = serve(answer), serve(FakeBlobs(data))
    one = through(f"{honest.host}={dying.host}")
    assert b"".join(one.source.blob(at(honest.host, "app:1"), blob_of(data))) == data
    assert [request.headers["range"] for request in honest.sent("GET", "/blobs/")] == [f"bytes={3 << 20}-"]


def test_a_mirror_that_lies_and_dies(serve: Serve) -> None:
    """Wrong bytes that were given out are found out by the digest, wherever the rest is from."""
    data = bytes(5 << 20)

    def answer(request: Request) -> Reply:
        if request.path == "/v2/":
            return Reply()
        return Reply(404) if "range" in request.headers else Reply(body=b"x" * len(data), cut=3 << 20)

    liar, honest = serve(answer), serve(FakeBlobs(data))
    with pytest.raises(IntegrityError):
        for _ in through(f"{honest.host}={liar.host}").source.blob(at(honest.host, "app:1"), blob_of(data)):
            pass


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_whatever_a_mirror_answers_the_origin_is_asked(serve: Serve, status: int) -> None:
    broken = serve(lambda request: Reply() if request.path == "/v2/" else Reply(status))
    honest = serve(serving(MANIFEST, b"{}"))
    one = through(f"{honest.host}={broken.host}")
    name = at(honest.host, "app:1")
    assert one.source.manifest(name)[1] == MANIFEST
    assert b"".join(one.source.blob(name, blob_of(b"{}"))) == b"{}"
    assert one.source.head(name)
    if status >= 429:
        assert {request.path for request in broken.requests} == {"/v2/", "/v2/app/manifests/1"}
    with pytest.raises(RegistryError):
        through(f"{honest.host}={broken.host}", fallback=False).source.manifest(name)


def test_a_source_is_what_the_engine_takes(origin: str) -> None:
    source: Source = through(f"{origin}=127.0.0.1:1").source
    assert list(source.places(at(origin, "a:1"))) == [at("127.0.0.1:1", "a:1"), at(origin, "a:1")]
