"""COPY --link: layers that owe nothing to what they are put on, told by what goes over the wire."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from faulty_proxy import FaultyProxy

import plainoci
from plainoci import Node, file, flatten
from plainregistry import Pulled, Registry, pull, push
from support import bases
from support.command import run_coopery

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry.host) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Built:
    done: CompletedProcess[str]
    reference: str

    @property
    def image(self) -> Pulled:
        return pull(self.reference)

    @property
    def tree(self) -> dict[str, Node]:
        return flatten(self.image.layers)

    @property
    def blobs(self) -> list[str]:
        return [layer["digest"] for layer in self.image.manifest["layers"]]

    def steps(self, how: str) -> list[str]:
        """The instructions that were CACHED, or DONE."""
        log = self.done.stderr
        titles = dict(re.findall(r"^#(\d+) \[.*?\d+/\d+\] ((?:RUN|COPY|ADD|WORKDIR) .*)$", log, re.MULTILINE))
        return [title for number, title in titles.items() if re.search(rf"^#{number} {how}", log, re.MULTILINE)]


class World:
    """A project, and an image `base` whose layers lie behind a proxy that sees what is fetched."""

    def __init__(self, proxy: FaultyProxy, directory: Path) -> None:
        self._proxy = proxy
        self._directory = directory
        self._name = directory.name.lower().replace("_", "-").strip("-")
        self._serial = 0
        self.base = f"{proxy.host}/links/{self._name}/base:1"
        self.renew("first")

    def renew(self, content: str, **more: Node) -> None:
        """Push another `base` under the same name."""
        bottom = bases.busybox_tree() | {"version": file(content)}
        layers = [plainoci.layer(bottom), plainoci.layer({"top": file(content), **more})]
        self.layers = [layer.digest for layer in layers]
        push(plainoci.image(layers, Env=["PATH=/usr/bin:/bin"], Cmd=["/bin/sh"]), self.base)

    def build(
        self, text: str, *args: str, files: Mapping[str, str] | None = None, runner: str = "one", check: bool = True
    ) -> Built:
        self._serial += 1
        project = self._directory / "project"
        project.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(content)
        (project / "Dockerfile").write_text(text)
        reference = f"{self._proxy.host}/links/{self._name}/image:{self._serial}"
        self._proxy.passed.clear()
        done = run_coopery(
            *("build", "--progress=plain", "--push", "-t", reference),
            *("--build-context", f"base=docker-image://{self.base}", *args, str(project)),
            home=self._directory / "runners" / runner,
            check=check,
        )
        return Built(done, reference)

    @property
    def fetched(self) -> list[str]:
        """The base's layers that the last build downloaded."""
        gets = [one.path for one in self._proxy.passed if one.method == "GET"]
        return [layer for layer in self.layers if any(layer in path for path in gets)]


@pytest.fixture
def world(proxy: FaultyProxy, tmp_path: Path) -> World:
    return World(proxy, tmp_path)


LINKED = 'FROM base\nENV A=1\nCOPY --link a /app/\nADD --link --chmod=u=rwx,go=rX a b /srv/app/\nCMD ["x"]\n'
FILES = {"a": "1", "b": "2"}


def test_an_image_of_linked_layers_needs_no_layer_of_its_base(world: World) -> None:
    first = world.build(LINKED, files=FILES)
    assert world.fetched == []
    assert first.blobs[:2] == world.layers
    assert {first.tree[path].data for path in ("app/a", "srv/app/a", "srv/app/b")} == {b"1", b"2"}
    assert (first.tree["srv/app/a"].mode, first.tree["srv"].mode) == (0o744, 0o755)


def test_a_changed_base_is_put_below_without_a_pull_and_without_a_rebuild(world: World) -> None:
    first = world.build(LINKED, files=FILES)
    world.renew("second")
    again = world.build(LINKED)
    assert world.fetched == []
    assert len(again.steps("CACHED")) == 2
    assert again.steps("DONE") == []
    assert again.blobs == [*world.layers, *first.blobs[2:]]
    assert again.tree["version"].data == b"second"
    assert world.build(LINKED).image.digest == again.image.digest


def test_a_fresh_runner_rebases_from_a_remote_cache(world: World, tmp_path: Path) -> None:
    for spec in (f"type=local,dest={tmp_path / 'cache'}", f"type=registry,ref={world.base.rpartition('/')[0]}/cache"):
        options = "--cache-from", spec.replace("dest=", "src="), "--cache-to", spec
        first = world.build(LINKED, *options, files=FILES, runner="a" + spec[5])
        world.renew("second" + spec)
        again = world.build(LINKED, *options, runner="b" + spec[5])
        assert (world.fetched, again.steps("DONE")) == ([], [])
        assert again.blobs == [*world.layers, *first.blobs[2:]]
        third = world.build(LINKED, *options, runner="c" + spec[5])
        assert third.image.digest == again.image.digest


