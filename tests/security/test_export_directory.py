"""Exporting into a directory never writes outside it, whatever lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coopery.export.filesystem import write_directory
from coopery.tree.entry import Kind
from support.samples import file, other, sample


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "sentinel").write_text("untouched")
    (place / "sentinel").chmod(0o600)
    return place


def untouched(outside: Path) -> bool:
    return (
        os.listdir(outside) == ["sentinel"]
        and (outside / "sentinel").read_text() == "untouched"
        and (outside / "sentinel").stat().st_mode & 0o777 == 0o600
    )


def test_links_in_the_destination_are_replaced_not_followed(tmp_path: Path, outside: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "directory").symlink_to(outside)
    (dest / "sentinel").symlink_to(outside / "sentinel")
    (dest / "hard").symlink_to(outside / "sentinel")
    made = sample(
        [
            [
                other("directory", Kind.DIRECTORY, 0o777),
                file("directory/sentinel", b"evil"),
                file("sentinel", b"evil", 0o666),
                other("hard", Kind.HARDLINK, link="sentinel"),
            ]
        ]
    )
    write_directory(str(dest), made.tree, made.tar, lambda text: None)
    assert untouched(outside)
    assert (dest / "directory" / "sentinel").read_text() == "evil"
    assert not (dest / "sentinel").is_symlink()
    assert (dest / "hard").samefile(dest / "sentinel")


def test_links_of_the_image_do_not_lead_out_in_a_second_export(tmp_path: Path, outside: Path) -> None:
    dest = str(tmp_path / "dest")
    first = sample([[other("a", Kind.SYMLINK, link=str(outside)), other("b", Kind.SYMLINK, link="../outside")]])
    second = sample([[file("a/sentinel", b"evil"), file("b/sentinel", b"evil")]])
    for made in (first, second):
        write_directory(dest, made.tree, made.tar, lambda text: None)
    assert untouched(outside)
    assert (tmp_path / "dest" / "a" / "sentinel").read_text() == "evil"


def test_another_name_of_a_file_outside_stays_as_it_is(tmp_path: Path, outside: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    os.link(outside / "sentinel", dest / "file")
    made = sample([[file("file", b"evil", 0o777)]])
    write_directory(str(dest), made.tree, made.tar, lambda text: None)
    assert untouched(outside)
    assert (dest / "file").read_text() == "evil"


def test_very_deep_trees_end_in_a_clear_way(tmp_path: Path) -> None:
    path = "/".join(["d"] * 400)
    made = sample([[file(f"{path}/file", b"deep")]])
    write_directory(str(tmp_path / "dest"), made.tree, made.tar, lambda text: None)
    assert (tmp_path / "dest" / path / "file").read_text() == "deep"
