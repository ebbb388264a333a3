"""Builds on throw-away machines: each `runner` has a home of its own, and nothing but a remote cache in common."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from faulty_proxy import Fault, FaultyProxy

from coopery.request import OBJECT_STORES
from plainoci import flatten
from plainregistry import Pulled, Registry, pull
from support.actions_cache import READ, WRITE, ActionsCacheService
from support.command import run_coopery
from support.registries import running_registry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")

TEXT = """\
FROM base AS make
RUN head -c 3000000 /dev/urandom > /random
RUN date +%N > /made
FROM base
COPY file /
RUN date +%N > /stamp
COPY --from=make /random /made /
RUN cat /file /made > /both
"""


@dataclass(frozen=True, slots=True)
class Built:
    done: CompletedProcess[str]
    reference: str
    report: Path

    @property
    def image(self) -> Pulled:
        return pull(self.reference)

    @property
    def log(self) -> str:
        return self.done.stderr

    @property
    def ran(self) -> int:
        """How many RUN, COPY, ADD and WORKDIR steps were carried out."""
        steps = dict(re.findall(r"^#(\d+) (\[.*\] (?:RUN|COPY|ADD|WORKDIR) .*)$", self.log, re.MULTILINE))
        return sum(f"#{number} DONE" in self.log for number in steps)

    @property
    def sources(self) -> dict[str, tuple[int, int]]:
        """Steps found and bytes fetched, by the cache's name without its place."""
        value = json.loads(self.report.read_text())["coopery.build"]["cache"]["sources"]
        return {use["cache"].partition(" ")[0]: (use["hits"], use["fetched"]) for use in value}


Build = Callable[..., Built]


@pytest.fixture
def build(tmp_path: Path, registry: Registry, base_image: str) -> Build:
    """Builds a Dockerfile text on a runner, a fresh one unless it is named, and pushes the image."""
    serial = 0

    def run(
        text: str = TEXT,
        *args: str,
        file: str = "1",
        runner: str = "",
        check: bool = True,
        to: str = "",
        env: dict[str, str] | None = None,
        context: Path | None = None,
        base: str = base_image,
    ) -> Built:
        nonlocal serial
        serial += 1
        own = serial
        project = context or tmp_path / f"project-{own}"
        project.mkdir(exist_ok=True)
        (project / "Dockerfile").write_text(text)
        (project / "file").write_text(file)
        name = tmp_path.name.lower().replace("_", "-").strip("-")
        reference = f"{to or registry.host}/remote/{name}/{own}:latest"
        report = tmp_path / f"report-{own}.json"
        done = run_coopery(
            *("build", "--progress=plain", "--push", "-t", reference, "--metadata-file", report),
            *("--build-context", f"base=docker-image://{base}", *args, project),
            home=tmp_path / "runners" / (runner or str(own)),
            env=env,
            check=check,
        )
        return Built(done, reference, report)

    return run


def both(spec: str, more: str = "") -> tuple[str, ...]:
    """The options that read and write one cache."""
    return "--cache-from", spec.replace("dest=", "src="), "--cache-to", spec + more


@pytest.fixture(params=["registry", "local", "gha", *OBJECT_STORES])
def remote(
    request: pytest.FixtureRequest, registry: Registry, tmp_path: Path
) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """The options for one cache of each kind, and the environment that goes with them."""
    if request.param in OBJECT_STORES:
        store = request.getfixturevalue("object_store")(request.param)
        yield both(f"{store.spec},prefix=builds/{os.urandom(4).hex()}", ",mode=max"), dict(store.env)
    elif request.param == "local":
        yield both(f"type=local,dest={tmp_path / 'cache'}", ",mode=max"), {}
    elif request.param == "gha":
        with ActionsCacheService() as service:
            token = service.token(("refs/heads/main", READ | WRITE))
            yield both("type=gha", ",mode=max"), {"ACTIONS_RESULTS_URL": service.url, "ACTIONS_RUNTIME_TOKEN": token}
    else:
        yield both(f"type=registry,ref={repository(registry)}", ",mode=max"), {}


def repository(registry: Registry) -> str:
    return f"{registry.host}/cache/{os.urandom(4).hex()}"


# ---------------------------------------------------------------------------------------------- every kind


def test_a_fresh_runner_runs_nothing_and_makes_the_same_image(build: Build, remote) -> None:
    options, env = remote
    first = build(TEXT, *options, env=env)
    second = build(TEXT, *options, env=env)
    assert first.ran == 6
    assert second.ran == 0
    assert second.image.digest == first.image.digest
    (kind,) = set(second.sources) - {"this machine"}
    assert second.sources[kind][0] == 4


