"""COPY, ADD and WORKDIR as changes on a tree: what the layer holds, without any root file system."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from coopery.cache.store import Store
from coopery.context.local import LocalContext
from coopery.errors import ContextError, CooperyError, DockerfileError, IntegrityError
from coopery.plan.ops import CopyOp, MakeDirectoryOp, SourceRef
from coopery.ports import Change
from coopery.solver.copying import copy_change, directory_change, with_parents
from coopery.solver.users import UnknownUser
from coopery.tree.entry import Entry, Kind
from coopery.tree.tree import Tree

NOW = 5_000_000_000


def directory(path: str, mode: int = 0o755, uid: int = 0) -> Entry:
    return Entry(path.encode(), Kind.DIRECTORY, mode, uid, uid)


def tree(*entries: Entry) -> Tree:
    return Tree.empty().apply(entries)


ROOT = tree(
    directory("srv", 0o711, 3),
    directory("srv/app", 0o700, 4),
    Entry(b"link", Kind.SYMLINK, 0o777, 0, 0, link=b"srv/app"),
    Entry(b"out", Kind.SYMLINK, 0o777, 0, 0, link=b"../../etc"),
    Entry(b"file", Kind.FILE, 0o644, 0, 0),
)


def read(path: str) -> bytes | None:
    return {"/etc/passwd": b"app:x:7:8:::\n", "/etc/group": b"grp:x:9:\n"}.get(path)


def shown(change: Change) -> dict[str, tuple[int, int, int]]:
    return {entry.path.decode(): (entry.mode, entry.uid, entry.gid) for entry, _ in change}


# ----------------------------------------------------------------------------------------------------- WORKDIR


@pytest.mark.parametrize(
    ("path", "user", "made"),
    [
        ("/new", "", {"new": (0o755, 0, 0)}),
        ("/new", "app", {"new": (0o755, 7, 8)}),
        ("/new", "5", {"new": (0o755, 5, 5)}),  # as BuildKit: llb.WithUser, not the process's group
        ("/new", "5:6", {"new": (0o755, 5, 6)}),
        ("/new/er", "app:grp", {"new": (0o755, 7, 9), "new/er": (0o755, 7, 9)}),
        ("/srv/app", "app", {}),
        ("/link", "app", {}),
        ("/link/x", "app", {"srv": (0o711, 3, 3), "srv/app": (0o700, 4, 4), "srv/app/x": (0o755, 7, 8)}),
        ("/out/x", "", {"etc": (0o755, 0, 0), "etc/x": (0o755, 0, 0)}),
    ],
)
def test_workdir(path, user, made):
    change = list(directory_change(MakeDirectoryOp(path, user), ROOT, read, NOW))
    assert shown(change) == made
    assert list(made) == [entry.path.decode() for entry, _ in change]


def test_workdir_over_a_file_and_for_nobody():
    with pytest.raises(DockerfileError, match="/file is a file"):
        directory_change(MakeDirectoryOp("/file", ""), ROOT, read, NOW)
    with pytest.raises(DockerfileError, match="/file is a file"):
        directory_change(MakeDirectoryOp("/file/x/y", ""), ROOT, read, NOW)
    with pytest.raises(UnknownUser):
        directory_change(MakeDirectoryOp("/x", "nobody"), ROOT, read, NOW)


def test_parents_are_listed_once_and_before():
    pairs = [(Entry(path, Kind.FILE, 0o644, 0, 0), None) for path in (b"srv/app/a", b"srv/app/b", b"srv/c", b"new/d")]
    assert [entry.path for entry, _ in with_parents(pairs, ROOT)] == [
        b"srv",
        b"srv/app",
        b"srv/app/a",
        b"srv/app/b",
        b"srv/c",
        b"new/d",
    ]


# -------------------------------------------------------------------------------------------------- COPY and ADD


class Memory:
    def load(self) -> None:
        return None

    def save(self, value: object) -> None:
        pass


def tar(*members: tuple[str, bytes], **more: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid, info.mode = len(data), 11, 12, 0o640
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def change(tmp_path: Path):
    """Runs a COPY, or an ADD with `unpack=True`, of files given by name on ROOT."""
    with Store(str(tmp_path / "store")) as store:
        context = tmp_path / "context"
        context.mkdir()

        def run(files: dict[str, bytes], destination: str, *patterns: str, owner: str = "", unpack: bool = False):
            for name, data in files.items():
                (context / name).write_bytes(data)
            op = CopyOp(SourceRef("context"), patterns or tuple(files), destination, owner, None, unpack)
            pairs = copy_change(op, [LocalContext(str(context), None, Memory())], ROOT, read, store, NOW)
            result = {}
            for entry, opener in pairs:
                data = b""
                if opener:
                    with opener() as file:
                        data = file.read(entry.size)
                result[entry.path.decode()] = (entry.uid, entry.gid, data)
            return result

        yield run


def test_owners_are_looked_up_in_the_image(change):
    assert change({"f": b"x"}, "/f")["f"] == (0, 0, b"x")
    assert change({"f": b"x"}, "/f", owner="app")["f"] == (7, 8, b"x")
    assert change({"f": b"x"}, "/f", owner="app:grp")["f"] == (7, 9, b"x")
    assert change({"f": b"x"}, "/f", owner="5")["f"] == (5, 5, b"x")
    with pytest.raises(UnknownUser):
        change({"f": b"x"}, "/f", owner="nobody")


def test_a_destination_behind_a_link_stays_inside(change):
    assert list(change({"f": b"x"}, "/link/")) == ["srv", "srv/app", "srv/app/f"]
    assert list(change({"f": b"x"}, "/out/")) == ["etc", "etc/f"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_add_unpacks_by_content_and_copy_does_not(change, pack):
    data = pack(tar(("a/b", b"data"), ("c", b"")))
    assert change({"plain.txt": data}, "/d/", unpack=True) == {
        "d": (0, 0, b""),
        "d/a": (0, 0, b""),
        "d/a/b": (11, 12, b"data"),
        "d/c": (11, 12, b""),
    }
    assert change({"plain.txt": data}, "/d/")["d/plain.txt"] == (0, 0, data)
    assert change({"x.tar.gz": b"no archive"}, "/d/", unpack=True)["d/x.tar.gz"][2] == b"no archive"


def test_chown_is_for_all_of_an_archive(change):
    made = change({"t": tar(("b", b"x"))}, "/d", owner="5:6", unpack=True)
    assert made == {"d": (5, 6, b""), "d/b": (5, 6, b"x")}


def test_archives_and_files_side_by_side(change):
    made = change({"one": tar(("a", b"1")), "two": b"plain"}, "/srv/", unpack=True)
    assert {name: value[2] for name, value in made.items()} == {"srv": b"", "srv/a": b"1", "srv/two": b"plain"}


@pytest.mark.parametrize("name", ["../escape", "/../../escape", "a/../../escape"])
def test_an_archives_paths_do_not_lead_out(change, name):
    with pytest.raises(CooperyError):
        change({"t": tar((name, b"x"))}, "/srv/app/", unpack=True)


def test_an_archives_links_are_resolved_inside(change):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("evil")
        info.type, info.linkname = tarfile.SYMTYPE, "../../../../etc"
        archive.addfile(info)
        inner = tarfile.TarInfo("evil/passwd")
        inner.size = 1
        archive.addfile(inner, io.BytesIO(b"x"))
    made = change({"t": buffer.getvalue()}, "/srv/app/", unpack=True)
    assert "etc/passwd" in made
    assert not any(".." in name for name in made)


def test_archives_that_would_delete(change):
    with pytest.raises(ContextError, match="which would mean a deletion") as caught:
        change({"t": tar(("a/.wh.b", b""))}, "/d/", unpack=True)
    assert caught.value.hint


def test_an_archive_over_a_file(change):
    with pytest.raises(ContextError, match="which is a file"):
        change({"t": tar(("a", b""))}, "/file", unpack=True)


def test_a_damaged_archive(change):
    with pytest.raises(IntegrityError):
        change({"t": gzip.compress(tar(("a", bytes(100_000))))[:-20]}, "/d/", unpack=True)
    with pytest.raises(IntegrityError):
        change({"t": tar(("a", bytes(100_000)))[:60_000]}, "/d/", unpack=True)


def test_missing_sources_are_told_with_what_there_is(change):
    with pytest.raises(ContextError, match=r"'requirments\.txt' is not in the build context") as caught:
        change({"requirements.txt": b""}, "/d/", "requirments.txt")
    assert "requirements.txt" in caught.value.hint
    assert change({"requirements.txt": b""}, "/d/", "*.nothing") == {}
