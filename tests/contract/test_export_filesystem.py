"""The root file system as a tar and as a directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from coopery.errors import ExportError, IntegrityError
from coopery.export.filesystem import write_directory, write_tar
from coopery.tree.entry import Kind
from support.samples import Sample, file, other, sample, small

LONG = "x" * 150


def never(text: str) -> None:
    raise AssertionError(text)


def export(made: Sample, dest: Path) -> None:
    write_directory(str(dest), made.tree, made.tar, never)


def listing(root: Path) -> dict[str, tuple[int, str, int]]:
    """Type and mode, contents or target, and seconds of the mtime of everything below `root`."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        mode = stat.S_IFLNK if path.is_symlink() else status.st_mode
        found[str(path.relative_to(root))] = (mode, text, int(status.st_mtime))
    return found


def test_a_tar_holds_the_merged_tree(tmp_path: Path) -> None:
    made = small()
    write_tar(str(tmp_path / "root.tar"), {"": made.tree}, made.tar)
    with tarfile.open(tmp_path / "root.tar") as archive:
        members = {member.name: member for member in archive}
        replaced = archive.extractfile("var/replaced")
        assert replaced is not None
        assert replaced.read() == b"new contents"
    assert "etc/gone" not in members
    assert not any(".wh." in name for name in members)
    assert "" not in members and "." not in members
    assert members["etc"].mode == 0o750
    assert (members["etc/kept"].uid, members["etc/kept"].gid, members["etc/kept"].mode) == (7, 8, 0o640)
    links = {name: members[name].linkname for name in members if members[name].islnk()}
    assert links == {"bin/tool": "bin/same"}
    assert members["bin/same"].mode == 0o4755
    assert members["bin/link"].linkname == "tool"
    assert members["var/pipe"].isfifo()


def test_gnu_tar_and_the_directory_agree(tmp_path: Path) -> None:
    made = small()
    write_tar(str(tmp_path / "root.tar"), {"": made.tree}, made.tar)
    (tmp_path / "by-tar").mkdir()
    subprocess.run(["tar", "-xpf", tmp_path / "root.tar", "-C", tmp_path / "by-tar", "--no-same-owner"], check=True)
    export(made, tmp_path / "new" / "directory")
    expected = listing(tmp_path / "by-tar")
    assert listing(tmp_path / "new" / "directory") == expected
    assert (tmp_path / "new" / "directory" / "bin" / "same").samefile(tmp_path / "new" / "directory" / "bin" / "tool")
    assert f"var/{LONG}" not in expected
    assert any(name.startswith(f"var/{LONG}") for name in expected)


def test_equal_trees_give_equal_tars(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = small()
        write_tar(str(tmp_path / name), {"": made.tree}, made.tar)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_belong_to_the_user_who_exports(tmp_path: Path) -> None:
    export(small(), tmp_path)
    status = (tmp_path / "etc" / "kept").stat()
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def test_what_is_there_is_written_over_or_kept(tmp_path: Path) -> None:
    made = small()
    fresh, dest = tmp_path / "fresh", tmp_path / "dest"
    export(made, fresh)
    for name in ("bin/tool", "etc", "var/replaced/inner"):
        (dest / name).mkdir(parents=True)
    (dest / "own").write_text("mine")
    (dest / "etc" / "own").write_text("mine")
    (dest / "etc").chmod(0o500)
    (dest / "bin" / "link").write_text("was a file")
    export(made, dest)
    found = listing(dest)
    assert found.pop("own")[1] == "mine"
    assert found.pop("etc/own")[1] == "mine"
    assert found == listing(fresh)
    export(made, dest)
    assert (dest / "bin" / "same").samefile(dest / "bin" / "tool")
    assert set(listing(dest)) - set(listing(fresh)) == {"own", "etc/own"}


@pytest.mark.parametrize("kind", [Kind.CHARACTER, Kind.BLOCK])
def test_devices(tmp_path: Path, kind: Kind) -> None:
    made = sample([[other("dev", Kind.DIRECTORY), other("dev/null", kind, 0o666, device=(1, 3)), file("last", b"x")]])
    warnings: list[str] = []
    write_directory(str(tmp_path / "out"), made.tree, made.tar, warnings.append)
    device = tmp_path / "out" / "dev" / "null"
    assert device.exists() != bool(warnings)
    if device.exists():
        assert device.lstat().st_rdev == os.makedev(1, 3)
        assert stat.S_IMODE(device.lstat().st_mode) == 0o666
    assert (tmp_path / "out" / "last").read_text() == "x"
    write_tar(str(tmp_path / "root.tar"), {"": made.tree}, made.tar)
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert archive.getmember("dev/null").type == kind.encode()


def test_extended_attributes_travel(tmp_path: Path) -> None:
    made = sample([[file("a", b"a", xattrs=((b"user.note", b"hello"),))]])
    write_tar(str(tmp_path / "root.tar"), {"": made.tree}, made.tar)
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert archive.getmember("a").pax_headers["SCHILY.xattr.user.note"] == "hello"
    export(made, tmp_path / "out")
    try:
        os.setxattr(tmp_path, "user.probe", b"")
    except OSError:
        pytest.skip("needs a file system with user attributes")
    assert os.getxattr(tmp_path / "out" / "a", "user.note") == b"hello"


def test_a_layer_that_is_too_short_is_noticed(tmp_path: Path) -> None:
    made = small()
    made.tars = {diff_id: data[:1024] for diff_id, data in made.tars.items()}
    with pytest.raises(IntegrityError):
        write_tar(str(tmp_path / "root.tar"), {"": made.tree}, made.tar)
    assert not os.listdir(tmp_path)
    with pytest.raises(IntegrityError):
        export(made, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_destination_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExportError):
        export(small(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_without_rights_can_export_and_do_it_again(tmp_path: Path) -> None:
    script = (
        "import os, shutil\n"
        "from support.samples import sample, file, other\n"
        "from coopery.tree.entry import Kind\n"
        "from coopery.export.filesystem import write_directory\n"
        "made = sample([[other('d', Kind.DIRECTORY, 0o055), file('d/f', b'x', 0o400),"
        " other('d/g', Kind.HARDLINK, link='d/f'), other('null', Kind.CHARACTER, device=(1, 3))]])\n"
        "os.setgid(65534)\n"
        "os.setuid(65534)\n"
        "for _ in range(2): write_directory('.', made.tree, made.tar, print)\n"
    )
    place = str(Path(__file__).resolve().parents[1])
    os.chown(tmp_path, 65534, 65534)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": place},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("/null is a device and was left out") == 2
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o055
    assert (tmp_path / "d" / "f").samefile(tmp_path / "d" / "g")
