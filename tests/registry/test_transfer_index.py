"""`coopery index create` with real registries: images of several runs under one name."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import plainoci
import plainregistry
from plainoci import OCI_INDEX, OCI_MANIFEST, sha256
from plainregistry import Registry
from support.command import Coopery
from support.registries import find_registry, running_registry

_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    with running_registry(tmp_path_factory.mktemp("second")) as running:
        yield running


def push(registry: Registry, name: str, arch: str, content: str = "") -> str:
    """Push an image for `arch`; its digest."""
    layer = plainoci.layer({"f": plainoci.file(f"{arch}{content}".encode())})
    return plainregistry.push(plainoci.image([layer], arch=arch), f"{registry.host}/{name}")


def entries(registry: Registry, repository: str, tag: str) -> dict[str, str]:
    """Digests by architecture, in the index's order."""
    body, media_type = registry.manifest(repository, tag)
    assert media_type == OCI_INDEX
    return {entry["platform"]["architecture"]: entry["digest"] for entry in json.loads(body)["manifests"]}


def test_images_of_several_runs(coopery: Coopery, registry: Registry) -> None:
    amd64, arm64 = (push(registry, f"index/app:{arch}", arch) for arch in ("amd64", "arm64"))
    host = registry.host
    done = coopery("index", "create", "-t", f"{host}/index/app:1", f"{host}/index/app:amd64", f"{host}/index/app:arm64")
    assert entries(registry, "index/app", "1") == {"amd64": amd64, "arm64": arm64}
    digest = sha256(registry.manifest("index/app", "1")[0])
    assert done.stdout == f"{host}/index/app:1@{digest}\n"
    for arch in ("amd64", "arm64"):
        assert plainregistry.pull(f"{host}/index/app:1", arch).config["architecture"] == arch
    if shutil.which("skopeo"):
        command = ["skopeo", "inspect", "--tls-verify=false", "--override-arch=arm64", f"docker://{host}/index/app:1"]
        assert json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["Architecture"] == "arm64"


def test_images_from_elsewhere_come_along(coopery: Coopery, registry: Registry, second: Registry) -> None:
    push(registry, "index/from:amd64", "amd64", "elsewhere")
    push(second, "index/other:arm64", "arm64", "elsewhere")
    sources = [f"{registry.host}/index/from:amd64", f"{second.host}/index/other:arm64"]
    tags = [f"{registry.host}/index/to:1", f"{second.host}/index/to:1", f"{second.host}/index/to:2"]
    done = coopery("index", "create", "--progress=plain", *(f"-t{tag}" for tag in tags), *sources)
    assert len(done.stdout.splitlines()) == 3
    for registry_, tag in ((registry, "1"), (second, "1"), (second, "2")):
        for arch in ("amd64", "arm64"):
            assert plainregistry.pull(f"{registry_.host}/index/to:{tag}", arch).layers
    assert "mounted" in done.stderr


def test_of_two_for_one_platform_the_later_counts(coopery: Coopery, registry: Registry) -> None:
    host = registry.host
    push(registry, "index/dup:old", "amd64", "old")
    arm64, new = push(registry, "index/dup:arm64", "arm64"), push(registry, "index/dup:new", "amd64", "new")
    coopery("index", "create", f"-t{host}/index/dup:1", *(f"{host}/index/dup:{tag}" for tag in ("old", "arm64", "new")))
    assert entries(registry, "index/dup", "1") == {"amd64": new, "arm64": arm64}


def test_appending(coopery: Coopery, registry: Registry) -> None:
    host = registry.host
    digests = {arch: push(registry, f"index/append:{arch}", arch) for arch in ("amd64", "arm64", "s390x")}
    for arch in digests:
        coopery("index", "create", "--append", "-t", f"{host}/index/append:1", f"{host}/index/append:{arch}")
    assert entries(registry, "index/append", "1") == digests
    newer = push(registry, "index/append:newer", "arm64", "newer")
    coopery("index", "create", "--append", "-t", f"{host}/index/append:1", f"{host}/index/append:newer")
    assert entries(registry, "index/append", "1") == digests | {"arm64": newer}


