"""The client against Debian's docker-registry: open, with passwords, with tokens, over TLS."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from registry_support import (
    USER,
    Client,
    TokenServer,
    blob_of,
    client,
    login,
    push_image,
)

from coopery.errors import AuthError, CooperyError, EnvironmentUnsuitable, IntegrityError, NetworkError, NotFound
from coopery.oci.descriptor import DOCKER_INDEX, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import Credential
from coopery.registry import RegistryClient, fetch_image

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


def reference(host: str, path: str) -> Reference:
    return Reference.parse(f"{host}/{path}")


def never() -> io.BytesIO:
    raise AssertionError("the blob was opened")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 7])
def test_blob_comes_back_as_it_was_pushed(open_registry: str, size: int) -> None:
    data = random.Random(size).randbytes(size)
    target, descriptor = reference(open_registry, f"blobs/s{size}"), blob_of(data)
    registry = client().registry
    assert not registry.has_blob(target, descriptor.digest)
    assert registry.push_blob(target, descriptor, lambda: io.BytesIO(data)) == "uploaded"
    assert registry.has_blob(target, descriptor.digest)
    pieces = list(registry.blob(target, descriptor))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)
    assert registry.push_blob(target, descriptor, never) == "exists"


def test_blob_is_mounted_from_a_neighbour(open_registry: str) -> None:
    data = b"shared by two repositories"
    registry = client().registry
    source, target = reference(open_registry, "mount/source"), reference(open_registry, "mount/target")
    registry.push_blob(source, blob_of(data), lambda: io.BytesIO(data))
    elsewhere = Reference.parse("registry.example.com/mount/source")
    mounted = registry.push_blob(target, blob_of(data), never, mount_from=[elsewhere, target, source])
    assert mounted == "mounted"
    assert b"".join(registry.blob(target, blob_of(data))) == data


def test_blob_is_uploaded_when_no_neighbour_has_it(open_registry: str) -> None:
    data = b"mounted from nowhere"
    registry = client().registry
    target = reference(open_registry, "mount/lonely")
    sources = [reference(open_registry, f"mount/empty{n}") for n in range(3)]
    assert registry.push_blob(target, blob_of(data), lambda: io.BytesIO(data), mount_from=sources) == "uploaded"
    assert b"".join(registry.blob(target, blob_of(data))) == data


@pytest.mark.parametrize("data", [b"short", b"much too long for what was said", b"right length!"])
def test_wrong_bytes_are_not_pushed(open_registry: str, data: bytes) -> None:
    registry = client().registry
    target, descriptor = reference(open_registry, "wrong"), blob_of(b"what it is to")
    with pytest.raises(IntegrityError, match="to be pushed"):
        registry.push_blob(target, descriptor, lambda: io.BytesIO(data))
    assert not registry.has_blob(target, descriptor.digest)


def test_manifest_by_tag_and_by_digest(open_registry: str) -> None:
    registry = client().registry
    tagged = reference(open_registry, "image:1")
    pushed = push_image(registry, tagged)
    assert registry.head(tagged) == Descriptor(OCI_MANIFEST, pushed.digest, pushed.size)
    found, data = registry.manifest(tagged)
    assert found.digest == pushed.digest == Digest.of(data)
    assert registry.manifest(tagged.at(pushed.digest)) == (found, data)
    untagged = Reference(tagged.registry, tagged.repository)
    assert registry.head(untagged) is None  # that is :latest
    registry.push_manifest(untagged, pushed, data)
    assert registry.head(untagged) is None  # went under its digest alone


def test_missing_things_are_not_found(open_registry: str) -> None:
    registry = client().registry
    nothing = reference(open_registry, "no/such:tag")
    assert registry.head(nothing) is None
    with pytest.raises(NotFound, match=r"no/such:tag") as caught:
        registry.manifest(nothing)
    assert "MANIFEST_UNKNOWN" in caught.value.detail
    with pytest.raises(NotFound):
        list(registry.blob(nothing, blob_of(b"nothing")))


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_index_is_resolved_to_the_platform(open_registry: str, kind: str) -> None:
    registry = client().registry
    tagged = reference(open_registry, "multi:1")
    amd = push_image(registry, tagged, b"amd64")
    arm = push_image(registry, tagged, b"arm64")
    entries = [Descriptor(d.media_type, d.digest, d.size, p) for d, p in ((amd, AMD64), (arm, ARM64))]
    unknown = Descriptor(amd.media_type, amd.digest, amd.size, Platform("unknown", "unknown"))
    index = Index((*entries, unknown), kind).serialize()
    registry.push_manifest(tagged, blob_of(index, kind), index)

    fetched = fetch_image(registry, tagged, ARM64)
    assert fetched.top.digest == Digest.of(index)
    assert fetched.reference == tagged.at(Digest.of(index))
    assert fetched.manifest.digest == arm.digest == Digest.of(fetched.manifest_data)
    assert str(Digest.of(b"arm64")) in fetched.config_data.decode()

    with pytest.raises(NotFound, match=r"multi:1 has no linux/s390x; it offers linux/amd64, linux/arm64$"):
        fetch_image(registry, tagged, Platform("linux", "s390x"))

    outer = Index((Descriptor(kind, Digest.of(index), len(index)),), kind).serialize()
    nested = reference(open_registry, "multi:nested")
    registry.push_manifest(nested, blob_of(outer, kind), outer)
    assert fetch_image(registry, nested, AMD64).manifest.digest == amd.digest
    with pytest.raises(NotFound, match=r"it offers linux/amd64, linux/arm64$"):
        fetch_image(registry, nested, Platform("linux", "s390x"))


def test_single_manifest_is_taken_whatever_its_platform(open_registry: str) -> None:
    registry = client().registry
    tagged = reference(open_registry, "single:1")
    pushed = push_image(registry, tagged)
    assert fetch_image(registry, tagged, ARM64).manifest.digest == pushed.digest


def test_many_threads_push_and_pull_at_once(open_registry: str) -> None:
    registry = client(connections=3).registry
    target = reference(open_registry, "threads")

    def there_and_back(number: int) -> bool:
        data = random.Random(number).randbytes(300_000 + number)
        registry.push_blob(target, blob_of(data), lambda: io.BytesIO(data))
        return b"".join(registry.blob(target, blob_of(data))) == data

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(there_and_back, range(40)))


def test_upload_can_draw_on_downloads_of_the_same_registry(open_registry: str) -> None:
    """Copies within one registry, more than there are connections, must not wait for each other for ever."""
    registry = client(connections=2).registry
    source, target = reference(open_registry, "copy/source"), reference(open_registry, "copy/target")
    blobs = [random.Random(n).randbytes(200_000) for n in range(8)]
    for data in blobs:
        registry.push_blob(source, blob_of(data), lambda data=data: io.BytesIO(data))

    class Pulled(io.RawIOBase):
        def __init__(self, descriptor: Descriptor) -> None:
            self._pieces = registry.blob(source, descriptor)
            self._rest = b""

        def read(self, amount: int = -1) -> bytes:
            if not self._rest:
                self._rest = next(self._pieces, b"")
            piece, self._rest = self._rest[:amount], self._rest[amount:]
            return piece

    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda data: registry.push_blob(target, blob_of(data), lambda: Pulled(blob_of(data))), blobs)
        assert list(results) == ["uploaded"] * 8


def test_password_is_used_and_missed(basic_registry: str) -> None:
    tagged = reference(basic_registry, "team/app:1")
    with_login = client(login())
    push_image(with_login.registry, tagged)
    assert fetch_image(with_login.registry, tagged, AMD64).config_data
    assert with_login.credentials.asked == [(basic_registry, "team/app")]

    with pytest.raises(AuthError, match=r"refused to let us pull team/app anonymously") as caught:
        client().registry.manifest(tagged)
    assert basic_registry in caught.value.message
    assert "DOCKER_AUTH_CONFIG" in caught.value.hint

    with pytest.raises(AuthError, match=rf"pull team/app as '{USER}'") as caught:
        client(Credential(USER, "wrong-secret")).registry.manifest(tagged)
    assert "wrong-secret" not in caught.value.message + caught.value.hint + caught.value.detail


def test_fresh_credential_is_asked_for_once_after_a_401(basic_registry: str) -> None:
    tagged = reference(basic_registry, "fresh:1")
    push_image(client(login()).registry, tagged)
    stale = client(Credential(USER, "of yesterday"), login())
    stale.registry.manifest(tagged)
    assert len(stale.credentials.asked) == 2


def token_client(*credentials: Credential | None) -> Client:
    return client(*(credentials or (login(),)))


def test_token_for_password_and_for_nobody(token_registry: str, token_server: TokenServer) -> None:
    tagged = reference(token_registry, "public/app:1")
    owner = token_client()
    push_image(owner.registry, tagged)
    before = len(token_server.requests)
    anonymous = token_client(None)
    assert fetch_image(anonymous.registry, tagged, AMD64).config_data
    assert len(token_server.requests) == before + 1  # one token serves manifest and config
    assert token_server.requests[-1].authorization == ""
    with pytest.raises(AuthError, match=r"refused to let us push public/app anonymously"):
        push_image(anonymous.registry, tagged, b"other")
    with pytest.raises(AuthError, match=rf"push private/app as '{USER}'") as caught:
        push_image(token_client(Credential(USER, "mistyped")).registry, reference(token_registry, "private/app:1"))
    assert "wrong user name or password" in caught.value.detail


def test_token_for_identity_token(token_registry: str, token_server: TokenServer) -> None:
    tagged = reference(token_registry, "identity/app:1")
    push_image(token_client(Credential(identity_token=token_server.REFRESH_TOKEN)).registry, tagged)
    assert token_server.requests[-1].method == "POST"


def test_one_token_serves_all_threads(token_registry: str, token_server: TokenServer) -> None:
    tagged = reference(token_registry, "threads/app:1")
    registry = token_client().registry
    push_image(registry, tagged)
    before = len(token_server.requests)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: registry.head(tagged), range(16)))
    assert len(token_server.requests) == before


def test_token_past_its_time_is_renewed(token_registry: str, token_server: TokenServer) -> None:
    tagged = reference(token_registry, "stale/app:1")
    owner = token_client()
    push_image(owner.registry, tagged)
    owner.now += 1000  # our token's time is over, by our clock
    token_server.stale = 1  # and the next is past its time when it comes
    data = b"pushed with the third token"
    with pytest.raises(AuthError):
        # A token that is refused when new means another credential is needed, which there isn't.
        token_client().registry.push_blob(tagged, blob_of(data), lambda: io.BytesIO(data))
    token_server.stale = 1
    owner.registry.push_blob(tagged, blob_of(data), lambda: io.BytesIO(data))
    assert b"".join(owner.registry.blob(tagged, blob_of(data))) == data


def test_mounting_needs_and_gets_rights_to_the_source(token_registry: str, token_server: TokenServer) -> None:
    data = b"layer of a private base"
    registry = token_client().registry
    source, target = reference(token_registry, "base/private"), reference(token_registry, "app/private")
    registry.push_blob(source, blob_of(data), lambda: io.BytesIO(data))
    assert registry.push_blob(target, blob_of(data), never, mount_from=[source]) == "mounted"
    assert token_server.requests[-1].query["scope"] == [
        "repository:app/private:pull,push",
        "repository:base/private:pull",
    ]


def test_https_registry_on_loopback_is_found(tls_registry: tuple[str, Path]) -> None:
    host, cert = tls_registry
    tagged = reference(host, "secure:1")
    push_image(client(environ={"SSL_CERT_FILE": str(cert)}).registry, tagged)
    with pytest.raises(NetworkError, match=r"certificate of .* is not trusted"):
        client().registry.manifest(tagged)


def test_unusable_authorities_are_an_error(tls_registry: tuple[str, Path], tmp_path: Path) -> None:
    tagged = reference(tls_registry[0], "secure:1")
    path = tmp_path / "authorities.pem"
    with pytest.raises(EnvironmentUnsuitable, match="SSL_CERT_FILE"):
        client(environ={"SSL_CERT_FILE": str(path)}).registry.manifest(tagged)
    path.write_text("no certificate")
    with pytest.raises(EnvironmentUnsuitable, match="SSL_CERT_FILE"):
        client(environ={"SSL_CERT_FILE": str(path)}).registry.manifest(tagged)


@pytest.mark.parametrize("proxy", ["127.0.0.1:1", "http://", "::::", "nonsense://x"])
def test_unusable_proxy_is_an_error(proxy: str) -> None:
    with pytest.raises(CooperyError):
        client(environ={"https_proxy": proxy}).registry.manifest(Reference.parse("registry.example.com/x"))


def test_manifest_larger_than_allowed_is_not_pushed(open_registry: str) -> None:
    data = b" " * ((4 << 20) + 1)
    with pytest.raises(IntegrityError, match="larger than"):
        client().registry.push_manifest(reference(open_registry, "big:1"), blob_of(data, OCI_MANIFEST), data)


def test_the_client_is_a_registry() -> None:
    from coopery.ports import Registry

    registry: Registry = RegistryClient(client().credentials)
    assert registry
    assert OCI_LAYER
