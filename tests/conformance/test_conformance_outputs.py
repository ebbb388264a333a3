"""One build written in every way there is: the same files each time, and other tools can read it."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from conformance_case import Case, link, with_mode
from conformance_compare import Facts, differences, tree_facts
from conformance_files import scan
from conformance_peers import run

import plainoci
import plainregistry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to unpack what the image holds")

CASE = Case(
    "outputs",
    """\
FROM @base
COPY --from=@tools / /tools
COPY . /context
RUN rm -r /tools/opt/empty /etc/group && rm -r /home && mkdir -m 700 /home && echo new > /home/file
RUN chown 4000000000:3 /context/plain && ln /context/plain /hard && rm /context/link && mkdir /context/link
COPY plain /context/link/
ENTRYPOINT ["/bin/sh"]
LABEL written=everywhere
""",
    {"plain": "plain", "link": link("plain"), "setgid": with_mode(0o2755), "é" * 60 + "/" + "long" * 40: "long"},
)

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci")


@pytest.fixture(scope="module")
def written(ours, shared_coopery, registry, tmp_path_factory) -> tuple[Path, Facts]:
    """A directory with the image in every form, and the facts of its files as pushed."""
    context, _ = ours(CASE)
    out = tmp_path_factory.mktemp("out")
    outputs = (
        f"type=oci,dest={out}/oci.tar",
        f"type=oci,tar=false,dest={out}/oci",
        f"type=docker,name=example.org/written:1,dest={out}/docker.tar",
        f"type=tar,dest={out}/root.tar",
        f"type=local,dest={out}/local",
    )
    options = [part for output in outputs for part in ("-o", output)]
    reference = f"{registry.host}/written:1"
    shared_coopery("build", "--progress=plain", "--push", "-t", reference, *options, context)
    for other in (f"zstd,tar=false,dest={out}/zstd", f"uncompressed,dest={out}/uncompressed.tar"):
        shared_coopery(
            "build", "--progress=plain", "-o", f"type=oci,name=example.org/written:1,compression={other}", context
        )
    return out, tree_facts(plainoci.flatten(plainregistry.pull(reference).layers))


def same(expected: Facts, tree: dict[str, plainoci.Node], *, without: tuple[str, ...] = ()) -> None:
    found = differences(expected, tree_facts(tree))
    assert not {name: values for name, values in found.items() if not name.endswith(without or "\n")}


def layout(path: Path) -> dict[str, plainoci.Node]:
    """The tree of a layout's first image."""
    return plainregistry.tree(path)


def extracted(archive: Path, to: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    return to


@pytest.mark.parametrize("name", ["oci", "zstd"])
def test_a_layout_holds_the_files(written, name):
    out, expected = written
    same(expected, layout(out / name))


@pytest.mark.parametrize("name", ["oci", "uncompressed"])
def test_an_archived_layout_holds_the_files(written, name, tmp_path):
    out, expected = written
    same(expected, layout(extracted(out / f"{name}.tar", tmp_path)))


def test_a_docker_archive_holds_the_files(written, tmp_path):
    out, expected = written
    extracted(out / "docker.tar", tmp_path)
    [entry] = json.loads((tmp_path / "manifest.json").read_bytes())
    assert entry["RepoTags"] == ["example.org/written:1"]
    assert json.loads((tmp_path / entry["Config"]).read_bytes())["config"]["Labels"] == {"written": "everywhere"}
    same(expected, plainoci.flatten((tmp_path / layer).read_bytes() for layer in entry["Layers"]))


def test_a_root_file_system_in_a_tar_is_the_images(written):
    out, expected = written
    same(expected, plainoci.flatten([(out / "root.tar").read_bytes()]))


def test_a_root_file_system_in_a_directory_is_the_images(written):
    out, expected = written
    tree = scan(out / "local")
    same(expected, tree, without=(":owner",))
    assert {(node.uid, node.gid) for node in tree.values()} == {(0, 0)}  # as buildx does it: the user's own


@needs_skopeo
@pytest.mark.parametrize(
    "source", ["oci-archive:{}/oci.tar", "oci:{}/oci", "oci:{}/zstd", "docker-archive:{}/docker.tar"]
)
def test_skopeo_copies_it(written, source, tmp_path):
    out, expected = written
    run(["skopeo", "copy", "--insecure-policy", source.format(out), f"oci:{tmp_path}/copy:it"])
    same(expected, layout(tmp_path / "copy"))


@needs_skopeo
def test_skopeo_copies_it_out_of_the_registry(written, registry, tmp_path):
    _, expected = written
    pull = ["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", f"docker://{registry.host}/written:1"]
    run([*pull, f"oci:{tmp_path}/copy:it"])
    same(expected, layout(tmp_path / "copy"))


@needs_umoci
@pytest.mark.parametrize("name", ["oci", "uncompressed"])
def test_umoci_unpacks_it(written, name, tmp_path):
    out, expected = written
    place = out / name if (out / name).is_dir() else extracted(out / f"{name}.tar", tmp_path / "layout")
    tag = json.loads((place / "index.json").read_bytes())["manifests"][0]["annotations"]
    run(["umoci", "unpack", "--image", f"{place}:{tag['org.opencontainers.image.ref.name']}", str(tmp_path / "bundle")])
    same(expected, scan(tmp_path / "bundle/rootfs"))
