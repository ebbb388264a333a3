"""What is copied and merged, without any registry."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopery.errors import IntegrityError, NotFound, UsageError
from coopery.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index, Manifest
from coopery.oci.platform import Platform
from coopery.transfer.content import MAX_DEPTH, Document, as_oci, blobs_of, choose, gather
from coopery.transfer.files import Archive, StreamFile, read
from coopery.transfer.merge import ATTESTS, merge, parse_annotations
from coopery.transfer.places import Place
from coopery.transfer.scratch import Scratch


def descriptor(text: str, media_type: str = OCI_MANIFEST, platform: str = "", **annotations: str) -> Descriptor:
    data = text.encode()
    wanted = Platform(*platform.split("/")) if platform else None
    return Descriptor(media_type, Digest.of(data), len(data), wanted, annotations)


class Library:
    """Manifests by digest."""

    def __init__(self) -> None:
        self.documents: dict[Digest, Document] = {}

    def add(self, value: Manifest | Index) -> Descriptor:
        document = Document.make(value)
        self.documents[document.descriptor.digest] = document
        return document.descriptor

    def image(self, name: str, *, docker: bool = False) -> Descriptor:
        config, layer = (DOCKER_CONFIG, DOCKER_LAYER_GZIP) if docker else (OCI_CONFIG, OCI_LAYER_GZIP)
        kind = DOCKER_MANIFEST if docker else OCI_MANIFEST
        return self.add(Manifest(descriptor(f"config {name}", config), (descriptor("shared", layer),), kind))

    def __call__(self, wanted: Descriptor) -> bytes:
        return self.documents[wanted.digest].data


def at(entry: Descriptor, platform: str) -> Descriptor:
    return Descriptor(entry.media_type, entry.digest, entry.size, Platform(*platform.split("/")))


# ------------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("text", "kind", "path", "name", "shown"),
    [
        ("debian", "docker", "", "", "docker.io/library/debian:latest"),
        ("docker://debian:12", "docker", "", "", "docker.io/library/debian:12"),
        ("oci:latest", "oci", "latest", "", "oci:latest"),
        ("docker://oci:latest", "docker", "", "", "docker.io/library/oci:latest"),
        ("oci:/a/b:tag", "oci", "/a/b", "tag", "oci:/a/b:tag"),
        ("oci:dir:a/b:c", "oci", "dir", "a/b:c", "oci:dir:a/b:c"),
        ("oci-archive:x.tar", "oci-archive", "x.tar", "", "oci-archive:x.tar"),
        ("docker-archive:x.tar:r.example:5000/a:1", "docker-archive", "x.tar", "r.example:5000/a:1", None),
    ],
)
def test_places_as_skopeo_spells_them(text: str, kind: str, path: str, name: str, shown: str | None) -> None:
    place = Place.parse(text)
    assert (place.kind, place.path, place.name) == (kind, path, name)
    assert str(place) == (shown or text)


@given(st.text(max_size=40))
def test_any_text_is_a_place_or_a_usage_error(text: str) -> None:
    for spelling in (text, f"oci:{text}", f"docker-archive:{text}", f"docker://{text}"):
        try:
            place = Place.parse(spelling)
        except UsageError:
            continue
        assert Place.parse(str(place)) == place


# ------------------------------------------------------------------------------------------------ content


def test_children_come_before_what_names_them_and_each_blob_once() -> None:
    library = Library()
    inner = library.add(Index((library.image("a"), library.image("b"))))
    top = library.add(Index((library.image("c"), inner, library.image("a"))))
    content = gather(library.documents[top.digest], library)
    assert content.top.descriptor.digest == top.digest
    seen: set[Digest] = set()
    for document in content.documents:
        if isinstance(document.value, Index):
            assert seen >= {entry.digest for entry in document.value.manifests}
        seen.add(document.descriptor.digest)
    assert len(seen) == len(content.documents) == 5
    assert len(content.blobs) == 4  # three configurations, one layer


def test_an_index_is_bounded_in_depth() -> None:
    library = Library()
    entry = library.image("a")
    for _ in range(MAX_DEPTH):
        entry = library.add(Index((entry,)))
    gather(library.documents[entry.digest], library)
    deeper = library.add(Index((entry,)))
    with pytest.raises(IntegrityError):
        gather(library.documents[deeper.digest], library)


def test_an_index_that_lies_about_sizes_or_lists_what_is_no_manifest() -> None:
    library = Library()
    image = library.image("a")
    wrong = Descriptor(image.media_type, image.digest, image.size + 1)
    layer = Descriptor(OCI_LAYER_GZIP, image.digest, image.size)
    for entry in (wrong, layer):
        with pytest.raises(IntegrityError):
            gather(Document.make(Index((entry,))), library)


def test_layers_with_addresses_of_their_own_are_not_copied() -> None:
    elsewhere = Descriptor(OCI_LAYER_GZIP, Digest.of(b"foreign"), 7, urls=("https://elsewhere.example/layer",))
    document = Document.make(Manifest(descriptor("config", OCI_CONFIG), (elsewhere,)))
    assert [blob.media_type for blob in blobs_of([document])] == [OCI_CONFIG]


def test_the_image_for_a_platform() -> None:
    library = Library()
    arm, amd = at(library.image("arm"), "linux/arm64"), at(library.image("amd"), "linux/amd64")
    nested = library.add(Index((arm,)))
    top = Document.make(Index((nested, amd)))
    assert choose(top, Platform("linux", "arm64"), library, "x").descriptor.digest == arm.digest
    assert choose(top, Platform("linux", "amd64"), library, "x").descriptor.digest == amd.digest
    with pytest.raises(NotFound, match="linux/amd64, linux/arm64"):
        choose(top, Platform("linux", "s390x"), library, "x")


def test_dockers_types_become_ocis_and_ocis_stay_byte_for_byte() -> None:
    library = Library()
    docker, oci = at(library.image("a", docker=True), "linux/arm64"), library.image("b")
    top = library.add(Index((docker, oci), DOCKER_INDEX))
    content = as_oci(gather(library.documents[top.digest], library))
    assert isinstance(content.top.value, Index)
    assert content.top.value.media_type == OCI_INDEX
    assert content.top.value.manifests[0].platform == docker.platform
    assert [entry.digest for entry in content.top.value.manifests] == [
        one.descriptor.digest for one in content.children
    ]
    assert content.children[1].descriptor.digest == oci.digest
    assert {blob.media_type for blob in content.blobs} == {OCI_CONFIG, OCI_LAYER_GZIP}
    assert as_oci(content) == content


# ------------------------------------------------------------------------------------------------ merging


def test_a_later_image_takes_the_place_of_an_earlier_one_with_its_attestations() -> None:
    old, other = descriptor("old", platform="linux/amd64"), descriptor("other", platform="linux/arm64")
    about_old = descriptor("proof", platform="unknown/unknown", **{ATTESTS: str(old.digest)})
    about_other = descriptor("proof 2", platform="unknown/unknown", **{ATTESTS: str(other.digest)})
    new = descriptor("new", platform="linux/amd64")
    assert merge([old, other, about_old, about_other, new], {}).manifests == (new, other, about_other)
    assert merge([old, about_old, old], {}).manifests == (old, about_old)


_ENTRIES = st.lists(
    st.builds(
        descriptor,
        st.sampled_from("abcdef"),
        st.sampled_from([OCI_MANIFEST, DOCKER_MANIFEST]),
        st.sampled_from(["", "linux/amd64", "linux/arm64", "linux/arm64/v8"]),
    ),
    max_size=8,
)


@given(_ENTRIES)
def test_merging_keeps_platforms_apart_and_repeats_nothing(entries: list[Descriptor]) -> None:
    merged = merge(entries, {})
    platforms = [str(entry.platform).removesuffix("/v8") for entry in merged.manifests if entry.platform]
    assert len(platforms) == len(set(platforms))
    assert len({entry.digest for entry in merged.manifests}) == len(merged.manifests)
    assert merge(merged.manifests, {}) == merged
    assert {entry.digest for entry in entries[-1:]} <= {entry.digest for entry in merged.manifests}
    docker = all(entry.media_type == DOCKER_MANIFEST for entry in merged.manifests)
    assert merged.media_type == (DOCKER_INDEX if docker else OCI_INDEX)


def test_annotations_are_the_indexs() -> None:
    assert parse_annotations(["a.b/c=d=e", "index:f=g"]) == {"a.b/c": "d=e", "f": "g"}
    for text in ("a", "=a", "index:=a", "manifest:a=b", "index[linux/amd64]:a=b"):
        with pytest.raises(UsageError):
            parse_annotations([text])


# ------------------------------------------------------------------------------------------------ files


def archive(path: Path, **links: str) -> Archive:
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo("dir/file")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return Archive(str(path), Scratch(os.environ))


def test_links_in_an_archive_stay_in_it_and_end(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    files = archive(
        tmp_path / "a.tar", good="dir/file", loop="loop", out="../outside", absolute=str(tmp_path / "outside"), up="dir"
    )
    assert read(files, "good", 10) == b"hello"
    for name in ("loop", "out", "absolute", "up", "none", "../outside"):
        assert name not in files
        with pytest.raises(IntegrityError):
            files.open(name)
    with pytest.raises(IntegrityError):
        read(files, "good", 4)
    files.close()


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 30), min_size=1))
def test_a_stream_reads_like_a_file(pieces: list[bytes], amounts: list[int]) -> None:
    file = StreamFile(iter(pieces))
    found = b""
    for number in range(1000):
        piece = file.read(amounts[number % len(amounts)])
        if not piece:
            break
        assert len(piece) <= amounts[number % len(amounts)]
        found += piece
    assert found == b"".join(pieces)


def test_closing_a_stream_lets_go_of_its_source() -> None:
    closed = []

    def source():
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append(True)

    file = StreamFile(source())
    assert file.read(1) == b"o"
    file.close()
    file.close()
    assert closed == [True]
