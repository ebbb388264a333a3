"""Images written as files: held against skopeo, umoci, GNU tar and Docker."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coopery.errors import ExportError, IntegrityError, StorageError
from coopery.export.contents import image_contents
from coopery.export.docker_archive import write_docker_archive
from coopery.export.metadata import metadata, write_image_id, write_metadata
from coopery.export.oci_layout import write_oci_archive, write_oci_directory
from coopery.oci.config import ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.manifest import Manifest, parse_manifest
from coopery.oci.reference import Reference
from coopery.oci.validate import violations
from support.samples import Sample, file, sample, small

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None or os.geteuid() != 0, reason="needs umoci and root")

NAMES = [Reference.parse("registry.example/team/app:1.2")]


@pytest.fixture(scope="module")
def made() -> Sample:
    return small()


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo_agrees(made: Sample, source: str, tmp_path: Path) -> None:
    """What skopeo reads, and copies elsewhere, is the image."""
    found = json.loads(run("skopeo", "inspect", "--config", source))
    assert found["rootfs"]["diff_ids"] == [str(diff_id) for diff_id in made.image.config.diff_ids]
    run("skopeo", "copy", source, f"dir:{tmp_path / 'copied'}")
    data = (tmp_path / "copied" / "manifest.json").read_bytes()
    manifest = parse_manifest(data)
    assert isinstance(manifest, Manifest)
    config = (tmp_path / "copied" / manifest.config.digest.hex).read_bytes()
    assert not violations(manifest, config)
    assert ImageConfig.parse(config) == made.image.config


@needs_skopeo
def test_skopeo_reads_the_layout_directory(made: Sample, tmp_path: Path) -> None:
    write_oci_directory(str(tmp_path / "oci"), made.contents, NAMES)
    skopeo_agrees(made, f"oci:{tmp_path / 'oci'}:1.2", tmp_path)


@needs_skopeo
def test_skopeo_reads_the_layout_archive(made: Sample, tmp_path: Path) -> None:
    write_oci_archive(str(tmp_path / "a.tar"), made.contents, NAMES)
    skopeo_agrees(made, f"oci-archive:{tmp_path / 'a.tar'}:1.2", tmp_path)


@needs_skopeo
@pytest.mark.parametrize("docker_types", [False, True])
def test_skopeo_reads_the_docker_archive(made: Sample, tmp_path: Path, docker_types: bool) -> None:
    path = tmp_path / "a.tar"
    write_docker_archive(str(path), made.image, NAMES, made.tar, docker_types=docker_types)
    skopeo_agrees(made, f"docker-archive:{path}:registry.example/team/app:1.2", tmp_path)
    assert json.loads(run("skopeo", "inspect", f"docker-archive:{path}"))["Architecture"] == "amd64"


@needs_umoci
def test_umoci_unpacks_the_layout(made: Sample, tmp_path: Path) -> None:
    names = [*NAMES, Reference.parse("elsewhere.example/app:1.2")]
    write_oci_directory(str(tmp_path / "oci"), made.contents, names)
    run("umoci", "unpack", "--image", f"{tmp_path / 'oci'}:1.2", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    assert (root / "var" / "replaced").read_text() == "new contents"
    assert not (root / "etc" / "gone").exists()
    assert (root / "bin" / "same").samefile(root / "bin" / "tool")


@pytest.fixture(scope="session")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker daemon of this session's own, without network set-up."""
    daemon, client = shutil.which("dockerd"), shutil.which("docker")
    if daemon is None or client is None:
        pytest.skip("needs dockerd and docker")
    if os.geteuid() != 0:
        pytest.skip("needs root to run dockerd")
    base = tmp_path_factory.mktemp("dockerd")
    host = f"unix://{base}/docker.sock"
    options = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
    places = ["--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "--pidfile", f"{base}/pid", "-H", host]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen([daemon, *options, *places], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        ready = answers(process, Path(f"{base}/docker.sock"), deadline)
        if not ready:
            pytest.skip("needs a dockerd that can start here: " + (base / "log").read_text()[-300:])
        yield host
    finally:
        process.terminate()
        process.wait()


def answers(process: subprocess.Popen[bytes], socket: Path, deadline: float) -> bool:
    """Whether the daemon answers before the deadline and hasn't ended."""
    while process.poll() is None and time.monotonic() < deadline:
        if socket.exists():
            done = subprocess.run(["docker", "-H", f"unix://{socket}", "version"], capture_output=True)
            if done.returncode == 0:
                return True
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    return False


def test_docker_loads_the_archive(made: Sample, tmp_path: Path, docker_host: str) -> None:
    names = [Reference.parse("team/app:1.2"), Reference.parse("localhost:5000/app")]
    path = tmp_path / "a.tar"
    write_docker_archive(str(path), made.image, names, made.tar)
    output = run("docker", "-H", docker_host, "load", "-i", path)
    assert "Loaded image: team/app:1.2" in output
    assert "Loaded image: localhost:5000/app:latest" in output
    found = json.loads(run("docker", "-H", docker_host, "image", "inspect", "team/app:1.2"))[0]
    assert found["RootFS"]["Layers"] == [str(diff_id) for diff_id in made.image.config.diff_ids]
    assert found["Id"] == str(Digest.of(made.image.config.serialize()))


def test_the_layout_is_added_to(made: Sample, tmp_path: Path) -> None:
    dest = str(tmp_path / "oci")
    second = sample([[file("other", b"other")]])
    write_oci_directory(dest, made.contents, NAMES)
    write_oci_directory(dest, second.contents, [Reference.parse("registry.example/team/other:2")])
    blobs = len(list((tmp_path / "oci" / "blobs" / "sha256").iterdir()))
    assert blobs == 4 + 3
    index = json.loads((tmp_path / "oci" / "index.json").read_bytes())
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {"io.containerd.image.name": "registry.example/team/app:1.2", "org.opencontainers.image.ref.name": "1.2"},
        {"io.containerd.image.name": "registry.example/team/other:2", "org.opencontainers.image.ref.name": "2"},
    ]
    replaced = write_oci_directory(dest, second.contents, NAMES)
    index = json.loads((tmp_path / "oci" / "index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [str(replaced.digest)] * 2
    assert sorted(os.listdir(dest)) == ["blobs", "index.json", "oci-layout"]


def test_a_layout_may_have_dockers_types_and_annotations(made: Sample, tmp_path: Path) -> None:
    descriptor = write_oci_directory(
        str(tmp_path),
        image_contents(made.image, made.blob, docker_types=True, annotations={"org.example.a": "b"}),
        NAMES,
    )
    assert descriptor.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    data = (tmp_path / "blobs" / "sha256" / descriptor.digest.hex).read_bytes()
    manifest = parse_manifest(data, descriptor.media_type)
    assert isinstance(manifest, Manifest)
    assert manifest.annotations == {"org.example.a": "b"}
    assert not violations(manifest, (tmp_path / "blobs" / "sha256" / manifest.config.digest.hex).read_bytes())


def test_an_image_without_a_name_is_listed_once(made: Sample, tmp_path: Path) -> None:
    for _ in range(2):
        write_oci_directory(str(tmp_path), made.contents, [])
    (entry,) = json.loads((tmp_path / "index.json").read_bytes())["manifests"]
    assert "annotations" not in entry


def test_something_else_in_the_way_is_not_overwritten(made: Sample, tmp_path: Path) -> None:
    for content in ("{", "[]", '{"manifests": 5}'):
        (tmp_path / "index.json").write_text(content)
        with pytest.raises(ExportError):
            write_oci_directory(str(tmp_path), made.contents, NAMES)
        assert (tmp_path / "index.json").read_text() == content


def test_equal_images_give_equal_bytes(made: Sample, tmp_path: Path) -> None:
    again = small()
    for number, one in enumerate((made, again)):
        write_oci_archive(str(tmp_path / f"oci{number}"), one.contents, NAMES)
        write_docker_archive(str(tmp_path / f"docker{number}"), one.image, NAMES, one.tar)
    for kind in ("oci", "docker"):
        assert (tmp_path / f"{kind}0").read_bytes() == (tmp_path / f"{kind}1").read_bytes()


def test_gnu_tar_lists_the_archive(made: Sample, tmp_path: Path) -> None:
    write_oci_archive(str(tmp_path / "a.tar"), made.contents, NAMES)
    listed = run("tar", "-tf", tmp_path / "a.tar").splitlines()
    assert listed[:2] == ["oci-layout", "index.json"]
    assert len(set(listed)) == len(listed)


def test_a_layer_used_twice_is_written_once(tmp_path: Path) -> None:
    files = [file("a", b"a")]
    twice = sample([files, files])
    write_oci_archive(str(tmp_path / "oci"), twice.contents, NAMES)
    write_docker_archive(str(tmp_path / "docker"), twice.image, NAMES, twice.tar)
    for name in ("oci", "docker"):
        with tarfile.open(tmp_path / name) as archive:
            names = archive.getnames()
        assert len(set(names)) == len(names)


def test_a_damaged_blob_leaves_nothing_behind(made: Sample, tmp_path: Path) -> None:
    bad = small()
    digest, data = next(iter(bad.blobs.items()))
    for damaged in (data[:-1], data[:-1] + b"x"):
        bad.blobs[digest] = damaged
        with pytest.raises(IntegrityError, match=digest.hex):
            write_oci_archive(str(tmp_path / "a.tar"), bad.contents, NAMES)
        with pytest.raises(IntegrityError, match=digest.hex):
            write_oci_directory(str(tmp_path / "oci"), bad.contents, NAMES)
    assert os.listdir(tmp_path) == ["oci"]
    assert not (tmp_path / "oci" / "index.json").exists()
    assert not os.listdir(tmp_path / "oci" / "blobs" / "sha256")


def test_an_archive_replaces_what_was_there_only_when_it_is_whole(made: Sample, tmp_path: Path) -> None:
    (tmp_path / "real.tar").write_text("before")
    (tmp_path / "a.tar").symlink_to("real.tar")
    bad = small()
    bad.blobs = dict.fromkeys(bad.blobs, b"")
    with pytest.raises(IntegrityError):
        write_oci_archive(str(tmp_path / "a.tar"), bad.contents, NAMES)
    assert (tmp_path / "real.tar").read_text() == "before"
    write_oci_archive(str(tmp_path / "a.tar"), made.contents, NAMES)
    assert (tmp_path / "a.tar").is_symlink()
    assert tarfile.is_tarfile(tmp_path / "real.tar")
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "real.tar"]


def test_a_full_disk_is_a_storage_error(made: Sample) -> None:
    with pytest.raises(StorageError, match="/dev/full"):
        write_oci_archive("/dev/full", made.contents, NAMES)
    assert Path("/dev/full").is_char_device()


def test_places_that_cannot_be_written(made: Sample, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="directory"):
        write_oci_archive(str(tmp_path), made.contents, NAMES)
    for dest in (tmp_path / "file" / "a.tar", Path("/proc/nowhere/a.tar")):
        with pytest.raises(ExportError):
            write_oci_archive(str(dest), made.contents, NAMES)
    with pytest.raises(ExportError):
        write_oci_directory(str(tmp_path / "file"), made.contents, NAMES)


def test_standard_output(made: Sample, tmp_path: Path) -> None:
    write_oci_archive(str(tmp_path / "a.tar"), made.contents, NAMES)
    script = (
        "from support.samples import small\n"
        "from coopery.export.oci_layout import write_oci_archive\n"
        "from coopery.oci.reference import Reference\n"
        "made = small()\n"
        "write_oci_archive('-', made.contents, [Reference.parse('registry.example/team/app:1.2')])\n"
    )
    place = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": place}, check=True
    )
    assert done.stdout == (tmp_path / "a.tar").read_bytes()


def test_a_terminal_is_not_written_to(made: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(ExportError, match="terminal"):
        write_oci_archive("-", made.contents, NAMES)


def test_metadata_has_buildx_keys(made: Sample, tmp_path: Path) -> None:
    descriptor = write_oci_archive(str(tmp_path / "a.tar"), made.contents, NAMES)
    config = Digest.of(made.image.config.serialize())
    write_metadata(str(tmp_path / "meta.json"), metadata(config, descriptor, [*NAMES, Reference.parse("debian")]))
    assert json.loads((tmp_path / "meta.json").read_bytes()) == {
        "containerimage.config.digest": str(config),
        "containerimage.descriptor": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "platform": {"architecture": "amd64", "os": "linux"},
        },
        "containerimage.digest": str(descriptor.digest),
        "image.name": "registry.example/team/app:1.2,docker.io/library/debian:latest",
    }
    write_image_id(str(tmp_path / "iid"), config)
    assert (tmp_path / "iid").read_text() == str(config)