def test_an_edit_runs_what_depends_on_it(build: Build, remote) -> None:
    options, env = remote
    build(TEXT, *options, env=env)
    edited = build(TEXT, *options, env=env, file="2")
    assert edited.ran == 4  # all of the last stage; the other one is found
    tree = flatten(edited.image.layers)
    assert tree["file"].data == b"2"
    again = build(TEXT, *options, env=env, file="2")
    assert again.ran == 0
    assert again.image.digest == edited.image.digest


def test_finished_steps_of_a_failed_build_are_found(build: Build, remote) -> None:
    options, env = remote
    text = "FROM base\nRUN date +%N > /slow\nRUN exit 3\n"
    failed = build(text, *options, env=env, check=False)
    assert failed.done.returncode == 5
    again = build(text.replace("exit 3", "exit 0"), *options, env=env)
    assert again.ran == 1


def test_a_missing_step_in_the_middle_doesnt_end_the_search(build: Build, remote, tmp_path: Path) -> None:
    """Every record stands for itself: the deepest one is used, whatever has become of those below it."""
    options, env = remote
    text = "FROM base\nRUN date +%N > /one\nRUN date +%N > /two\nRUN date +%N > /three\n"
    build(text, *options, env=env)
    longer = build(text + "RUN cat /one /two /three > /four\n", *options, env=env)
    assert longer.ran == 1


# ---------------------------------------------------------------------------------------------- in a registry


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry.host) as running:
        yield running


def through(proxy: FaultyProxy, reference: str) -> str:
    return proxy.host + "/" + reference.partition("/")[2]


def test_a_cached_rebuild_moves_no_layer(build: Build, registry: Registry, base_image: str, proxy: FaultyProxy) -> None:
    cache = f"{proxy.host}/cache/{os.urandom(4).hex()}"
    base = through(proxy, base_image)
    options = both(f"type=registry,ref={cache}", ",mode=max")
    first = build(TEXT, *options, to=proxy.host, base=base)
    proxy.passed.clear()
    second = build(TEXT, *options, to=proxy.host, base=base)
    requests = list(proxy.passed)
    assert second.image.digest == first.image.digest
    blobs = [one.path for one in requests if one.method == "GET" and "/blobs/" in one.path and one.status == 200]
    assert len(blobs) == 1  # the base's configuration
    assert sum("mount=" in one.path and one.status == 201 for one in requests) == 5
    assert sum(one.sent for one in requests) < 20_000  # configuration and manifest
    read = [one.path for one in requests if one.method == "GET" and "/manifests/" in one.path]
    assert len(read) == 2  # the base's, and one record
    assert len(requests) <= 30, [(one.method, one.path, one.status) for one in requests]


def test_an_image_goes_to_another_registry_than_its_cache(build: Build, registry: Registry, tmp_path: Path) -> None:
    options = both(f"type=registry,ref={repository(registry)}", ",mode=max")
    first = build(TEXT, *options)
    with running_registry(tmp_path / "elsewhere") as elsewhere:
        second = build(TEXT, *options, to=elsewhere.host)
        assert second.ran == 0
        assert second.image.digest == first.image.digest


def test_branches_share_a_repository_at_the_same_time(build: Build, registry: Registry) -> None:
    options = both(f"type=registry,ref={repository(registry)}", ",mode=max")
    with ThreadPoolExecutor(4) as pool:
        firsts = list(pool.map(lambda number: build(TEXT, *options, file=f"branch {number % 2}"), range(4)))
    assert all(first.ran == 6 for first in firsts) or any(first.ran < 6 for first in firsts)
    for branch in range(2):
        again = build(TEXT, *options, file=f"branch {branch}")
        assert again.ran == 0
        assert flatten(again.image.layers)["file"].data == f"branch {branch}".encode()
        assert again.image.digest in {first.image.digest for first in firsts}


def test_a_blob_that_was_collected_is_built_again(build: Build, tmp_path: Path, base_image: str) -> None:
    """A registry may lose blobs under a record: the image is whole all the same."""
    with running_registry(tmp_path / "registry") as own:
        options = both(f"type=registry,ref={own.host}/cache", ",mode=max")
        first = build(TEXT, *options, to=own.host).image.digest
        shutil.rmtree(tmp_path / "registry/storage/docker/registry/v2/blobs")
        shutil.rmtree(tmp_path / "registry/storage/docker/registry/v2/repositories/remote")
        for path in (tmp_path / "registry/storage").rglob("_layers"):
            shutil.rmtree(path)
        again = build(TEXT, *options, to=own.host)
        assert again.ran == 6
        assert again.image.digest != first


