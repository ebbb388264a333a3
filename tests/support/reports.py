"""Reports as CI builds give them, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace

from coopery.ci.report import CacheResult, Finding, ImageResult, LayerResult, Report, StepResult
from coopery.ci.revision import Revision

PUSH = Revision(
    event="push",
    commit="6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d",
    branch="main",
    default_branch="main",
    repository="acme/shop",
    repository_url="https://forge.example/acme/shop",
    description="The shop",
    commit_time=1772600767,
)


def _digest(character: str) -> str:
    return f"sha256:{character * 64}"


IMAGE = ImageResult(
    target="",
    platforms=("linux/amd64",),
    names=("registry.example/acme/shop:1.2.3", "registry.example/acme/shop:latest"),
    version="1.2.3",
    pushed=True,
    digest=_digest("a"),
    image_id=_digest("b"),
    media_type="application/vnd.oci.image.manifest.v1+json",
    manifest_size=1234,
    size=43_100_000,
    seconds=63.2,
    labels={"org.opencontainers.image.version": "1.2.3"},
    annotations={"org.opencontainers.image.title": "shop"},
    layers=(
        LayerResult(digest=_digest("1"), size=30_000_000, created_by="ADD rootfs.tar /", base=True),
        LayerResult(digest=_digest("2"), size=13_000_000, created_by="RUN /bin/sh -c a | b", base=False),
        LayerResult(digest=_digest("3"), size=98_000, created_by="COPY app /app", base=False),
    ),
    steps=(
        StepResult(name="[internal] load build definition", outcome="done", seconds=0.01),
        StepResult(name="[tools 2/3] RUN a | b", outcome="cached", seconds=0.0, saved=71.6, line=4, end_line=6),
        StepResult(name="[tools 3/3] RUN old", outcome="cached", seconds=0.0, line=7, end_line=7),
        StepResult(name="[2/2] COPY app /app", outcome="done", seconds=0.42, line=9, end_line=9),
        StepResult(name="pushing registry.example/acme/shop:1.2.3", outcome="done", seconds=12.3),
    ),
    cache=CacheResult(
        hits=2,
        misses=1,
        seconds_saved=71.6,
        pulled=1_200_000,
        pushed=99_234,
        reused=43_000_000,
        sources=("type=registry,ref=registry.example/acme/shop/cache",),
        targets=("type=registry,ref=registry.example/acme/shop/cache,mode=max",),
    ),
)

PUSHED = Report(revision=PUSH, images=(IMAGE,), seconds=65.0)

SEVERAL = Report(
    revision=replace(PUSH, event="change", change="7", branch="feat/search", base_branch="main"),
    images=(
        replace(IMAGE, target="web", pushed=False, cache=CacheResult(hits=3, seconds_saved=3.0)),
        replace(IMAGE, target="worker", pushed=False, names=("registry.example/acme/job:pr-7",), cache=CacheResult()),
    ),
    findings=(
        Finding(level="notice", message="nothing is pushed: this is a fork's pull request"),
        Finding(
            level="warning",
            message="the stage name Build has capitals",
            hint="write build",
            rule="stage-name-casing",
            file="Dockerfile",
            line=3,
            end_line=3,
            column=1,
        ),
    ),
    seconds=4.04,
)

FAILED = Report(
    revision=PUSH,
    error=Finding(
        level="error",
        message="the command ended with status 2: /bin/sh -c make",
        hint="its output says more",
        detail="   3 |     FROM base\n   4 | >>> RUN make\n   5 |     COPY app /app",
        log="gcc -c shop.c\nshop.c:1: error: expected `;'\nmake: *** [Makefile:2: shop.o] Error 1",
        file="Dockerfile",
        line=4,
        end_line=4,
    ),
    steps=(
        StepResult(name="[1/3] RUN configure", outcome="cached", seconds=0.0, saved=5.0, line=3, end_line=3),
        StepResult(name="[2/3] RUN make", outcome="failed", seconds=2.5, line=4, end_line=4),
        StepResult(name="[other 1/1] RUN sleep", outcome="canceled", seconds=2.4, line=9, end_line=9),
    ),
    exit_code=5,
    seconds=3.9,
)
