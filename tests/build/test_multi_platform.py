"""One build for several platforms: each has its own image, and one index names them all."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import plainregistry
from coopery.oci.platform import Platform, host
from plainoci import Node, flatten
from plainregistry import Registry
from support import bases, platforms
from support.command import Coopery

HERE = str(host())
FOREIGN = [text for text in platforms.PLATFORMS if text != HERE]
#: Nothing of it has to be run, but on this machine's own platform.
CROSS = """\
FROM --platform=$BUILDPLATFORM base AS build
RUN cat /proc/sys/kernel/random/uuid > /once
ARG TARGETPLATFORM TARGETVARIANT BUILDPLATFORM
RUN echo $TARGETPLATFORM from $BUILDPLATFORM > /own && echo variant $TARGETVARIANT
FROM base
ARG TARGETPLATFORM TARGETVARIANT
LABEL platform=$TARGETPLATFORM variant=$TARGETVARIANT
COPY --from=build /once /own /
COPY --from=base /which /copied
"""


@pytest.fixture(scope="module")
def base(registry: Registry) -> str:
    """An index of images for `platforms.PLATFORMS`."""
    if not bases.BUSYBOX.exists():
        pytest.skip("needs busybox-static")
    reference = f"{registry.host}/multi/base:1"
    platforms.push_base(reference)
    return reference


class Builds:
    """Builds of one project, and what is in the registry afterwards."""

    def __init__(self, coopery: Coopery, registry: Registry, base: str, project: Path) -> None:
        self.coopery = coopery
        self.registry = registry
        self.project = project
        self.repository = f"multi/{project.parent.name.lower()}"
        self.name = f"{registry.host}/{self.repository}"
        self._base = ("--build-context", f"base=docker-image://{base}")

    def __call__(
        self, dockerfile: str, *options: str | Path, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        (self.project / "Dockerfile").write_text(dockerfile)
        return self.coopery(
            "build", "--progress=plain", *self._base, *options, self.project, check=check, env=dict(env or {})
        )

    def push(self, dockerfile: str, *options: str | Path, tag: str = "1") -> subprocess.CompletedProcess[str]:
        return self(dockerfile, "--push", "-t", f"{self.name}:{tag}", *options)

    def document(self, reference: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.registry.manifest(self.repository, reference)[0])
        return value

    def images(self, tag: str = "1") -> Iterator[tuple[str, dict[str, Any], dict[str, Node]]]:
        """Of each image in the index: its platform there, its configuration, its files."""
        for entry in self.document(tag)["manifests"]:
            pulled = plainregistry.pull(f"{self.name}@{entry['digest']}")
            yield spelled(entry["platform"]), pulled.config, flatten(pulled.layers)


def spelled(platform: Mapping[str, str]) -> str:
    return "/".join(platform[key] for key in ("os", "architecture", "variant") if key in platform)


@pytest.fixture
def builds(coopery: Coopery, registry: Registry, base: str, tmp_path: Path) -> Builds:
    project = tmp_path / "project"
    project.mkdir()
    return Builds(coopery, registry, base, project)


def every(*texts: str) -> tuple[str, str]:
    return "--platform", ",".join(texts or platforms.PLATFORMS)


def test_each_platform_has_its_own_image(builds: Builds, tmp_path: Path) -> None:
    metadata, iid = tmp_path / "metadata.json", tmp_path / "iid"
    second = f"{builds.name}/second:latest"
    done = builds.push(CROSS, *every(), "-t", second, "--metadata-file", metadata, "--iidfile", iid)
    found = list(builds.images())
    assert [platform for platform, _, _ in found] == list(platforms.PLATFORMS)
    for platform, config, tree in found:
        assert config["architecture"] == Platform.parse(platform).architecture
        labels = config["config"]["Labels"]
        assert labels == {"platform": platform, "variant": Platform.parse(platform).variant}
        assert tree["which"].data.decode() == tree["copied"].data.decode() == platform
        assert tree["own"].data.decode() == f"{platform} from {HERE}\n"
    # What knows nothing of the target was done once; what does, for each.
    assert len({tree["once"].data for _, _, tree in found}) == 1
    assert done.stderr.count("] RUN cat /proc") == 1 or "CACHED" not in done.stderr
    assert f"[{HERE}->{FOREIGN[0].removeprefix('linux/')} build 3/3] RUN echo {FOREIGN[0]}" in done.stderr
    assert f"[{FOREIGN[0]} internal] load metadata for" in done.stderr

    data, media_type = builds.registry.manifest(builds.repository, "1")
    assert media_type == json.loads(data)["mediaType"] == "application/vnd.oci.image.index.v1+json"
    digest = plainregistry.sha256(data)
    assert plainregistry.sha256(builds.registry.manifest(f"{builds.repository}/second", "latest")[0]) == digest
    told = json.loads(metadata.read_text())
    assert told["containerimage.descriptor"] == {"mediaType": media_type, "digest": digest, "size": len(data)}
    assert told["containerimage.digest"] == digest and "containerimage.config.digest" not in told
    assert told["image.name"] == f"{builds.name}:1,{second}"
    assert iid.read_text() == digest
    assert {layer["platform"] for layer in told["coopery.build"]["layers"]} == set(platforms.PLATFORMS)
    # Only the index has a tag.
    assert builds.registry.tags(builds.repository) == ["1"]


def test_again_nothing_is_done_and_nothing_changes(builds: Builds) -> None:
    builds.push(CROSS, *every())
    first = builds.document("1")
    again = builds.push(CROSS, *every(), tag="2")
    assert builds.document("2") == first
    assert again.stderr.count("CACHED") and " DONE 0" in again.stderr and "choose isolation" not in again.stderr


def test_an_image_is_the_same_alone_and_among_others(builds: Builds) -> None:
    for platform in (HERE, FOREIGN[0]):
        builds.push(CROSS, *every(platform), tag="alone")
        alone = plainregistry.sha256(builds.registry.manifest(builds.repository, "alone")[0])
        assert "manifests" not in builds.document("alone")
        builds.push(CROSS, *every())
        digests = {spelled(entry["platform"]): entry["digest"] for entry in builds.document("1")["manifests"]}
        assert digests[platform] == alone


def test_without_the_cache_a_shared_step_runs_once_all_the_same(builds: Builds) -> None:
    builds.push(CROSS, *every(), "--no-cache")
    once = {tree["once"].data for _, _, tree in builds.images()}
    builds.push(CROSS, *every(), "--no-cache")
    again = {tree["once"].data for _, _, tree in builds.images()}
    assert len(once) == len(again) == 1 and once != again


def test_what_cannot_be_run_here_is_said_first(builds: Builds, tmp_path: Path) -> None:
    platform = platforms.foreign(tmp_path, runnable=False)
    if not platform:
        pytest.skip("every platform's programs can be run here")
    text = "FROM --platform=$BUILDPLATFORM base AS first\nRUN echo it ran\nFROM base\nCOPY --from=first /etc /e\n"
    done = builds(text + 'RUN ["/trial"]\n', *every(HERE, platform), check=False)
    assert done.returncode == 10
    assert f"Dockerfile:5: this command is for {platform}: this machine runs {HERE}" in done.stderr
    assert ">>> RUN" in done.stderr and "coopery index create" in done.stderr and "qemu-user-static" in done.stderr
    assert "it ran" not in done.stderr.replace("RUN echo it ran", "")
    # One stage for another platform is enough, whatever the target's is.
    done = builds(f'FROM --platform={platform} base\nRUN ["/trial"]\n', check=False)
    assert done.returncode == 10 and "Dockerfile:2: " in done.stderr


def test_what_can_be_run_here_is_run(builds: Builds, tmp_path: Path) -> None:
    platform = platforms.foreign(tmp_path, runnable=True)
    if not platform:
        pytest.skip("no other platform's programs can be run here")
    builds.push('FROM base\nRUN ["/trial"]\n', *every(HERE, platform))
    assert [found for found, _, _ in builds.images()] == [HERE, platform]
    assert all(config["history"][-1]["created_by"] == "RUN /trial" for _, config, _ in builds.images())


def test_annotations(builds: Builds) -> None:
    given = (
        "a=all",
        "index:b=index",
        f"manifest[{HERE}]:a=own",
        "index,manifest:c=both",
        "manifest-descriptor:d=entry",
    )
    options = [part for text in given for part in ("--annotation", text)]
    builds.push("FROM scratch\nCOPY Dockerfile /\n", *every(HERE, FOREIGN[0]), *options)
    index = builds.document("1")
    assert index["annotations"] == {"b": "index", "c": "both"}
    assert [entry["annotations"] for entry in index["manifests"]] == [{"d": "entry"}] * 2
    own, other = (builds.document(entry["digest"])["annotations"] for entry in index["manifests"])
    assert own == {"a": "own", "c": "both"} and other == {"a": "all", "c": "both"}


def test_outputs(builds: Builds, tmp_path: Path) -> None:
    outputs = (
        f"type=oci,dest={tmp_path}/oci.tar",
        f"type=oci,tar=false,dest={tmp_path}/oci",
        f"type=tar,dest={tmp_path}/root.tar",
        f"type=local,dest={tmp_path}/local",
    )
    options = [part for output in outputs for part in ("-o", output)]
    builds(CROSS, *every(HERE, "linux/arm/v7"), "-t", "example.org/multi:1", *options)
    named = {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "example.org/multi:1"}
    with tarfile.open(tmp_path / "oci.tar") as archive:
        file = archive.extractfile("index.json")
        assert file
        layouts = [json.load(file), json.loads((tmp_path / "oci" / "index.json").read_text())]
    assert layouts[0] == layouts[1]
    (entry,) = layouts[0]["manifests"]
    assert entry["mediaType"].endswith("index.v1+json") and entry["annotations"] == named and "platform" not in entry
    directories = {HERE.replace("/", "_"): HERE, "linux_arm_v7": "linux/arm/v7"}
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert {name.partition("/")[0] for name in archive.getnames()} == set(directories)
        for directory, platform in directories.items():
            member = archive.extractfile(f"{directory}/which")
            assert member and member.read().decode() == platform
    for directory, platform in directories.items():
        assert (tmp_path / "local" / directory / "which").read_text() == platform
    assert {path.name for path in (tmp_path / "local").iterdir()} == set(directories)

    done = builds(CROSS, *every(HERE, FOREIGN[0]), "-o", f"type=docker,dest={tmp_path}/x.tar", check=False)
    assert done.returncode == 2 and "hold no index" in done.stderr and not (tmp_path / "x.tar").exists()


def test_other_tools_agree(builds: Builds, tmp_path: Path) -> None:
    builds.push(CROSS, *every(HERE, "linux/arm/v6"), "-o", f"type=oci,dest={tmp_path}/oci.tar")
    skopeo, crane = shutil.which("skopeo"), shutil.which("crane")
    if not skopeo and not crane:
        pytest.skip("needs skopeo or crane")
    if skopeo:
        source, place = f"docker://{builds.name}:1", f"dir:{tmp_path}/dir"
        for copied in (source, f"oci-archive:{tmp_path}/oci.tar"):
            run(skopeo, "copy", "--all", "--src-tls-verify=false", copied, place)
        chosen = run(skopeo, "--override-arch=arm", "--override-variant=v6", "inspect", "--tls-verify=false", source)
        assert json.loads(chosen)["Labels"]["platform"] == "linux/arm/v6"
    if crane:
        run(crane, "validate", "--insecure", "--remote", f"{builds.name}:1")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_remote_caches_have_the_steps_of_all_platforms(builds: Builds, tmp_path: Path) -> None:
    cache = f"type=local,dest={tmp_path}/cache,mode=max"
    builds.push(CROSS, *every(HERE, FOREIGN[0]), "--cache-to", cache, "--cache-to", "type=inline")
    elsewhere = Builds(Coopery(tmp_path / "elsewhere"), builds.registry, "unused", builds.project)
    elsewhere._base, elsewhere.repository, elsewhere.name = builds._base, builds.repository, builds.name
    for source in (f"type=local,src={tmp_path}/cache", f"{builds.name}:1"):
        shutil.rmtree(elsewhere.coopery.home, ignore_errors=True)
        done = elsewhere.push(CROSS, *every(HERE, FOREIGN[0]), "--cache-from", source, tag="again")
        assert "choose isolation" not in done.stderr, done.stderr
        files = [{name: tree[name].data for name in ("once", "own", "copied")} for _, _, tree in builds.images()]
        assert files == [{name: tree[name].data for name in files[0]} for _, _, tree in elsewhere.images("again")]


def test_a_single_image_may_be_put_into_an_index(builds: Builds) -> None:
    builds.push("FROM scratch\nCOPY Dockerfile /\n", "--build-arg", "BUILDKIT_MULTI_PLATFORM=1")
    assert [platform for platform, _, _ in builds.images()] == [HERE]


def test_a_base_without_one_of_the_platforms(builds: Builds) -> None:
    done = builds("FROM base\nCOPY Dockerfile /\n", *every(HERE, "linux/riscv64"), check=False)
    assert done.returncode == 8 and "Dockerfile:1: " in done.stderr
    assert "has no linux/riscv64; it offers linux/386" in done.stderr


def test_quiet_prints_the_digest_of_the_index(builds: Builds) -> None:
    done = builds.push("FROM scratch\nCOPY Dockerfile /\n", *every(HERE, FOREIGN[0]), "-q")
    assert done.stdout.strip() == plainregistry.sha256(builds.registry.manifest(builds.repository, "1")[0])
