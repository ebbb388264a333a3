"""`coopery copy` and `coopery inspect` between real registries, layouts and archives; peers read what comes out."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_support import Request, ScriptedServer

import plainoci
import plainregistry
from plainoci import OCI_INDEX, sha256
from plainregistry import Registry
from support.command import Coopery
from support.registries import find_registry, running_registry

_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_ARCHES = ("amd64", "arm64", "s390x")


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Another registry than `registry`."""
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    with running_registry(tmp_path_factory.mktemp("second")) as running:
        yield running


def image(arch: str = "", content: bytes = b"content") -> plainoci.Image:
    shared = plainoci.layer({"shared": plainoci.file(b"shared" * 5000)})
    own = plainoci.layer({"own": plainoci.file(content + arch.encode())})
    return plainoci.image([shared, own], arch=arch, Env=["A=b"], Labels={"who": "tests"}, Cmd=["/bin/sh"])


@pytest.fixture(scope="session")
def index(registry: Registry) -> tuple[str, bytes]:
    """The name of an index of several platforms, and its bytes, which nobody would write just so."""
    entries = []
    for arch in _ARCHES:
        made = image(arch)
        digest = plainregistry.push(made, f"{registry.host}/transfer/index:{arch}")
        entry = {"mediaType": plainoci.OCI_MANIFEST, "size": len(made.manifest), "digest": digest}
        entries.append({"platform": {"os": "linux", "architecture": arch}, "futureField": 1, **entry})
    data = json.dumps({"manifests": entries, "schemaVersion": 2, "mediaType": OCI_INDEX, "x": " "}, indent=7).encode()
    registry.put_manifest("transfer/index", "all", data, OCI_INDEX)
    return f"{registry.host}/transfer/index:all", data


