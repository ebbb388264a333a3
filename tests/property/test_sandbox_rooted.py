"""Paths looked up inside a root, against the kernel's own openat2(RESOLVE_IN_ROOT)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery import kernel
from coopery.sandbox.rooted import Root, remove_stubs

# No slash or dot at the end: there the kernel insists on a directory, and for a mount point that makes no difference.
PATHS = st.builds(
    lambda start, names, last: start + "/".join([*names, last]),
    st.sampled_from(["", "/", "//"]),
    st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), max_size=4),
    st.sampled_from(["a", "b", "c", ".."]),
)
ENTRIES = st.lists(
    st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.one_of(st.just(""), st.just("/"), PATHS)),
    max_size=8,
)


def _openat2_works() -> bool:
    try:
        os.close(kernel.openat2(kernel.AT_FDCWD, "/", os.O_PATH))
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp())
    yield directory
    shutil.rmtree(directory)


def plant(place: Path, entries: list[tuple[list[str], str]]) -> Path:
    """A tree of directories (`/`), files (empty) and symlinks below `place`, which has a way out beside it."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "root").mkdir(parents=True)
    (place / "a").mkdir()
    for names, what in entries:
        path = place / "root"
        for name in names[:-1]:
            path = path / name
            if not os.path.lexists(path):
                path.mkdir()
            elif path.is_symlink() or not path.is_dir():
                break
        else:
            path = path / names[-1]
            if os.path.lexists(path):
                continue
            if what == "/":
                path.mkdir()
            elif what:
                path.symlink_to(what)
            else:
                path.touch()
    return place / "root"


def listing(place: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_ino, path.lstat().st_mtime_ns) for path in (place, *place.rglob("*")))


@pytest.mark.skipif(not _openat2_works(), reason="needs openat2 (Linux 5.6)")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=ENTRIES, path=PATHS)
def test_finds_what_the_kernel_finds(place: Path, entries: list[tuple[list[str], str]], path: str) -> None:
    top = plant(place / "case", entries)
    root = Root(os.fsencode(top))
    try:
        fd = kernel.openat2(root.fd, path, os.O_PATH)
    except OSError as error:
        expected: object = error.errno
    else:
        expected = os.fstat(fd).st_ino
        os.close(fd)
    try:
        fd = root.open(os.fsencode(path))
    except OSError as error:
        found: object = error.errno
    else:
        found = os.fstat(fd).st_ino
        os.close(fd)
    root.close()
    assert found == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=ENTRIES, paths=st.lists(st.tuples(PATHS, st.sampled_from(["file", "directory"])), max_size=4))
def test_what_is_made_lies_inside_and_goes_again(
    place: Path, entries: list[tuple[list[str], str]], paths: list[tuple[str, str]]
) -> None:
    top = plant(place / "case", entries)
    before = listing(place / "case")
    outside = [entry for entry in before if not entry[0].startswith(str(top))]
    root = Root(os.fsencode(top))
    for path, kind in paths:
        try:
            fd = root.open(os.fsencode(path), kind)
        except OSError:
            continue
        assert os.readlink(f"/proc/self/fd/{fd}").startswith(str(top))
        os.close(fd)
    root.close()
    during = listing(place / "case")
    assert [entry for entry in during if not entry[0].startswith(str(top))] == outside
    remove_stubs(os.fsencode(top), root.stubs)
    assert listing(place / "case") == before
