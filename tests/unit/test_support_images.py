"""The tests' own reader of images is right: umoci, and the rules of layer.md, agree with it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

import plainoci
import plainregistry
from plainoci import directory, file, hardlink, symlink
from plainregistry import Registry

LOWER = {
    "etc": directory(),
    "etc/old": file("old"),
    "etc/kept": file("kept", 0o600, uid=7, gid=8),
    "opaque": directory(),
    "opaque/below": file("below"),
    "turned": directory(),
    "turned/inside": file("inside"),
    "link": symlink("etc/kept"),
    "once": file("same", 0o4755),
    "twice": hardlink("once"),
}
UPPER = {
    "etc": directory(0o750),
    "etc/.wh.old": file(),
    "etc/new": file("new"),
    "opaque": directory(),
    "opaque/above": file("above"),
    "opaque/.wh..wh..opq": file(),
    "turned": file("now a file"),
}


def stacked() -> plainoci.Image:
    return plainoci.image([plainoci.layer(LOWER), plainoci.layer(UPPER)], Cmd=["/bin/sh"])


def test_whiteouts_opaque_directories_and_replaced_types() -> None:
    tree = plainoci.flatten(each.data for each in stacked().layers)
    assert set(tree) == {
        *("etc", "etc/kept", "etc/new", "opaque", "opaque/above", "turned", "link", "once", "twice"),
    }
    assert tree["turned"].data == b"now a file"
    assert tree["etc"].mode == 0o750
    assert (tree["etc/kept"].uid, tree["etc/kept"].gid, tree["etc/kept"].mode) == (7, 8, 0o600)
    assert tree["once"] == tree["twice"]
    assert tree["once"].inode == tree["twice"].inode != tree["etc/new"].inode


def test_a_whiteout_of_a_layer_spares_that_layers_own_entries() -> None:
    layers = [plainoci.layer({"a": file("1")}), plainoci.layer([("a", file("2")), (".wh.a", file())])]
    assert plainoci.flatten(each.data for each in layers)["a"].data == b"2"


def test_pushed_and_pulled_image_is_the_same(registry: Registry) -> None:
    image = stacked()
    reference = f"{registry.host}/support/stacked:one"
    digest = plainregistry.push(image, reference)
    pulled = plainregistry.pull(reference)
    assert pulled.digest == digest == plainoci.sha256(image.manifest)
    assert pulled.config == json.loads(image.config)
    assert pulled.layers == tuple(each.data for each in image.layers)
    assert pulled.size == plainregistry.image_size(reference) == sum(each.size for each in image.layers)
    assert registry.tags("support/stacked") == ["one"]


def test_base_image_holds_a_shell(base_image: str) -> None:
    tree = plainregistry.tree(base_image)
    assert tree["bin/sh"].link == "busybox"
    assert tree["bin/busybox"].mode == 0o755
    assert tree["tmp"].mode == 0o1777


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: unpacks owners")
@pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci")
def test_umoci_unpacks_what_flatten_shows(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    plainoci.write_layout(stacked(), layout)
    bundle = tmp_path / "bundle"
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:latest", str(bundle)], check=True, capture_output=True)
    root = bundle / "rootfs"
    expected = plainregistry.tree(layout)
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert found == set(expected)
    for name, node in expected.items():
        status = (root / name).lstat()
        if node.type != "symlink":
            assert stat.S_IMODE(status.st_mode) == node.mode, name
        assert (status.st_uid, status.st_gid) == (node.uid, node.gid), name
        if node.type == "file":
            assert (root / name).read_bytes() == node.data
        elif node.type == "symlink":
            assert os.readlink(root / name) == node.link