def test_an_index_contributes_what_it_lists_and_alone_stays_as_it_is(coopery: Coopery, registry: Registry) -> None:
    host = registry.host
    for arch in ("amd64", "arm64", "s390x"):
        push(registry, f"index/parts:{arch}", arch)
    base = [f"{host}/index/parts:{arch}" for arch in ("amd64", "arm64")]
    coopery("index", "create", "-t", f"{host}/index/parts:two", *base)
    coopery(
        "index", "create", "-t", f"{host}/index/parts:three", f"{host}/index/parts:two", f"{host}/index/parts:s390x"
    )
    assert list(entries(registry, "index/parts", "three")) == ["amd64", "arm64", "s390x"]
    coopery("index", "create", "-t", f"{host}/index/elsewhere:1", f"{host}/index/parts:three")
    assert registry.manifest("index/elsewhere", "1")[0] == registry.manifest("index/parts", "three")[0]
    assert plainregistry.pull(f"{host}/index/elsewhere:1", "s390x").layers


def test_dry_run_and_annotations(coopery: Coopery, registry: Registry) -> None:
    host = registry.host
    push(registry, "index/dry:amd64", "amd64")
    arguments = ("--annotation=a=b", "--annotation=index:c=d", f"{host}/index/dry:amd64")
    dry = coopery("index", "create", "--dry-run", *arguments)
    value = json.loads(dry.stdout)
    assert value["annotations"] == {"a": "b", "c": "d"}
    assert registry.tags("index/dry") == ["amd64"]
    coopery("index", "create", "-t", f"{host}/index/dry:1", *arguments)
    assert json.loads(registry.manifest("index/dry", "1")[0]) == value
    bad = coopery(
        "index", "create", "--annotation=manifest:a=b", "-t", f"{host}/x:1", f"{host}/index/dry:amd64", check=False
    )
    assert bad.returncode == 2


@pytest.mark.parametrize(
    "arguments", [("a:1",), ("-t", "a:1"), ("-t", "a@sha256:" + "0" * 64, "a:1"), ("-t", "UP", "a")]
)
def test_what_cannot_be_asked_for(coopery: Coopery, arguments: tuple[str, ...]) -> None:
    assert coopery("index", "create", *arguments, check=False).returncode == 2


def test_a_failing_name_leaves_the_others(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    digest = push(registry, "index/failing:amd64", "amd64")
    with running_registry(tmp_path / "gone") as gone:
        down = gone.host
    done = coopery(
        "index",
        "create",
        f"-t{down}/a:1",
        f"-t{registry.host}/index/failing:1",
        f"{registry.host}/index/failing:amd64",
        check=False,
    )
    assert done.returncode == 9
    assert f"1 of 2 names failed:\n  {down}/a:1: " in done.stderr
    assert entries(registry, "index/failing", "1") == {"amd64": digest}
    missing = coopery("index", "create", f"-t{registry.host}/i:1", f"{registry.host}/index/none:1", check=False)
    assert missing.returncode == 8


def test_images_of_dockers_types_make_a_manifest_list(coopery: Coopery, registry: Registry) -> None:
    for arch in ("amd64", "arm64"):
        made = plainoci.image([plainoci.layer({"f": plainoci.file(arch.encode())})], arch=arch)
        text = made.manifest.decode().replace(OCI_MANIFEST, plainoci.DOCKER_MANIFEST)
        text = text.replace(
            "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"
        )
        text = text.replace(
            "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"
        )
        for layer in made.layers:
            registry.put_blob("index/docker", layer.digest, layer.data)
        registry.put_blob("index/docker", sha256(made.config), made.config)
        registry.put_manifest("index/docker", arch, text.encode(), plainoci.DOCKER_MANIFEST)
    names = [f"{registry.host}/index/docker:{arch}" for arch in ("amd64", "arm64")]
    coopery("index", "create", "-t", f"{registry.host}/index/docker:1", *names)
    assert registry.manifest("index/docker", "1")[1] == _LIST
