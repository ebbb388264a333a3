"""What a build says of itself: its steps, what the cache saved, what went over the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import plainregistry
from coopery.ci.rendering.jsonform import decode
from coopery.ci.report import Report
from support import bases, registries
from support.command import Coopery

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")

TWO_STAGES = """\
FROM {base} AS tools
RUN sleep 0.3; head -c 100000 /dev/urandom > /tool
FROM {base}
COPY --from=tools /tool /
RUN sleep 0.2; echo made > /made
"""
Account = Callable[..., dict[str, Any]]


class Storage:
    """A registry whose storage can be looked at."""

    def __init__(self, host: str, directory: Path) -> None:
        self.host = host
        self._blobs = directory / "storage/docker/registry/v2/blobs"

    def size(self) -> int:
        """Bytes of all blobs, manifests among them."""
        return sum(path.stat().st_size for path in self._blobs.rglob("data"))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A registry of the test's own, with a base image in it."""
    if registries.find_registry() is None:
        pytest.skip("needs docker-registry")
    if not bases.BUSYBOX.exists():
        pytest.skip("needs busybox-static")
    with registries.running_registry(tmp_path / "registry") as running:
        plainregistry.push(bases.busybox_image(), f"{running.host}/base/busybox:latest")
        yield Storage(running.host, tmp_path / "registry")


@pytest.fixture
def account(coopery: Coopery, storage: Storage, tmp_path: Path) -> Account:
    """Builds a Dockerfile, in which {base} is the small base image; what the metadata file tells of it."""

    def run(dockerfile: str, *args: str, files: Mapping[str, str] | None = None) -> dict[str, Any]:
        context = tmp_path / "context"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile.replace("{base}", f"{storage.host}/base/busybox"))
        for name, content in (files or {}).items():
            (context / name).write_text(content)
        told = tmp_path / "metadata.json"
        coopery("build", "--progress=plain", "--metadata-file", told, *args, context)
        value: dict[str, Any] = json.loads(told.read_text())
        made: dict[str, Any] = value["coopery.build"]
        return made

    return run