def docker_image(registry: Registry, repository: str) -> bytes:
    """Push an image with Docker's media types; the manifest's bytes."""
    made = image()
    value = json.loads(made.manifest)
    value["mediaType"] = _DOCKER_MANIFEST
    value["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    for layer in value["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    data = json.dumps(value).encode()
    for layer in made.layers:
        registry.put_blob(repository, layer.digest, layer.data)
    registry.put_blob(repository, sha256(made.config), made.config)
    registry.put_manifest(repository, "1", data, _DOCKER_MANIFEST)
    return data


def skopeo(*arguments: str | Path) -> str:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    command = ["skopeo", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def umoci_stat(layout: Path, tag: str) -> None:
    if not shutil.which("umoci"):
        pytest.skip("needs umoci")
    subprocess.run(["umoci", "stat", "--image", f"{layout}:{tag}"], check=True, capture_output=True)


# ------------------------------------------------------------------------------------------------ registries


def test_an_image_keeps_its_bytes_whatever_its_types(coopery: Coopery, registry: Registry, second: Registry) -> None:
    oci = plainregistry.push(image(), f"{registry.host}/transfer/oci:1")
    docker = docker_image(registry, "transfer/docker")
    done = coopery("copy", f"docker://{registry.host}/transfer/oci:1", f"{second.host}/copied/oci:2")
    assert done.stdout == f"{second.host}/copied/oci:2@{oci}\n"
    coopery("copy", f"{registry.host}/transfer/docker:1", f"docker://{second.host}/copied/docker:1")
    assert second.manifest("copied/docker", "1")[0] == docker
    assert second.manifest("copied/oci", "2")[0] == registry.manifest("transfer/oci", "1")[0]
    assert plainregistry.pull(f"{second.host}/copied/docker:1").layers


def test_of_an_index_one_platform_or_all(
    coopery: Coopery, registry: Registry, second: Registry, index: tuple[str, bytes]
) -> None:
    name, data = index
    coopery("copy", name, f"{second.host}/one:here")
    assert second.manifest("one", "here")[0] == image("amd64").manifest or plainoci.architecture() != "amd64"
    coopery("copy", "--platform=linux/arm64", name, f"{second.host}/one:arm64")
    assert second.manifest("one", "arm64")[0] == image("arm64").manifest
    assert second.tags("one") == ["arm64", "here"]
    coopery("copy", "--all", name, f"{second.host}/whole:1")
    assert second.manifest("whole", "1")[0] == data
    for arch in _ARCHES:
        assert plainregistry.pull(f"{second.host}/whole:1", arch).config["architecture"] == arch
    missing = coopery("copy", "--platform=linux/riscv64", name, f"{second.host}/one:no", check=False)
    assert missing.returncode == 8
    assert "linux/amd64, linux/arm64, linux/s390x" in missing.stderr


def test_within_a_registry_nothing_is_uploaded(coopery: Coopery, registry: Registry) -> None:
    plainregistry.push(image(content=b"mounted"), f"{registry.host}/transfer/from:1")
    done = coopery("copy", "--progress=plain", f"{registry.host}/transfer/from:1", f"{registry.host}/transfer/to:1")
    assert "uploaded" not in done.stderr
    assert done.stderr.count("mounted") == 3
    again = coopery("copy", "--progress=plain", f"{registry.host}/transfer/from:1", f"{registry.host}/transfer/to:1")
    assert "is up to date" in again.stderr


def test_a_failing_destination_leaves_the_others(coopery: Coopery, registry: Registry, second: Registry) -> None:
    digest = plainregistry.push(image(), f"{registry.host}/transfer/several:1")
    with running_registry(coopery.home.parent / "gone") as gone:
        down = gone.host
    done = coopery(
        "copy",
        f"{registry.host}/transfer/several:1",
        f"{down}/app:1",
        f"{second.host}/several:1",
        f"{registry.host}/transfer/several:2",
        check=False,
    )
    assert done.returncode == 9
    assert f"1 of 3 destinations failed:\n  {down}/app:1: {down} refused the connection" in done.stderr
    assert plainregistry.resolve(f"{second.host}/several:1")[0] == digest
    assert plainregistry.resolve(f"{registry.host}/transfer/several:2")[0] == digest


def test_what_is_not_there(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    assert coopery("copy", f"{registry.host}/nowhere:1", f"oci:{tmp_path}/x", check=False).returncode == 8
    for source in (f"oci:{tmp_path}/none", f"oci-archive:{tmp_path}/none", f"docker-archive:{tmp_path}/none"):
        done = coopery("copy", source, f"{registry.host}/x:1", check=False)
        assert done.returncode == 2, done.stderr
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    for kind in ("oci-archive", "docker-archive"):
        done = coopery("copy", f"{kind}:{tmp_path}/junk", f"{registry.host}/x:1", check=False)
        assert done.returncode == 12, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("docker-daemon:x:1", "oci:y"),
        ("dir:/x", "oci:y"),
        ("https://registry.example/x", "oci:y"),
        ("oci:", "oci:y"),
        ("oci:x:", "oci:y"),
        ("a:1", "UPPER"),
        ("a:1", "oci:y", "oci:y"),
        ("--all", "a:1", "docker-archive:y"),
        ("--all", "--platform=linux/arm64", "a:1", "oci:y"),
        ("a:1",),
    ],
)
def test_what_cannot_be_asked_for(coopery: Coopery, arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = coopery("copy", *arguments, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------ layouts


def test_layouts_that_peers_read(
    coopery: Coopery, registry: Registry, second: Registry, index: tuple[str, bytes], tmp_path: Path
) -> None:
    name, data = index
    layout = tmp_path / "layout"
    coopery("copy", "--platform=linux/amd64", name, f"oci:{layout}:amd64")
    coopery("copy", "--all", name, f"oci:{layout}:all", f"oci-archive:{tmp_path}/all.tar:all")
    umoci_stat(layout, "amd64")
    assert skopeo("inspect", "--raw", f"oci:{layout}:all").encode() == data
    assert skopeo("inspect", "--raw", f"oci-archive:{tmp_path}/all.tar:all").encode() == data
    # And back again, from what skopeo writes as well.
    skopeo("copy", "-q", "--all", f"oci:{layout}:all", f"oci-archive:{tmp_path}/theirs.tar:theirs")
    for number, source in enumerate(
        (f"oci:{layout}:all", f"oci-archive:{tmp_path}/all.tar", f"oci-archive:{tmp_path}/theirs.tar:theirs")
    ):
        coopery("copy", "-a", source, f"{second.host}/back:{number}")
        assert second.manifest("back", str(number))[0] == data
    several = coopery("copy", f"oci:{layout}", f"{second.host}/back:x", check=False)
    assert several.returncode == 2
    assert "all, amd64" in several.stderr
    assert coopery("copy", f"oci:{layout}:none", f"{second.host}/back:x", check=False).returncode == 8


def test_dockers_types_become_ocis_in_a_layout(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    docker_image(registry, "transfer/retyped")
    done = coopery("copy", f"{registry.host}/transfer/retyped:1", f"oci:{tmp_path}/layout:1")
    umoci_stat(tmp_path / "layout", "1")
    raw = skopeo("inspect", "--raw", f"oci:{tmp_path}/layout:1")
    assert "docker" not in raw
    assert done.stdout == f"oci:{tmp_path}/layout:1 {sha256(raw.encode())}\n"


def test_a_damaged_layout_is_noticed(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    made = image(content=b"to be damaged")
    plainoci.write_layout(made, tmp_path / "layout", "1")
    blob = tmp_path / "layout/blobs/sha256" / made.layers[1].digest.removeprefix("sha256:")
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    for destination in (f"{registry.host}/transfer/damaged:1", f"oci:{tmp_path}/copy", f"docker-archive:{tmp_path}/a"):
        done = coopery("copy", f"oci:{tmp_path}/layout:1", destination, check=False)
        assert done.returncode == 12, done.stderr
    assert not registry.tags("transfer/damaged")
    assert not (tmp_path / "a").exists()


# ------------------------------------------------------------------------------------------------ docker archives


def test_docker_archives_that_peers_read(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    made = image()
    plainregistry.push(made, f"{registry.host}/transfer/archived:1")
    archive = tmp_path / "image.tar"
    coopery("copy", f"{registry.host}/transfer/archived:1", f"docker-archive:{archive}:some/name:2")
    with tarfile.open(archive) as tar:
        (listed,) = json.load(tar.extractfile("manifest.json") or io.BytesIO())
        assert listed["RepoTags"] == ["some/name:2"]
        assert (tar.extractfile(listed["Config"]) or io.BytesIO()).read() == made.config
        for path, layer in zip(listed["Layers"], made.layers, strict=True):
            assert sha256((tar.extractfile(path) or io.BytesIO()).read()) == layer.diff_id
    facts = json.loads(skopeo("inspect", "--config", f"docker-archive:{archive}"))
    assert facts["rootfs"]["diff_ids"] == [layer.diff_id for layer in made.layers]


def docker_archive(path: Path, made: plainoci.Image, *, packed: bool, links: bool = False) -> None:
    """What `docker save` wrote, or what tools write that leave layers compressed; with a layer saved as a link."""
    with tarfile.open(path, "w") as tar:

        def add(name: str, data: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        names = []
        for number, layer in enumerate(made.layers):
            data = layer.data or b""
            add(f"{number}/layer.tar", data if packed else gzip.decompress(data))
            names.append(f"{number}/layer.tar")
        if links:
            link = tarfile.TarInfo("linked/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, "../1/layer.tar"
            tar.addfile(link)
            names[1] = "linked/layer.tar"
        add("config.json", made.config)
        listed = {"Config": "config.json", "RepoTags": ["docker.io/library/saved:1"], "Layers": names}
        add("manifest.json", json.dumps([listed]).encode())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("links", [False, True])
def test_docker_archives_into_registries_and_layouts(
    coopery: Coopery, registry: Registry, tmp_path: Path, packed: bool, links: bool
) -> None:
    made, archive = image(content=f"{packed}{links}".encode()), tmp_path / "saved.tar"
    docker_archive(archive, made, packed=packed, links=links)
    repository = f"transfer/saved-{packed}-{links}".lower()
    coopery("copy", f"docker-archive:{archive}", f"{registry.host}/{repository}:1", f"oci:{tmp_path}/layout:1")
    pulled = plainregistry.pull(f"{registry.host}/{repository}:1")
    assert pulled.media_type == _DOCKER_MANIFEST
    assert pulled.manifest["config"]["digest"] == sha256(made.config)
    assert [sha256(gzip.decompress(layer)) for layer in pulled.layers] == [layer.diff_id for layer in made.layers]
    if packed:  # nothing has been compressed anew
        assert [layer["digest"] for layer in pulled.manifest["layers"]] == [layer.digest for layer in made.layers]
    umoci_stat(tmp_path / "layout", "1")
    skopeo("copy", "-q", f"oci:{tmp_path}/layout:1", f"oci:{tmp_path}/theirs:1")


def test_a_compressed_archive_and_names_in_archives(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    made = image(content=b"zipped")
    docker_archive(tmp_path / "saved.tar", made, packed=False)
    (tmp_path / "saved.tar.gz").write_bytes(gzip.compress((tmp_path / "saved.tar").read_bytes()))
    coopery("copy", f"docker-archive:{tmp_path}/saved.tar.gz:saved:1", f"{registry.host}/transfer/zipped:1")
    assert plainregistry.pull(f"{registry.host}/transfer/zipped:1").manifest["config"]["digest"] == sha256(made.config)
    done = coopery("copy", f"docker-archive:{tmp_path}/saved.tar:other:1", f"{registry.host}/x:1", check=False)
    assert done.returncode == 8
    assert "library/saved:1" in done.stderr


def test_an_archive_of_skopeos(coopery: Coopery, registry: Registry, tmp_path: Path) -> None:
    made = image(content=b"theirs")
    plainoci.write_layout(made, tmp_path / "layout", "1")
    skopeo("copy", "-q", f"oci:{tmp_path}/layout:1", f"docker-archive:{tmp_path}/theirs.tar:name:1")
    coopery("copy", f"docker-archive:{tmp_path}/theirs.tar:name:1", f"{registry.host}/transfer/theirs:1")
    pulled = plainregistry.pull(f"{registry.host}/transfer/theirs:1")
    assert [sha256(gzip.decompress(layer)) for layer in pulled.layers] == [layer.diff_id for layer in made.layers]


# ------------------------------------------------------------------------------------------------ inspect


def test_inspect_tells_what_skopeo_tells(coopery: Coopery, registry: Registry) -> None:
    digest = plainregistry.push(image(), f"{registry.host}/transfer/looked-at:1")
    name = f"{registry.host}/transfer/looked-at:1"
    ours = json.loads(coopery("inspect", "--format=json", name).stdout)
    theirs = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    for key in ("Name", "Digest", "Created", "Labels", "Architecture", "Os", "Layers", "Env"):
        assert ours[key] == theirs[key], key
    assert "LayersData" not in theirs or ours["LayersData"] == theirs["LayersData"]  # since skopeo 1.10
    assert coopery("inspect", "--digest", name).stdout == f"{digest}\n"
    assert coopery("inspect", "--raw", name).stdout.encode() == registry.manifest("transfer/looked-at", "1")[0]
    assert coopery("inspect", "--config", name).stdout.encode() == image().config
    text = coopery("inspect", name).stdout
    assert re.search(rf"^Digest: +{digest}$", text, re.MULTILINE)
    assert "  A=b\n" in text
    assert "  who=tests\n" in text
    assert "in 2 layers" in text


def test_inspect_of_an_index(coopery: Coopery, index: tuple[str, bytes]) -> None:
    name, data = index
    assert coopery("inspect", "--raw", name).stdout.encode() == data
    value = json.loads(coopery("inspect", "--format=json", name).stdout)
    assert [entry["Platform"] for entry in value["Manifests"]] == [f"linux/{arch}" for arch in _ARCHES]
    chosen = coopery("inspect", "--platform=linux/arm64", "--digest", name).stdout
    assert chosen.strip() == sha256(image("arm64").manifest)
    text = coopery("inspect", "--platform=linux/s390x", name).stdout
    assert f"Image:      {sha256(image('s390x').manifest)}\n" in text
    assert coopery("inspect", "--platform=linux/ppc64le", name, check=False).returncode == 8
    assert coopery("inspect", "--raw", "--digest", name, check=False).returncode == 2


def test_inspect_of_files_and_of_words_that_would_act_in_a_terminal(coopery: Coopery, tmp_path: Path) -> None:
    layer = plainoci.layer({"f": plainoci.file(b"x")})
    plainoci.write_layout(plainoci.image([layer], Labels={"a": "\x1b[31mred\n::set-output"}), tmp_path / "l", "1")
    text = coopery("inspect", f"oci:{tmp_path}/l:1").stdout
    assert "\x1b" not in text
    assert "  a=\\x1b[31mred\\n::set-output\n" in text


def test_crane_finds_nothing_wrong(
    coopery: Coopery, registry: Registry, second: Registry, index: tuple[str, bytes], tmp_path: Path
) -> None:
    crane = shutil.which("crane")
    if not crane:
        pytest.skip("needs crane")
    name, data = index
    coopery("copy", "--all", name, f"{second.host}/crane:1", f"oci:{tmp_path}/layout:1")
    for source in (name, f"{second.host}/crane:1"):
        subprocess.run([crane, "validate", "--remote", source], check=True, capture_output=True)
        digest = subprocess.run([crane, "digest", source], check=True, capture_output=True, text=True).stdout.strip()
        assert digest == sha256(data)
        assert coopery("inspect", "--digest", source).stdout.strip() == digest
    # An image that crane archives leaves its layers compressed.
    arguments = ["pull", "--platform=linux/arm64", name, str(tmp_path / "crane.tar")]
    subprocess.run([crane, *arguments], check=True, capture_output=True)
    coopery("copy", f"docker-archive:{tmp_path}/crane.tar", f"{second.host}/crane:back")
    back = plainregistry.pull(f"{second.host}/crane:back", "arm64")
    assert [layer["digest"] for layer in back.manifest["layers"]] == [layer.digest for layer in image("arm64").layers]


# ------------------------------------------------------------------------------------------------ requests


def test_a_copy_reads_each_manifest_once(
    coopery: Coopery, serve: object, index: tuple[str, bytes], registry: Registry
) -> None:
    seen: list[str] = []
    server = forwarding(serve, registry, seen)
    coopery("copy", "--all", f"{server.host}/transfer/index:all", f"oci:{coopery.home}/layout:1")
    manifests = [line for line in seen if "/manifests/" in line]
    assert len(manifests) == len(set(manifests)) == 1 + len(_ARCHES)
    blobs = [line for line in seen if "/blobs/" in line]
    assert len(blobs) == len(set(blobs))


def forwarding(serve: object, registry: Registry, seen: list[str]) -> ScriptedServer:
    """A server that hands reads on to `registry` and notes them."""
    from registry_support import Reply

    def answer(request: Request) -> Reply:
        seen.append(f"{request.method} {request.path}")
        accept = request.headers.get("accept", "")
        status, headers, body = registry._request(request.method, request.path, headers={"Accept": accept})
        kept = {name: headers[name] for name in ("Content-Type", "Docker-Content-Digest") if headers[name]}
        return Reply(status, kept, body)

    return serve(answer)  # type: ignore[operator]
