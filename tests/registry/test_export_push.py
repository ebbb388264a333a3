"""Pushing images to a real registry."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from coopery.errors import IntegrityError, RegistryError
from coopery.export.contents import image_contents
from coopery.export.registry import Pushed, push
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest, parse_manifest
from coopery.oci.reference import Reference
from coopery.oci.validate import violations
from coopery.ports import Credential, StepProgress
from coopery.progress import Board, make_progress
from coopery.registry import RegistryClient
from plainregistry import Registry
from support.registries import find_registry, running_registry
from support.samples import Sample, file, sample, small


class Anonymous:
    def get(self, registry: str, repository: str) -> Credential | None:
        return None

    def advice(self, registry: str, repository: str, action: str) -> str:
        return ""


@pytest.fixture(scope="module")
def client() -> Iterator[RegistryClient]:
    client = RegistryClient(Anonymous())
    yield client
    client.close()


@pytest.fixture
def board() -> Board:
    return make_progress("plain", io.StringIO(), environ={}, ticking=False)


@pytest.fixture
def step(board: Board) -> StepProgress:
    return board.step("exporting")


class Counting:
    """Opens blobs, counting how often each is wanted."""

    def __init__(self, made: Sample) -> None:
        self.made = made
        self.opened: Counter[Digest] = Counter()
        self._lock = threading.Lock()

    def __call__(self, digest: Digest) -> BinaryIO:
        with self._lock:
            self.opened[digest] += 1
        return self.made.blob(digest)


def check(registry: Registry, pushed: Pushed, made: Sample) -> Manifest:
    reference = pushed.reference
    data, media_type = registry.manifest(reference.repository, reference.version)
    assert Digest.of(data) == pushed.descriptor.digest
    manifest = parse_manifest(data, media_type)
    assert isinstance(manifest, Manifest)
    assert not violations(manifest, registry.blob(reference.repository, str(manifest.config.digest)))
    for layer in manifest.layers:
        assert registry.blob(reference.repository, str(layer.digest)) == made.blobs[layer.digest]
    return manifest


def test_every_name_has_the_image(registry: Registry, client: RegistryClient, board: Board) -> None:
    made, step = small(), board.step("exporting")
    blob = Counting(made)
    names = [Reference.parse(f"{registry.host}/push/{name}") for name in ("one:1", "one", "two/deep:1")]
    pushed = push(client, image_contents(made.image, blob), names, step=step)
    assert [str(item.reference).partition("/")[2] for item in pushed] == [
        "push/one:1",
        "push/one:latest",
        "push/two/deep:1",
    ]
    for item in pushed:
        check(registry, item, made)
    # Uploaded once, mounted into the second repository.
    assert set(blob.opened.values()) == {1}
    again = push(client, image_contents(made.image, blob), names, step=step)
    assert [(item.descriptor.digest, item.outcome) for item in again] == [
        (item.descriptor.digest, "up to date") for item in pushed
    ]
    assert set(blob.opened.values()) == {1}
    step.done()


def test_blobs_are_mounted_from_where_the_base_came(
    registry: Registry, client: RegistryClient, step: StepProgress
) -> None:
    base = sample([[file("base", b"base")]])
    origin = Reference.parse(f"{registry.host}/mount/base:1")
    push(client, base.contents, [origin], step=step)

    def never(digest: Digest) -> BinaryIO:
        raise AssertionError(digest)

    name = Reference.parse(f"{registry.host}/mount/app:1")
    elsewhere = Reference.parse("elsewhere.invalid/base:1")
    (pushed,) = push(client, image_contents(base.image, never), [name], step=step, mount_from=[elsewhere, origin])
    check(registry, pushed, base)


def test_several_registries_at_once(
    registry: Registry, client: RegistryClient, step: StepProgress, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    made = small()
    with running_registry(tmp_path_factory.mktemp("second")) as second:
        names = [Reference.parse(f"{host}/several/app:1") for host in (registry.host, second.host)]
        pushed = push(client, made.contents, names, step=step)
        check(registry, pushed[0], made)
        check(second, pushed[1], made)


def test_dockers_types_and_annotations(registry: Registry, client: RegistryClient, step: StepProgress) -> None:
    made = small()
    name = Reference.parse(f"{registry.host}/types/app:1")
    (pushed,) = push(client, image_contents(made.image, made.blob, docker_types=True), [name], step=step)
    assert check(registry, pushed, made).media_type.startswith("application/vnd.docker.")
    (pushed,) = push(client, image_contents(made.image, made.blob, annotations={"a": "b"}), [name], step=step)
    assert check(registry, pushed, made).annotations == {"a": "b"}


def test_no_name_changes_when_a_blob_cannot_be_pushed(
    registry: Registry, client: RegistryClient, step: StepProgress
) -> None:
    made = small()
    damaged = next(iter(made.blobs))
    made.blobs[damaged] = made.blobs[damaged][:-1] + b"x"
    names = [Reference.parse(f"{registry.host}/broken/{name}:1") for name in ("a", "b")]
    with pytest.raises((IntegrityError, RegistryError)):
        push(client, made.contents, names, step=step)
    assert registry.tags("broken/a") == registry.tags("broken/b") == []


def test_an_image_without_layers(registry: Registry, client: RegistryClient, step: StepProgress) -> None:
    made = sample([])
    (pushed,) = push(client, made.contents, [Reference.parse(f"{registry.host}/empty:1")], step=step)
    check(registry, pushed, made)


def test_the_log_says_what_happened_to_each_blob(registry: Registry, client: RegistryClient) -> None:
    stream, made = io.StringIO(), sample([[file("log", b"log")]])
    step = make_progress("plain", stream, environ={}, ticking=False).step("exporting to image")
    name = Reference.parse(f"{registry.host}/log/app:1")
    push(client, made.contents, [name], step=step)
    (layer,) = made.image.layers
    text = stream.getvalue()
    assert f"#1 layer sha256:{layer.descriptor.digest.hex[:12]} uploaded to {registry.host}/log/app\n" in text
    assert text.splitlines()[-1].startswith("#1 manifest sha256:")