def own(steps: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The Dockerfile's steps: line and outcome."""
    return [(step["line"], step["outcome"]) for step in steps if "line" in step]


def test_a_second_build_tells_its_hits_and_what_they_saved(account: Account) -> None:
    first = account(TWO_STAGES)
    assert sorted(own(first["steps"])) == [(2, "done"), (4, "done"), (5, "done")]
    assert (first["cache"]["hits"], first["cache"]["misses"], first["cache"]["secondsSaved"]) == (0, 3, 0)
    assert all("saved" not in step for step in first["steps"])
    second = account(TWO_STAGES)
    # Also the stage that nobody had to look at.
    assert own(second["steps"]) == [(2, "cached"), (4, "cached"), (5, "cached")]
    assert (second["cache"]["hits"], second["cache"]["misses"]) == (3, 0)
    took = {step["line"]: step["seconds"] for step in first["steps"] if "line" in step}
    for step in second["steps"]:
        if "line" in step:
            # The record also counts the archiving, which may go on while the next step runs.
            assert step["saved"] >= round(took[step["line"]], 3) - 0.1
    assert second["cache"]["secondsSaved"] >= 0.5
    third = account(TWO_STAGES.replace("echo made", "echo other"))
    assert (third["cache"]["hits"], third["cache"]["misses"]) == (2, 1)
    assert (5, "done") in own(third["steps"])


def test_records_of_older_versions_are_hits_without_times(account: Account, coopery: Coopery) -> None:
    account(TWO_STAGES)
    for path in (coopery.home / "cache/coopery/v1/records").iterdir():
        path.write_text(json.dumps([item[:2] for item in json.loads(path.read_text())]))
    again = account(TWO_STAGES)
    assert (again["cache"]["hits"], again["cache"]["misses"], again["cache"]["secondsSaved"]) == (3, 0, 0)
    assert not any("saved" in step for step in again["steps"])


def test_bytes_are_what_the_registry_got_and_gave(account: Account, storage: Storage) -> None:
    before = storage.size()
    name = f"{storage.host}/app/one"
    first = account(TWO_STAGES, "--push", "-t", f"{name}:1")
    made = storage.size() - before
    assert first["traffic"]["pushed"] == made
    # The base's layer lay in the same registry: it was mounted, and fetched for the steps.
    base = [layer for layer in first["layers"] if layer["base"]]
    assert first["traffic"]["mounted"] == sum(layer["size"] for layer in base)
    assert first["traffic"]["found"] == 0
    reference = f"{storage.host}/base/busybox:latest"
    assert first["traffic"]["pulled"] == len(manifest_of(reference)) + whole_size(reference)
    assert first["size"] == whole_size(f"{name}:1")


def manifest_of(reference: str) -> bytes:
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    return plainregistry.Registry(host).manifest(repository, tag)[0]


def whole_size(reference: str) -> int:
    """Bytes of an image's configuration and layers, as its manifest says."""
    manifest = json.loads(manifest_of(reference))
    return sum(blob["size"] for blob in (manifest["config"], *manifest["layers"]))


def test_what_is_there_already_counts_as_found(account: Account, storage: Storage) -> None:
    name = f"{storage.host}/app/two"
    first = account(TWO_STAGES, "--push", "-t", f"{name}:1")
    before = storage.size()
    again = account(TWO_STAGES, "--push", "-t", f"{name}:1")
    assert (again["traffic"]["pushed"], again["traffic"]["found"]) == (0, first["size"])
    tagged = account(TWO_STAGES, "--push", "-t", f"{name}:2")
    assert tagged["traffic"]["found"] == first["size"]
    assert tagged["traffic"]["pushed"] == len(manifest_of(f"{name}:2"))  # which the registry has once
    changed = account(TWO_STAGES.replace("echo made", "echo more"), "--push", "-t", f"{name}:3")
    assert changed["traffic"]["pushed"] == storage.size() - before
    assert changed["traffic"]["found"] == sum(layer["size"] for layer in changed["layers"][:2])


def test_layers_say_where_they_come_from(account: Account) -> None:
    made = account(TWO_STAGES)
    assert [layer["base"] for layer in made["layers"]] == [True, False, False]
    assert [layer["createdBy"] for layer in made["layers"][1:]] == [
        "COPY /tool /",
        "RUN /bin/sh -c sleep 0.2; echo made > /made",
    ]


def test_warnings_are_kept(account: Account) -> None:
    assert any("UNUSED" in warning for warning in account("FROM {base}\n", "--build-arg", "UNUSED=1")["warnings"])


_REPORTING = """
import os, sys
from coopery.build import build
from coopery.ci.collect import failure, image_result, notices, step_results
from coopery.ci.rendering.jsonform import encode
from coopery.ci.report import Report
from coopery.ci.revision import Revision
from coopery.errors import CooperyError
from coopery.progress import make_progress
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest
from coopery.sandbox.enter import enter

request = BuildRequest(context=sys.argv[1])
entered = enter("auto", os.environ)
board = make_progress("quiet", sys.stderr, environ=os.environ)
revision, images, error, steps = Revision(event="push"), (), None, ()
try:
    report = build(request, entered, board, os.environ, lambda value: None, RegistrySettings())
    images = (image_result(report, names=("registry.example/app:1",), version="1"),)
except CooperyError as caught:
    error, steps = failure(caught, board.steps), step_results(board.steps)
finally:
    board.close()
sys.stdout.write(encode(Report(
    revision=revision, images=images, error=error, steps=steps, findings=notices(board.warnings)
)))
"""


@pytest.fixture
def reported(storage: Storage, tmp_path: Path) -> Callable[[str], Report]:
    """Builds a Dockerfile, in which {base} is the small base image, through the interface that CI runs use."""

    def run(dockerfile: str) -> Report:
        context = tmp_path / "context"
        (context / "docker").mkdir(parents=True, exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile.replace("{base}", f"{storage.host}/base/busybox"))
        done = subprocess.run(
            [sys.executable, "-c", _REPORTING, str(context)],
            env={**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return decode(done.stdout)

    return run


def test_the_report_of_a_failure_has_its_place_its_log_and_its_steps(reported: Callable[[str], Report]) -> None:
    text = """\
FROM {base} AS other
RUN sleep 60
FROM {base}
RUN echo first > /first
RUN echo to be seen && \\
    exit 3
RUN echo never
COPY --from=other / /
"""
    report = reported(text)
    error = report.error
    assert error is not None
    assert (error.file, error.line, error.end_line) == ("context/Dockerfile", 5, 6)
    assert error.message.startswith("the command ended with status 3")
    assert "to be seen" in error.log
    assert ">>> RUN echo to be seen" in error.detail
    outcomes = {(step.line, step.end_line): step.outcome for step in report.steps if step.line}
    assert outcomes == {(2, 2): "canceled", (4, 4): "done", (5, 6): "failed"}
    again = {step.line: step for step in reported(text).steps}
    assert again[4].outcome == "cached"
    assert again[4].saved is not None


def test_the_report_of_a_build_has_what_its_account_has(reported: Callable[[str], Report]) -> None:
    (image,) = reported("FROM {base}\nLABEL a=b\nRUN echo hello > /hello\n").images
    assert image.names == ("registry.example/app:1",)
    assert not image.pushed
    assert image.labels == {"a": "b"}
    assert [layer.base for layer in image.layers] == [True, False]
    assert image.size > sum(layer.size for layer in image.layers) > 0
    assert image.manifest_size > 0
    assert (image.cache.hits, image.cache.misses) == (0, 1)
    assert image.cache.pulled > 0
    assert image.seconds > 0
