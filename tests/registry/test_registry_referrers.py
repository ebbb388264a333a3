"""Referrers, tags and deletion, with real registries and with one that knows the referrers API."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty_proxy import Fault, FaultyProxy
from registry_support import Reply, Request, ScriptedServer, TokenServer, blob_of, client, login, push_image

from coopery.errors import IntegrityError, NotFound, RegistryError
from coopery.oci.descriptor import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index, Manifest, parse_manifest
from coopery.oci.reference import Reference
from coopery.registry import RegistryClient

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]
SBOM, SIGNATURE = "application/spdx+json", "application/vnd.example.signature"


def at(host: str, path: str) -> Reference:
    return Reference.parse(f"{host}/{path}")


def attach(
    registry: RegistryClient, reference: Reference, subject: Descriptor, artifact_type: str, note: str
) -> Descriptor:
    """Push an artifact about `subject`; what is expected of it in the list of referrers."""
    import io

    empty = blob_of(b"{}", "application/vnd.oci.empty.v1+json")
    registry.push_blob(reference, empty, lambda: io.BytesIO(b"{}"))
    manifest = Manifest(empty, (empty,), artifact_type=artifact_type, subject=subject, annotations={"note": note})
    data = manifest.serialize()
    descriptor = blob_of(data, OCI_MANIFEST)
    registry.push_manifest(Reference(reference.registry, reference.repository), descriptor, data)
    return Descriptor(
        OCI_MANIFEST, descriptor.digest, len(data), annotations={"note": note}, artifact_type=artifact_type
    )


# ------------------------------------------------------------------------------------------------ by the tag


def test_referrers_are_listed_by_registries_that_know_of_none(fresh_registry: str) -> None:
    registry = client().registry
    image = at(fresh_registry, "signed/app:1")
    subject = push_image(registry, image)
    assert registry.referrers(image) == ()
    sbom = attach(registry, image, subject, SBOM, "a")
    signature = attach(registry, image, subject, SIGNATURE, "b")
    assert registry.referrers(image) == (sbom, signature)
    assert registry.referrers(image.at(subject.digest), SIGNATURE) == (signature,)
    assert attach(registry, image, subject, SBOM, "a") == sbom
    assert len(registry.referrers(image)) == 2
    tag = f"sha256-{subject.digest.hex}"
    top, data = registry.manifest(at(fresh_registry, f"signed/app:{tag}"))
    assert top.media_type == OCI_INDEX
    assert isinstance(parse_manifest(data), Index)

    assert registry.delete_manifest(image.at(sbom.digest))
    assert registry.referrers(image) == (signature,)
    assert registry.head(image.at(sbom.digest)) is None
    assert not registry.delete_manifest(image.at(sbom.digest))


def test_many_referrers_at_once_are_all_listed(open_registry: str) -> None:
    image = at(open_registry, "signed/crowd:1")
    subject = push_image(client().registry, image)
    with ThreadPoolExecutor(4) as pool:
        registry = client().registry
        made = list(pool.map(lambda n: attach(registry, image, subject, SBOM, str(n)), range(8)))
    assert {one.digest for one in client().registry.referrers(image)} == {one.digest for one in made}


def test_the_config_type_stands_in_for_the_artifact_type(open_registry: str) -> None:
    registry = client().registry
    image = at(open_registry, "signed/config:1")
    subject = push_image(registry, image)
    inner = push_image(registry, at(open_registry, "signed/config:2"), b"another")
    manifest = parse_manifest(registry.manifest(at(open_registry, "signed/config:2"))[1])
    assert isinstance(manifest, Manifest)
    data = Manifest(manifest.config, manifest.layers, subject=subject).serialize()
    registry.push_manifest(at(open_registry, "signed/config:3"), blob_of(data, OCI_MANIFEST), data)
    assert [one.artifact_type for one in registry.referrers(image)] == [OCI_CONFIG]
    assert registry.head(image.at(inner.digest))


def test_a_list_kept_by_others_keeps_what_they_wrote(open_registry: str) -> None:
    registry = client().registry
    image = at(open_registry, "signed/others:1")
    subject = push_image(registry, image)
    attach(registry, image, subject, SBOM, "a")
    tag = at(open_registry, f"signed/others:sha256-{subject.digest.hex}")
    value = json.loads(registry.manifest(tag)[1])
    value["annotations"] = {"kept": "yes"}
    value["manifests"][0]["x-theirs"] = 7
    data = json.dumps(value).encode()
    registry.push_manifest(tag, blob_of(data, OCI_INDEX), data)
    attach(registry, image, subject, SIGNATURE, "b")
    value = json.loads(registry.manifest(tag)[1])
    assert value["annotations"] == {"kept": "yes"}
    assert value["manifests"][0]["x-theirs"] == 7
    assert len(value["manifests"]) == 2


# ------------------------------------------------------------------------------------------------ by the API


def index_of(*entries: Descriptor) -> bytes:
    return Index(entries).serialize()


ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1, artifact_type=SBOM)
TWO = Descriptor(OCI_MANIFEST, Digest.of(b"2"), 2, artifact_type=SIGNATURE)
SUBJECT = Digest.of(b"subject")


def test_pages_of_referrers_are_put_together_and_filtered(serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        headers: dict[str, str | list[str]] = {"Content-Type": OCI_INDEX}
        if "page" in request.query:
            return Reply(headers=headers, body=index_of(TWO))
        return Reply(headers=headers | {"Link": f'<{request.path}?page=2>; rel="next"'}, body=index_of(ONE))

    server = serve(answer)
    image = at(server.host, "app").at(SUBJECT)
    assert client().registry.referrers(image) == (ONE, TWO)
    assert client().registry.referrers(image, SIGNATURE) == (TWO,)  # the registry didn't filter
    assert server.sent("GET", "/referrers/")[-1].query.get("page")
    assert any(request.query.get("artifactType") == [SIGNATURE] for request in server.requests)


def test_a_registry_that_keeps_the_list_itself_is_not_helped(serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        return Reply(201, {"OCI-Subject": str(SUBJECT)}) if request.method == "PUT" else Reply()

    server = serve(answer)
    data = Manifest(blob_of(b"{}"), (), subject=Descriptor(OCI_MANIFEST, SUBJECT, 7)).serialize()
    client().registry.push_manifest(at(server.host, "app:1"), blob_of(data, OCI_MANIFEST), data)
    assert len(server.sent("PUT")) == 1
    assert not server.sent("GET", "manifests")


@pytest.mark.parametrize("reply", [Reply(404), Reply(400), Reply(405), Reply(body=b"<html>welcome</html>")])
def test_whatever_does_not_know_the_api_has_a_tag(serve: Serve, reply: Reply) -> None:
    def answer(request: Request) -> Reply:
        if "/referrers/" in request.path:
            return reply
        if request.path.endswith(f"/manifests/sha256-{SUBJECT.hex}"):
            return Reply(headers={"Content-Type": OCI_INDEX}, body=index_of(ONE))
        return Reply()

    assert client().registry.referrers(at(serve(answer).host, "app").at(SUBJECT)) == (ONE,)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"manifests": [7]}', Manifest(blob_of(b""), ()).serialize()])
def test_malformed_lists_are_refused(serve: Serve, body: bytes) -> None:
    server = serve(lambda request: Reply(headers={"Content-Type": OCI_INDEX}, body=body))
    with pytest.raises(IntegrityError):
        client().registry.referrers(at(server.host, "app").at(SUBJECT))


# ------------------------------------------------------------------------------------------------ tags


def test_all_tags_are_listed(fresh_registry: str) -> None:
    registry = client().registry
    push_image(registry, at(fresh_registry, "tags/app:0"))
    descriptor, data = registry.manifest(at(fresh_registry, "tags/app:0"))
    for number in range(1, 4):
        registry.push_manifest(at(fresh_registry, f"tags/app:{number}"), descriptor, data)
    assert sorted(registry.tags(at(fresh_registry, "tags/app"))) == ["0", "1", "2", "3"]
    with pytest.raises(NotFound):
        list(registry.tags(at(fresh_registry, "tags/none")))


def test_tags_come_in_pages(serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        last = int(request.query.get("last", ["0"])[0])
        link = {"Link": f'</v2/app/tags/list?last={last + 1}>; rel="next"'} if last < 3 else {}
        return Reply(headers=dict(link), body=json.dumps({"name": "app", "tags": [f"t{last}"]}).encode())

    assert list(client().registry.tags(at(serve(answer).host, "app"))) == ["t0", "t1", "t2", "t3"]


def test_pages_that_go_round_in_circles_are_an_error(serve: Serve) -> None:
    link = {"Link": '</v2/app/tags/list?last=x>; rel="next"'}
    server = serve(lambda request: Reply(headers=dict(link), body=b'{"tags": ["a"]}'))
    with pytest.raises(RegistryError, match="circles"):
        list(client().registry.tags(at(server.host, "app")))


def test_no_tags_are_an_empty_list_and_nonsense_an_error(serve: Serve) -> None:
    assert list(client().registry.tags(at(serve(lambda request: Reply(body=b'{"tags": null}')).host, "app"))) == []
    with pytest.raises(IntegrityError):
        list(client().registry.tags(at(serve(lambda request: Reply(body=b"[]")).host, "app")))


# ------------------------------------------------------------------------------------------------ deletion


def test_manifests_and_blobs_are_deleted(fresh_registry: str) -> None:
    registry = client().registry
    image = at(fresh_registry, "pruned/app:1")
    descriptor = push_image(registry, image)
    layer = Digest.of(b"layer")
    assert registry.delete_manifest(image.at(descriptor.digest))
    assert registry.head(image) is None
    assert registry.delete_blob(image, layer)
    assert not registry.has_blob(image, layer)
    assert not registry.delete_blob(image, layer)


def test_deletion_asks_for_the_right_to_delete(token_registry: str, token_server: TokenServer) -> None:
    registry = client(login()).registry
    image = at(token_registry, "pruned/app:1")
    descriptor = push_image(registry, image)
    assert registry.delete_manifest(image.at(descriptor.digest))
    assert any("delete" in "".join(request.query.get("scope", [])) for request in token_server.requests)


def test_a_tag_alone_is_deleted_where_that_is_possible(new_registry: str, open_registry: str) -> None:
    registry = client().registry
    for host in (new_registry, open_registry):
        image = at(host, "pruned/tagged:1")
        descriptor = push_image(registry, image)
        if host == new_registry:
            assert registry.delete_manifest(image)
            assert registry.head(image) is None
        else:
            with pytest.raises(RegistryError, match="doesn't delete") as caught:  # distribution 2
                registry.delete_manifest(image)
            assert "by digest only" in caught.value.hint
        assert registry.head(Reference(host, "pruned/tagged").at(descriptor.digest))


def test_a_registry_that_does_not_delete_says_so(serve: Serve) -> None:
    server = serve(lambda request: Reply(405) if request.method == "DELETE" else Reply())
    with pytest.raises(RegistryError, match="doesn't delete"):
        client().registry.delete_blob(at(server.host, "app"), SUBJECT)


# ---------------------------------------------------------------------------------------------- retries of manifests


def test_an_immutable_tag_that_was_pushed_before_the_answer_got_lost(open_registry: str) -> None:
    image = at(open_registry, "immutable/app:1")
    push_image(client().registry, image)
    descriptor, data = client().registry.manifest(image)
    with FaultyProxy(open_registry) as proxy:
        proxy.faults.append(Fault("PUT", status=409, times=-1))
        client().registry.push_manifest(at(proxy.host, "immutable/app:1"), descriptor, data)
        other = Manifest(blob_of(b"{}"), ()).serialize()
        with pytest.raises(RegistryError, match="409"):
            client().registry.push_manifest(at(proxy.host, "immutable/app:1"), blob_of(other, OCI_MANIFEST), other)


# ------------------------------------------------------------------------------------------------ limits


def limited(remaining: int, status: int = 200) -> Callable[[Request], Reply]:
    manifest = Manifest(blob_of(b"{}"), ()).serialize()
    headers: dict[str, str | list[str]] = {
        "Content-Type": OCI_MANIFEST,
        "RateLimit-Limit": "100;w=21600",
        "RateLimit-Remaining": f"{remaining};w=21600",
        "Docker-RateLimit-Source": "192.0.2.7",
        "Retry-After": "7200",
    }
    return lambda request: Reply(200) if request.path == "/v2/" else Reply(status, headers, manifest)


def test_limits_are_remembered_and_told_once_when_few_pulls_are_left(serve: Serve) -> None:
    told: list[str] = []
    one = client()
    registry = RegistryClient(one.credentials, transport=one.transport, notice=told.append)
    server = serve(limited(50))
    for remaining, count in ((50, 0), (9, 1), (8, 1), (0, 2), (0, 2)):
        server.answer = limited(remaining)
        registry.manifest(at(server.host, "app:1"))
        assert len(told) == count
    assert told[0] == f"{server.host}: 9 of 100 pulls per 6 h left, counted for 192.0.2.7; " + (
        "a credential often raises the limit"
    )
    assert registry.rate_limits[server.host].remaining == 0


def test_a_limit_that_is_used_up_says_how_far(serve: Serve) -> None:
    with pytest.raises(RegistryError, match="429") as caught:
        client().registry.manifest(at(serve(limited(0, 429)).host, "app:1"))
    assert "0 of 100 pulls per 6 h left, counted for 192.0.2.7" in caught.value.hint
    assert "7200" in caught.value.hint
