"""Layers that try to leave their root, and honest ones that look like them. A sentinel outside must stay as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coopery.errors import CooperyError
from support.layer_tars import (
    FILE,
    apply_tars,
    directory,
    hardlink,
    member,
    on_disk,
    symlink,
    write_tar,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files their owners")

OUT = "OUTSIDE"  # stands for the absolute path of the directory around the root
UP = "../" * 12


def attacks() -> dict[str, list[list]]:
    """Layers by name; each attack is one layer or two on top of each other."""
    bad = b"changed"
    one = {
        "dotdot": [member("../secret", data=bad)],
        "dotdot inside": [member("a/../../secret", data=bad)],
        "absolute": [member(f"{OUT}/secret", data=bad)],
        "hard link out": [hardlink("h", "../secret"), member("h", data=bad)],
        "hard link out, absolute": [hardlink("h", f"{OUT}/secret"), member("h", data=bad)],
        "file over link": [symlink("f", f"{OUT}/secret"), member("f", data=bad)],
        "magic link": [symlink("p", "/proc/self/cwd"), member("p/secret", data=bad)],
        "magic root": [symlink("p", "/proc/1/root"), member(f"p{OUT}/secret", data=bad)],
        "loop": [symlink("l", "m"), symlink("m", "l"), member("l/x", data=bad)],
        "root is a link": [symlink(".", OUT), member("secret", data=bad)],
        "nul": [member("a", data=bad, pax_headers={"path": "../secret\0x"})],
    }
    two = {
        "link, then write": [[symlink("evil", OUT)], [member("evil/secret", data=bad)]],
        "relative link": [[symlink("evil", f"{UP}{OUT}")], [member("evil/secret", data=bad)]],
        "link in a link": [[symlink("a", "b/c"), symlink("b", OUT)], [member("a/../secret/x", data=bad)]],
        "directory over link": [[symlink("d", OUT)], [directory("d", mode=0o700), member("d/secret", data=bad)]],
        "directory through link": [[symlink("d", OUT)], [directory("d/inner", mode=0o700)]],
        "hard link through link": [[symlink("d", OUT)], [hardlink("h", "d/secret"), member("h", data=bad)]],
        "hard link to link": [[symlink("s", f"{OUT}/secret")], [hardlink("h", "s"), member("h", data=bad)]],
        "whiteout through link": [[symlink("d", OUT)], [member("d/.wh.secret")]],
        "opaque through link": [[symlink("d", OUT)], [member("d/.wh..wh..opq")]],
        "whiteout of a link": [[symlink("d", OUT)], [member(".wh.d")]],
        "whiteout of a parent": [[directory("d")], [member("d/.wh...")], [member("d/.wh..")]],
        "swap": [[directory("c"), member("c/1")], [symlink("c", OUT), member("c/secret", data=bad)]],
        "swap deep": [[member("c/d/e/1")], [symlink("c/d", f"{UP}{OUT}"), member("c/d/secret", data=bad)]],
        "link below itself": [[directory("x"), symlink("x/y", "../../x/../..")], [member(f"x/y{OUT}/secret")]],
        "device over link": [[symlink("d", f"{OUT}/secret")], [member("d", b"6")]],
    }
    return {**{name: [layer] for name, layer in one.items()}, **two}


def placed(layer: list, outside: Path) -> list:
    for info, _ in layer:
        info.name = info.name.replace(OUT, str(outside))
        info.linkname = info.linkname.replace(OUT, str(outside))
    return layer


@pytest.mark.parametrize("name", attacks())
@pytest.mark.parametrize("whiteouts", ["delete", "overlay"])
def test_nothing_outside_changes(tmp_path: Path, name: str, whiteouts: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "secret").write_text("sentinel")
    os.utime(outside, (1, 1))
    before = (on_disk(outside), os.stat(outside).st_mode, os.stat(outside).st_mtime)
    cwd = Path.cwd()
    os.chdir(outside)
    try:
        layers = [placed(layer, outside) for layer in attacks()[name]]
        tars = [write_tar(tmp_path / f"{i}.tar", *layer) for i, layer in enumerate(layers)]
        apply_tars(tmp_path / "root", *tars, whiteouts=whiteouts)
    except CooperyError:
        pass  # refused, in words
    finally:
        os.chdir(cwd)
    assert (on_disk(outside), os.stat(outside).st_mode, os.stat(outside).st_mtime) == before
    assert os.stat(outside / "secret").st_nlink == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".tar") in (["outside"], ["outside", "root"])


def test_a_root_planted_with_links_is_not_left_either(tmp_path: Path) -> None:
    """What lies in the root isn't what the layers say: links are replaced, or are errors, but not followed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("sentinel")
    for name, kind in (("d/secret", "directory"), ("f", "file")):
        root = tmp_path / kind
        root.mkdir()
        (root / "d").symlink_to(tmp_path / "outside")
        (root / "f").symlink_to(tmp_path / "outside" / "secret")
        apply_tars(root, write_tar(tmp_path / "x.tar", member(name, data=b"changed"), member("d/.wh.secret2")))
        assert (root / name).read_bytes() == b"changed"
    assert (tmp_path / "outside" / "secret").read_text() == "sentinel"


def test_honest_images_with_links_still_unpack(tmp_path: Path) -> None:
    base = write_tar(
        tmp_path / "base.tar",
        directory("usr/bin"),
        directory("usr/lib", mode=0o711),
        symlink("bin", "usr/bin"),
        symlink("lib", "/usr/lib"),
        symlink("far", "../../../../usr/lib"),
        member("usr/bin/old", data=b"old"),
        member("usr/bin/gone", data=b"gone"),
    )
    top = write_tar(
        tmp_path / "top.tar",
        member("bin/foo", FILE, b"foo"),
        member("lib/libx", FILE, b"x"),
        member("far/liby", FILE, b"y"),
        member("bin/.wh.gone"),
        hardlink("bin/foo2", "bin/foo"),
        hardlink("old2", "bin/old"),
    )
    tree = apply_tars(tmp_path / "root", base, top)
    root = tmp_path / "root"
    assert os.readlink(root / "bin") == "usr/bin" and os.readlink(root / "lib") == "/usr/lib"
    assert sorted(os.listdir(root / "usr/bin")) == ["foo", "foo2", "old"]
    assert sorted(os.listdir(root / "usr/lib")) == ["libx", "liby"]
    assert (root / "usr/lib").stat().st_mode & 0o777 == 0o711
    assert os.path.samefile(root / "usr/bin/foo", root / "usr/bin/foo2")
    assert os.path.samefile(root / "old2", root / "usr/bin/old")
    assert sorted(on_disk(root)) == sorted(os.fsdecode(n.entry.path) for n in tree.walk() if n.entry.path)