@pytest.mark.parametrize("fault", [Fault("GET", "/cache/", flip=True, times=99), Fault("GET", "/cache/", blank_from=9)])
def test_a_wrong_blob_is_refused_and_its_step_run_again(
    build: Build, proxy: FaultyProxy, fault: Fault, tmp_path: Path
) -> None:
    cache = f"{proxy.host}/cache/{os.urandom(4).hex()}"
    text = "FROM base\nRUN date +%N > /one\nRUN date +%N > /two\n"
    build(text, "--cache-to", f"type=registry,ref={cache}")
    fault.part = f"{cache.partition('/')[2]}/blobs"
    proxy.faults.append(fault)
    longer = build(text + "RUN cat /one /two > /both\n", "--cache-from", f"type=registry,ref={cache}")
    assert "a cached layer is refused" in longer.log
    tree = flatten(longer.image.layers)
    assert tree["both"].data == tree["one"].data + tree["two"].data


def test_a_record_that_lies_is_refused_and_its_steps_run_again(build: Build, tmp_path: Path) -> None:
    """The blob is what its digest says, but not the layer that the record says it is."""
    cache = tmp_path / "cache"
    options = both(f"type=local,dest={cache}")
    build(TEXT, *options)
    for path in (cache / "records").iterdir():
        value = json.loads(path.read_text())
        for step in value["steps"]:
            step["diffId"] = "sha256:" + step["diffId"][:6:-1]
        path.write_text(json.dumps(value))
    again = build(TEXT, *options)
    assert "it should be" in again.log
    assert again.ran == 6
    assert flatten(again.image.layers)["both"].data.startswith(b"1")
    assert build(TEXT, *options).image.digest == again.image.digest


def test_a_record_runs_out(build: Build, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    build(TEXT, "--cache-to", f"type=local,dest={cache},ttl=2h,mode=max")
    assert build(TEXT, "--cache-from", f"type=local,src={cache},ttl=1h").ran == 0
    for path in (cache / "records").iterdir():
        path.write_text(json.dumps({**(value := json.loads(path.read_text())), "stored": value["stored"] - 5400}))
    assert build(TEXT, "--cache-from", f"type=local,src={cache}").ran == 0
    assert build(TEXT, "--cache-from", f"type=local,src={cache},ttl=1h").ran == 6
    for path in (cache / "records").iterdir():
        path.write_text(json.dumps({**(value := json.loads(path.read_text())), "stored": value["stored"] - 5400}))
    assert build(TEXT, "--cache-from", f"type=local,src={cache}").ran == 6


def test_a_cache_that_may_only_be_read_is_a_notice(build: Build, registry: Registry, proxy: FaultyProxy) -> None:
    cache = f"{proxy.host}/cache/{os.urandom(4).hex()}"
    build(TEXT, "--cache-to", f"type=registry,ref={cache}")
    proxy.faults.append(Fault("POST", "/cache/", status=403, times=999))
    edited = build(TEXT, *both(f"type=registry,ref={cache}"), file="2")
    assert edited.done.returncode == 0
    assert edited.log.count("WARNING: registry") == 1
    assert "may only be read here" in edited.log


def test_a_cache_that_fails_fails_the_build_unless_told(build: Build, proxy: FaultyProxy) -> None:
    spec = f"type=registry,ref={proxy.host}/cache/{os.urandom(4).hex()}"
    proxy.faults.append(Fault("PUT", "/cache/", status=400, times=999))
    failed = build(TEXT, "--cache-to", spec, check=False)
    assert failed.done.returncode == 6
    assert "could not be written" in failed.log
    assert failed.image  # which was pushed before that
    ignored = build(TEXT, "--cache-to", f"{spec},ignore-error=true")
    assert "could not be written" in ignored.log


def test_a_cache_that_isnt_there_is_a_warning_to_who_reads_it(build: Build) -> None:
    built = build("FROM base\nRUN date +%N > /one\n", "--cache-from", "type=registry,ref=127.0.0.1:1/cache")
    assert built.log.count("WARNING: going on without the cache registry 127.0.0.1:1/cache") == 1


def test_min_keeps_the_images_own_steps_only(build: Build, registry: Registry) -> None:
    cache = repository(registry)
    build(TEXT, "--cache-to", f"type=registry,ref={cache}")
    assert len(registry.tags(cache.partition("/")[2])) == 4


def test_a_cache_may_be_compressed_in_a_way_of_its_own(build: Build, registry: Registry) -> None:
    cache = repository(registry)
    options = both(f"type=registry,ref={cache}", ",compression=zstd,compression-level=5")
    first, second = build(TEXT, *options), build(TEXT, *options)
    assert second.ran == 0
    assert second.image.digest == first.image.digest
    name = cache.partition("/")[2]
    manifest = json.loads(registry.manifest(name, registry.tags(name)[0])[0])
    assert {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]} == {"zstd"}


