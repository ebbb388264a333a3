"""Which platforms' commands can be run here, and what is said where they can't; images of several platforms."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from coopery.cache.store import Store
from coopery.engines.images import Images
from coopery.engines.runnable import check_runnable
from coopery.errors import EnvironmentUnsuitable
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import OCI_INDEX, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.manifest import Index
from coopery.oci.platform import Platform, host
from coopery.oci.reference import Reference
from coopery.progress import make_progress
from coopery.sandbox.foreign import TRIABLE, obstacles, trial_program
from coopery.solver.hits import find_work
from support.plans import World, base, plan_of

S390X, ARM64 = Platform("linux", "s390x"), Platform("linux", "arm64")
OTHER = S390X if host() != S390X else ARM64


def test_our_own_platform_is_not_even_tried(tmp_path: Path) -> None:
    assert obstacles([host()], str(tmp_path / "nowhere")) == {host(): ""}


def test_trials(tmp_path: Path) -> None:
    found = obstacles([*TRIABLE, Platform("wasi", "wasm"), Platform("linux", "avr")], str(tmp_path))
    assert found[host()] == "" and list(tmp_path.iterdir()) == []
    assert "for wasi" in found[Platform("wasi", "wasm")]
    assert "no emulator for linux/avr" in found[Platform("linux", "avr")]
    for platform in TRIABLE:
        assert not found[platform] or "emulator" in found[platform]


def test_trial_programs_are_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(trial_program(host().architecture))
    path.chmod(0o755)
    assert subprocess.run([path]).returncode == 0
    other = Platform("linux", "386")
    if os.uname().machine == "x86_64" and not obstacles([other], str(tmp_path))[other]:
        path.write_bytes(trial_program("386"))
        assert subprocess.run([path]).returncode == 0


def never(_: Sequence[Platform]) -> Mapping[Platform, str]:
    raise AssertionError("asked in vain")


def refuse(platforms: Sequence[Platform]) -> Mapping[Platform, str]:
    return {platform: f"no way to {platform}" for platform in platforms}


def check(text: str, ask: object = refuse, world: World | None = None, **options: object) -> None:
    plan = plan_of(text, world, **options)
    check_runnable(plan, find_work([plan], lambda _: None), ask, text.splitlines())  # type: ignore[arg-type]


THEIRS = base("theirs")
THEIRS = dataclasses.replace(THEIRS, config=dataclasses.replace(THEIRS.config, platform=OTHER))


def test_what_is_ours_is_not_asked_about() -> None:
    check("FROM base\nRUN x\n", never)
    check("FROM base\nCOPY x /\nWORKDIR /y\n", never, World({"base": THEIRS}), platform=OTHER)
    check("FROM --platform=$BUILDPLATFORM base AS a\nRUN x\nFROM scratch\nCOPY --from=a / /\n", never, platform=OTHER)


def test_a_command_that_cannot_be_run() -> None:
    world = World({"base": THEIRS})
    with pytest.raises(EnvironmentUnsuitable, match=f"^Dockerfile:3: .*no way to {OTHER}") as caught:
        check("FROM base\nCOPY x /\nRUN x\n", world=world, platform=OTHER)
    assert caught.value.hint
    check("FROM base\nRUN x\n", lambda platforms: dict.fromkeys(platforms, ""), world, platform=OTHER)


def test_what_was_found_need_not_be_run() -> None:
    plan = plan_of("FROM base\nRUN x\n", World({"base": THEIRS}), platform=OTHER)
    work = {index: dataclasses.replace(item, vertices=()) for index, item in find_work([plan], lambda _: None).items()}
    check_runnable(plan, work, never, [])


def test_an_image_that_is_wrong_about_itself_is_tried() -> None:
    # A base that calls itself foreign where ours was asked for was a warning, and may be right all the same.
    check("FROM base\nRUN x\n", never, World({"base": THEIRS}))
    # And what was meant for others, but is ours, runs.
    check("FROM base\nRUN x\n", never, platform=OTHER)


class MovingTag:
    """A registry whose tag names another index each time it is asked."""

    def __init__(self) -> None:
        self.documents: dict[Digest, tuple[Descriptor, bytes]] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.turn = 0

    def places(self, reference: Reference) -> Sequence[Reference]:
        return (reference,)

    def head(self, reference: Reference) -> Descriptor | None:
        return self.manifest(reference)[0]

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        return self.documents[reference.digest] if reference.digest else self._index()

    def blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        yield self.blobs[descriptor.digest]

    def _index(self) -> tuple[Descriptor, bytes]:
        self.turn += 1
        entries = []
        for platform in (host(), OTHER):
            manifest, config = Image(ImageConfig(platform, labels={"turn": str(self.turn)})).manifest()
            self.blobs[manifest.config.digest] = config
            entries.append(dataclasses.replace(self._put(OCI_MANIFEST, manifest.serialize()), platform=platform))
        index = self._put(OCI_INDEX, Index(tuple(entries)).serialize())
        return self.documents[index.digest]

    def _put(self, media_type: str, data: bytes) -> Descriptor:
        descriptor = Descriptor(media_type, Digest.of(data), len(data))
        self.documents[descriptor.digest] = descriptor, data
        return descriptor


def test_all_platforms_look_into_one_index(tmp_path: Path) -> None:
    with Store(str(tmp_path / "cache")) as store, open(os.devnull, "w") as sink:
        registry = MovingTag()
        for _ in range(2):
            board = make_progress("plain", sink, environ={}, ticking=False)
            images = Images(store, registry, board, pull=False, titled=True)
            found = [images.get("r.test/base:1", platform) for platform in (OTHER, host(), OTHER)]
            assert [each.image.config.platform for each in found] == [OTHER, host(), OTHER]
            assert len({each.image.config.labels["turn"] for each in found}) == 1
            assert len({each.fetched.top.digest for each in found}) == 1
            titles = [step.name for step in board.steps]
            assert titles == [f"[{platform} internal] load metadata for r.test/base:1" for platform in (OTHER, host())]
