"""A change taken from a workspace and put on a fresh copy gives the same tree, whatever was done in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coopery.archive.extract import extract
from coopery.ports import Capture, StoredLayer
from coopery.snapshot.overlay import OverlaySnapshotter
from coopery.snapshot.scan import ScanSnapshotter
from coopery.tree.tree import Tree, normalise
from support.snapshotting import Description, Mutator, Shelf, describe, run_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to enter the namespaces of all modes")

STEPS = 4
SEEDS = range(3)


def unpacked(layers: list[StoredLayer], target: Path, *, chown: bool, links: bool = False) -> Description:
    """The tree of `layers` by another way: all unpacked into one directory."""
    target.mkdir()
    tree = Tree.empty()
    for layer in layers:
        extract(layer.tar, normalise(layer.entries, tree), str(target), chown=chown)
        tree = tree.apply(layer.entries, layer.diff_id)
    return describe(str(target), owners=chown, links=links)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("mode", "erofs"), [("mnt", True), ("mnt", False), ("full", False), ("sub", False), ("single", False)]
)
def test_overlay_layers_are_what_the_steps_left(mode: str, seed: int, erofs: bool) -> None:
    owned = mode != "single"

    def body(top: Path) -> None:
        shelf = Shelf(top / "store", erofs=erofs)
        (top / "scratch").mkdir()
        snapshotter = OverlaySnapshotter(mode=mode, derived=shelf, scratch=str(top / "scratch"))
        mutator = Mutator(seed, owners=owned, devices=mode == "mnt")
        expected: list[Description] = []
        captures: list[Capture] = []
        with snapshotter.checkout([]) as workspace:
            for _ in range(STEPS):
                mutator.run(workspace.rootfs, 25)
                expected.append(describe(workspace.rootfs, owners=owned))
                captures.append(workspace.commit())
                assert captures[-1].frozen
            assert describe(workspace.rootfs, owners=owned) == expected[-1]
            # Only now, as if archiving were slower than the steps; the last one first.
            kept = {capture: shelf.keep(capture) for capture in reversed(captures)}
        layers: list[StoredLayer] = []
        for number, capture in enumerate(captures):
            layer = kept[capture]
            if layer:
                layers.append(layer)
            plain = unpacked(layers, top / f"plain-{number}", chown=owned)
            assert without_scaffold(expected[number], plain) == plain
            with snapshotter.checkout(layers) as again:  # on the directories of the steps themselves
                assert without_scaffold(describe(again.rootfs, owners=owned), plain) == plain
            (top / f"scratch-{number}").mkdir()
            other = OverlaySnapshotter(mode=mode, derived=shelf, scratch=str(top / f"scratch-{number}"))
            with other.checkout(layers) as fresh:
                assert without_scaffold(describe(fresh.rootfs, owners=owned), plain) == plain
                assert not list(fresh.commit().entries())
            other.close()
        snapshotter.close()
        assert not os.listdir(top / "scratch")
        assert (shelf.made == 0) == (erofs or not layers)

    run_in(mode, body)


def without_scaffold(shown: Description, plain: Description) -> Description:
    """What a root shows, without the scaffold that no layer holds."""
    scaffold = {b"dev", b"etc", b"proc", b"sys", b"etc/hosts", b"etc/resolv.conf"}
    return {path: value for path, value in shown.items() if path in plain or path not in scaffold}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", ["none", "user", "single", "full"])
def test_scanned_layers_are_what_the_steps_left(mode: str, seed: int) -> None:
    owned = mode in ("none", "full")

    def body(top: Path) -> None:
        shelf = Shelf(top / "store")
        (top / "scratch").mkdir()
        snapshotter = ScanSnapshotter(mode="none" if mode == "user" else mode, scratch=str(top / "scratch"))
        mutator = Mutator(seed, owners=owned, devices=mode == "none")
        layers: list[StoredLayer] = []
        with snapshotter.checkout([]) as workspace:
            for number in range(STEPS):
                mutator.run(workspace.rootfs, 25)
                expected = describe(workspace.rootfs, owners=owned, links=True)
                layer = shelf.keep(workspace.commit())
                if layer:
                    layers.append(layer)
                assert unpacked(layers, top / f"plain-{number}", chown=owned, links=True) == expected
                with snapshotter.checkout(layers) as fresh:
                    assert describe(fresh.rootfs, owners=owned, links=True) == expected
                    assert not list(fresh.commit().entries())
        assert not os.listdir(top / "scratch")

    run_in(mode, body)