def test_an_inline_cache_has_linked_layers_too(world: World) -> None:
    first = world.build(LINKED, "--cache-to", "type=inline", files=FILES)
    world.renew("second")
    again = world.build(LINKED, "--cache-from", first.reference, runner="two")
    assert (world.fetched, again.steps("DONE")) == ([], [])
    assert again.blobs == [*world.layers, *first.blobs[2:]]


STAGES = """\
FROM busy AS make
RUN date +%N > /made
FROM base
COPY --link --from=make /made /opt/made
COPY --link a /opt/a
"""


def test_a_stage_of_linked_steps_is_rebased_and_what_it_copies_from_is_left_alone(
    world: World, base_image: str, proxy: FaultyProxy
) -> None:
    busy = f"--build-context=busy=docker-image://{proxy.host}/{base_image.partition('/')[2]}"
    first = world.build(STAGES, busy, files=FILES)
    world.renew("second")
    again = world.build(STAGES, busy)
    assert (world.fetched, again.steps("DONE")) == ([], [])
    assert again.blobs == [*world.layers, *first.blobs[2:]]
    assert again.tree["opt/made"].data == first.tree["opt/made"].data


def test_only_what_depends_on_the_base_is_run_again(world: World) -> None:
    text = "FROM base\nCOPY --link a /a\nRUN cat /version /a > /ran\nCOPY --link b /b\nCOPY a /plain\n"
    first = world.build(text, files=FILES)
    assert world.fetched == world.layers
    world.renew("second")
    again = world.build(text)
    assert sorted(again.steps("CACHED")) == ["COPY --link a /a", "COPY --link b /b"]
    assert sorted(again.steps("DONE")) == ["COPY a /plain", "RUN cat /version /a > /ran"]
    assert again.tree["ran"].data == b"second1"
    assert (again.blobs[2], again.blobs[4]) == (first.blobs[2], first.blobs[4])
    world.build(text, files={"b": "3"})
    assert world.fetched == []


def test_a_stage_from_a_stage_of_linked_steps_is_rebased_whole(world: World) -> None:
    text = "FROM base AS lower\nCOPY --link a /a\nFROM lower\nCOPY --link b /b\n"
    first = world.build(text, files=FILES)
    world.renew("second")
    again = world.build(text)
    assert (world.fetched, again.steps("DONE")) == ([], [])
    assert again.blobs == [*world.layers, *first.blobs[2:]]


def test_a_step_that_runs_sees_linked_layers_on_its_base(world: World) -> None:
    built = world.build("FROM base\nRUN true\nCOPY --link a /d/a\nRUN cat /d/a > /d/b && ls /d > /list\n", files=FILES)
    assert built.tree["list"].data == b"a\nb\n"


def test_links_and_attributes_at_the_destination_mean_nothing_to_a_linked_layer(world: World) -> None:
    world.renew("x", lib64=plainoci.symlink("usr/lib"), own=plainoci.directory(0o700, uid=5, gid=6))
    text = "FROM base\nCOPY --link a /lib64/a\nCOPY --link --chown=7:8 a /own/a\nCOPY --link --chmod=600 b /deep/er/b\n"
    tree = world.build(text, files=FILES).tree
    assert (tree["lib64"].type, tree["lib64/a"].data) == ("dir", b"1")
    assert "usr/lib/a" not in tree
    assert (tree["own"].mode, tree["own"].uid, tree["own"].gid) == (0o755, 7, 8)
    assert [tree[path].mode for path in ("deep", "deep/er", "deep/er/b")] == [0o755, 0o755, 0o600]


def test_a_name_cannot_be_looked_up_for_a_linked_layer(world: World) -> None:
    done = world.build("FROM base\nCOPY --link --chown=app a /a\n", files=FILES, check=False).done
    assert done.returncode == 3
    assert "'app' can't be looked up" in done.stderr
    assert "numeric" in done.stderr


def test_without_the_cache_a_linked_layer_is_made_again(world: World) -> None:
    first = world.build(LINKED, files=FILES)
    again = world.build(LINKED, "--no-cache")
    assert len(again.steps("DONE")) == 2
    assert [layer for layer in again.blobs if layer in first.blobs][:2] == world.layers
