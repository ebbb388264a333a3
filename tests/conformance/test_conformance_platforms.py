"""Builds for several platforms, ours and BuildKit's: the same index, the same images, the same files."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conformance_peers import BUILDKIT

import plainregistry
from plainoci import flatten
from support import bases, platforms

WANTED = "linux/amd64,linux/arm64/v8,linux/arm,linux/arm/v6,linux/386"
DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM {base} AS build
WORKDIR /built
ARG TARGETPLATFORM TARGETARCH TARGETVARIANT TARGETOS BUILDPLATFORM BUILDARCH
COPY <<EOF /built/$TARGETARCH$TARGETVARIANT
$TARGETPLATFORM $TARGETOS $TARGETVARIANT $BUILDPLATFORM $BUILDARCH
EOF
FROM --platform=$BUILDPLATFORM scratch AS nothing
COPY Dockerfile /nothing
FROM --platform=linux/s390x {base} AS fixed
FROM --platform=linux/arm64 fixed AS again
FROM {base}
ARG TARGETPLATFORM TARGETVARIANT=unset
LABEL platform=$TARGETPLATFORM variant=$TARGETVARIANT
COPY --from=build /built/ /built/
COPY --from=fixed /which /fixed
COPY --from=again /which /again
COPY --from={base} /which /image
COPY --from=nothing /nothing /
"""


@pytest.fixture(scope="module")
def context(registry: plainregistry.Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not bases.BUSYBOX.exists():
        pytest.skip("needs busybox-static")
    base = f"{registry.host}/conformance/multi:1"
    platforms.push_base(base)
    place = tmp_path_factory.mktemp("multi")
    (place / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    return place


def index_of(reference: str) -> list[dict[str, Any]]:
    """Of each entry: what the index, the configuration and the files say."""
    name = plainregistry.Reference.parse(reference)
    data, media_type = plainregistry.Registry(name.registry).manifest(name.repository, name.tag)
    index = json.loads(data)
    found = []
    for entry in index["manifests"]:
        pulled = plainregistry.pull(f"{name.registry}/{name.repository}@{entry['digest']}")
        members = ("architecture", "variant", "os", "config")
        config = {key: pulled.config[key] for key in members if key in pulled.config}
        lines = [(line["created_by"], line.get("empty_layer", False)) for line in pulled.config["history"]]
        files = {path: node.data for path, node in flatten(pulled.layers).items() if node.data}
        found.append(
            {
                "index": (media_type, sorted(index), index.get("annotations")),
                "entry": {key: entry.get(key) for key in ("mediaType", "platform", "annotations")},
                "manifest": pulled.media_type,
                "config": config,
                "history": len(lines),
                "files": files,
            }
        )
    return found


def test_the_index_is_the_one_that_buildkit_makes(peer, registry, shared_coopery, context):
    ours, theirs = f"{registry.host}/ours/multi:1", f"{registry.host}/buildkit/multi:1"
    annotated = ("index:a=1", "manifest[linux/arm64]:b=2", "manifest-descriptor[linux/386]:c=3")
    options = [part for text in annotated for part in ("--annotation", text)]
    shared_coopery("build", "--platform", WANTED, *options, "--push", "-t", ours, context)
    output = f"type=image,name={theirs},push=true,registry.insecure=true,annotation-index.a=1"
    output += ",annotation-manifest[linux/arm64].b=2,annotation-manifest-descriptor[linux/386].c=3"
    peer(BUILDKIT).export(context, output, {"platform": WANTED})
    assert index_of(ours) == index_of(theirs)


def test_files_lie_where_buildkit_puts_them(peer, shared_coopery, context, tmp_path):
    mine, theirs = tmp_path / "ours", tmp_path / "theirs"
    shared_coopery("build", "--platform", WANTED, "-o", f"type=local,dest={mine}", context)
    peer(BUILDKIT).export(context, f"type=local,dest={theirs}", {"platform": WANTED})
    assert files(mine) == files(theirs) and len(list(mine.iterdir())) == len(WANTED.split(","))

    for place, archive in ((mine, tmp_path / "ours.tar"), (theirs, tmp_path / "theirs.tar")):
        if place is mine:
            shared_coopery("build", "--platform", WANTED, "-o", f"type=tar,dest={archive}", context)
        else:
            peer(BUILDKIT).export(context, f"type=tar,dest={archive}", {"platform": WANTED})
    assert members(tmp_path / "ours.tar") == members(tmp_path / "theirs.tar")


def test_one_platform_in_an_index(peer, registry, shared_coopery, context):
    ours, theirs = f"{registry.host}/ours/multi:single", f"{registry.host}/buildkit/multi:single"
    shared_coopery(
        *("build", "--platform=linux/arm/v6", "--build-arg=BUILDKIT_MULTI_PLATFORM=true", "--push", "-t", ours, context)
    )
    peer(BUILDKIT).export(
        context,
        f"type=image,name={theirs},push=true,registry.insecure=true",
        {"platform": "linux/arm/v6", "build-arg:BUILDKIT_MULTI_PLATFORM": "true"},
    )
    assert index_of(ours) == index_of(theirs)


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def members(archive: Path) -> dict[str, tuple[bytes, str]]:
    with tarfile.open(archive) as tar:
        return {member.name.rstrip("/"): (member.type, member.linkname) for member in tar}