def test_what_is_found_in_one_cache_goes_into_the_other(build: Build, registry: Registry, tmp_path: Path) -> None:
    one, two = f"type=registry,ref={repository(registry)}", f"type=local,dest={tmp_path / 'two'}"
    build(TEXT, "--cache-to", one, runner="a")
    build(TEXT, "--cache-from", one, "--cache-to", two)
    from_two = "--cache-from", two.replace("dest=", "src=")
    assert build(TEXT, *from_two).ran == 0
    assert build(TEXT.rpartition("RUN")[0], *from_two).ran == 0  # the steps before it too
    # And what the runner itself has, though it runs nothing.
    three = f"type=registry,ref={repository(registry)}"
    assert build(TEXT, "--cache-to", three, runner="a").ran == 0
    assert build(TEXT, "--cache-from", three).ran == 0


def test_an_image_can_hold_its_cache(build: Build) -> None:
    first = build(TEXT, "--cache-to", "type=inline")
    for spec in (first.reference, f"type=registry,ref={first.reference}"):
        second = build(TEXT, "--cache-from", spec, "--cache-to", "type=inline")
        assert second.ran == 0
        assert second.image.digest == first.image.digest
    derived = build("FROM base\nRUN true\n", base=first.reference)
    assert "coopery.cache" in first.image.config
    assert "coopery.cache" not in derived.image.config


def test_no_cache_writes_anew(build: Build, registry: Registry) -> None:
    options = both(f"type=registry,ref={repository(registry)}")
    first = build(TEXT, *options)
    second = build(TEXT, "--no-cache", *options)
    assert second.ran == 6
    third = build(TEXT, *options)
    assert third.image.digest == second.image.digest != first.image.digest


# ------------------------------------------------------------------------------------- in the project's folder


def test_caches_in_the_context_are_no_part_of_it(build: Build, tmp_path: Path) -> None:
    """CI systems keep only what lies in the project: the cache's directory, and the local store."""
    project = tmp_path / "here"
    project.mkdir()
    text = "FROM base\nCOPY . /all\n"
    env = {"COOPERY_CACHE": str(project / ".store")}
    options = both(f"type=local,dest={project / '.cache'}")
    first = build(text, *options, env=env, context=project)
    assert (project / ".cache" / "index.json").exists()
    assert {name for name in flatten(first.image.layers) if name.startswith("all/")} == {"all/Dockerfile", "all/file"}
    assert build(text, *options, env=env, context=project).ran == 0
    shutil.rmtree(project / ".store")
    assert build(text, *options, env=env, context=project).ran == 0


# ---------------------------------------------------------------------------------------- the Actions service


def test_evicted_and_damaged_entries_are_built_again(build: Build) -> None:
    with ActionsCacheService() as service:
        token = service.token(("refs/heads/main", READ | WRITE))
        env = {"ACTIONS_RESULTS_URL": service.url, "ACTIONS_RUNTIME_TOKEN": token}
        options = both("type=gha", ",mode=max")
        build(TEXT, *options, env=env)
        service.evict("blob")
        again = build(TEXT, *options, env=env)
        assert again.ran == 6
        for entry in service.entries:
            if "blob" in entry.key:
                entry.data = (entry.data or b"")[:-1]
        third = build(TEXT, *options, env=env)
        assert third.ran == 6
        assert flatten(third.image.layers)["both"].data.startswith(b"1")
        reader = service.token(("refs/heads/main", READ))
        edited = build(TEXT, *options, env={**env, "ACTIONS_RUNTIME_TOKEN": reader}, file="2")
        assert edited.log.count("WARNING: gha") == 1
        assert "may only be read here" in edited.log
        assert reader not in edited.log


def test_outside_a_job_the_actions_cache_is_left_out(build: Build) -> None:
    built = build("FROM base\nCOPY file /\n", *both("type=gha"))
    assert "no job with an Actions cache" in built.log
