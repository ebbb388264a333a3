"""Whole runs of `coopery ci`, in jobs of a fake platform, against a registry that asks who is there."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plainregistry import Registry
from support import registries
from support.ci_jobs import COMMIT, FAKE, Jobs
from support.command import Coopery
from support.registries import PASSWORD, USER

VALUE = "a-value-nobody-may-see"
SIMPLE = "FROM base\nARG VERSION=none\nRUN echo $VERSION > /version\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that lets in USER and nobody else."""
    if registries.find_registry() is None:
        pytest.skip("needs docker-registry")
    place = tmp_path_factory.mktemp("guarded")
    with registries.running_registry(place, registries.basic_auth(place)) as running:
        yield running


@pytest.fixture
def jobs(coopery: Coopery, tmp_path: Path, guarded: Registry, base_image: str) -> Jobs:
    """A project with a Dockerfile and settings that name one image."""
    project = tmp_path / "project"
    project.mkdir()
    found = Jobs(coopery, project)
    found.write(Dockerfile=SIMPLE, coopery_yaml=settings(guarded, base_image, tmp_path))
    return found


def settings(guarded: Registry, base_image: str, tmp_path: Path, more: str = "") -> str:
    return (
        f"image: {image(guarded, tmp_path)}\n"
        f"build-contexts: {{base: 'docker-image://{base_image}'}}\n"
        f"registries: {{'{guarded.host}': {{username: REGISTRY_USER, password: REGISTRY_PASSWORD}}}}\n{more}"
    )


def image(guarded: Registry, tmp_path: Path) -> str:
    return f"{guarded.host}/acme/{tmp_path.name.replace('_', '-').lower()}"


Settings = Callable[[str], None]


@pytest.fixture
def configure(jobs: Jobs, guarded: Registry, base_image: str, tmp_path: Path) -> Settings:
    """Adds lines to the settings."""

    def write(more: str) -> None:
        jobs.write(coopery_yaml=settings(guarded, base_image, tmp_path, more))

    return write


#: What a job has for the guarded registry.
SECRETS = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
WITH_LOGIN = {"secrets": SECRETS}


def fetch(host: str, path: str, accept: str = "*/*") -> Any:
    """A JSON document of the guarded registry; None if it isn't there."""
    request = urllib.request.Request(f"http://{host}/v2/{path}")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    request.add_header("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return None


def tags_of(name: str) -> list[str]:
    host, _, repository = name.partition("/")
    found = fetch(host, f"{repository}/tags/list")
    return sorted(found["tags"]) if found else []


def config_of(name: str, tag: str) -> Any:
    host, _, repository = name.partition("/")
    manifest = fetch(host, f"{repository}/manifests/{tag}")
    return fetch(host, f"{repository}/blobs/{manifest['config']['digest']}")


# ------------------------------------------------------------------------------------------------ building


def test_a_push_is_built_and_pushed(jobs: Jobs, guarded: Registry, tmp_path: Path) -> None:
    done = jobs("build", job=WITH_LOGIN)
    name = image(guarded, tmp_path)
    assert tags_of(name) == ["main"]
    labels = config_of(name, "main")["config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == COMMIT
    report = done.report
    assert report["exit_code"] == 0
    (built,) = report["images"]
    assert built["pushed"] and built["names"] == [f"{name}:main"] and built["digest"] in done.done.stdout
    assert {step["outcome"] for step in built["steps"]} == {"done"}
    assert PASSWORD in done.all("mask")
    assert PASSWORD not in done.output and "+++ Build the image" in done.output


def test_several_targets(jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path) -> None:
    jobs.write(Dockerfile=SIMPLE + "FROM base AS web\nENV web=1\n")
    configure(
        "flavor: {suffix: -x}\nbuild-args: {VERSION: 1.10}\n"
        "targets:\n  app: {target: '0'}\n  web: {target: web, flavor: suffix=-web, labels: {kind: web}}\n"
    )
    done = jobs("build", job=WITH_LOGIN)
    name = image(guarded, tmp_path)
    assert tags_of(name) == ["main-web", "main-x"]
    assert config_of(name, "main-web")["config"]["Labels"]["kind"] == "web"
    assert [built["target"] for built in done.report["images"]] == ["app", "web"]
    assert "echo 1.10" in done.output
    only = jobs("build", "web", job=WITH_LOGIN)
    assert [built["target"] for built in only.report["images"]] == ["web"]
    wrong = jobs("build", "wbe", job=WITH_LOGIN, check=False)
    assert wrong.code == 2 and "did you mean web" in wrong.output
    assert wrong.report["exit_code"] == 2


def test_a_failing_target_leaves_those_before_it(
    jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path
) -> None:
    jobs.write(Dockerfile="FROM base AS good\nENV a=b\nFROM base AS bad\nRUN echo why; exit 3\n")
    configure("targets:\n  one: {target: good, tags: one}\n  two: {target: bad, tags: two}\n  three: {tags: three}\n")
    done = jobs("build", job=WITH_LOGIN, check=False)
    assert done.code == 5
    assert tags_of(image(guarded, tmp_path)) == ["one"]
    report = done.report
    assert [built["target"] for built in report["images"]] == ["one"]
    assert report["exit_code"] == 5 and report["failed_target"] == "two"
    assert (report["error"]["file"], report["error"]["line"]) == ("Dockerfile", 4)
    assert "why" in report["error"]["log"]


def test_a_secret_reaches_its_step_and_nothing_else(jobs: Jobs, configure: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(VALUE + "-in-a-file")
    jobs.write(
        Dockerfile="FROM base\n"
        "RUN --mount=type=secret,id=npm,required --mount=type=secret,id=other,required"
        " --mount=type=secret,id=var,required"
        " cat /run/secrets/npm /run/secrets/other /run/secrets/var; wc -c < /run/secrets/npm > /size; env\n"
    )
    configure(f"secrets: {{npm: NPM_TOKEN, other: {{file: '{tmp_path}/file'}}, var: {{env: THE_VARIABLE}}}}\n")
    env = {"THE_VARIABLE": VALUE + "-in-a-variable"}
    done = jobs("build", job={"secrets": {**SECRETS, "NPM_TOKEN": VALUE}}, env=env)
    everything = done.output + json.dumps(done.all("report") + done.all("notice"))
    assert VALUE not in everything and "***" in done.output
    assert VALUE in done.all("mask")


def test_secrets_that_are_missing(jobs: Jobs, configure: Settings) -> None:
    configure("secrets:\n  npm: NPM_TOKEN\n  other: {file: nowhere}\n")
    done = jobs("build", job=WITH_LOGIN, check=False)
    assert done.code == 2
    assert "coopery.yaml:5" in done.output and "coopery.yaml:6" in done.output and "NPM_TOKEN" in done.output
    # A fork's job gets none: there it goes on.
    fork = {"event": "change", "change": "8", "untrusted": "a fork's change"}
    done = jobs("build", revision=fork)
    assert any("npm" in notice for notice in done.all("notice"))


def test_a_fork_is_built_and_not_pushed(jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path) -> None:
    configure("push: true\ncache-to: type=local,dest=cache\noutputs: type=registry\n")
    fork = {"event": "change", "change": "8", "untrusted": "a fork's change", "branch": "patch-1"}
    for arguments in ((), ("--push",)):
        done = jobs("build", *arguments, job=WITH_LOGIN, revision=fork)
        assert tags_of(image(guarded, tmp_path)) == []
        assert any("a fork's change" in notice for notice in done.all("notice"))
        assert not done.report["images"][0]["pushed"]
        assert any("a fork's change" in finding["message"] for finding in done.report["findings"])
        assert not (jobs.project / "cache").exists()


def test_a_change_is_pushed_if_that_is_said(jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path) -> None:
    change = {"event": "change", "change": "7", "branch": "feat/x", "base_branch": "main"}
    done = jobs("build", job=WITH_LOGIN, revision=change)
    assert tags_of(image(guarded, tmp_path)) == []
    assert any("push: true" in notice for notice in done.all("notice"))
    configure("push: true\n")
    jobs("build", job=WITH_LOGIN, revision=change)
    assert tags_of(image(guarded, tmp_path)) == ["pr-7"]


def test_no_tag_applies(jobs: Jobs, configure: Settings) -> None:
    configure("tags: ['type=ref,event=tag']\n")
    done = jobs("build", job=WITH_LOGIN)
    assert any("no tag rule applies" in notice for notice in done.all("notice"))
    assert done.report["images"][0]["names"] == []


def test_a_login_for_pulls_pushes_nothing(jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path) -> None:
    login = {"host": guarded.host, "username": USER, "password": PASSWORD, "origin": "the job's token"}
    done = jobs("build", job={"logins": [{**login, "pull_only": True}]}, check=False)
    assert done.code == 7 and tags_of(image(guarded, tmp_path)) == []
    assert "REGISTRY_PASSWORD, which isn't there" in done.output
    jobs("build", job={"logins": [login]})
    name = image(guarded, tmp_path)
    assert tags_of(name) == ["main"]
    # Cached steps are read by a login for pulls too.
    configure(f"push: false\ncache-from: type=registry,ref={name}/cache\n")
    done = jobs("build", job={"logins": [{**login, "pull_only": True}]})
    assert "going on without the cache" not in done.output
    # What only a login for pulls can read.
    jobs.write(Dockerfile=f"FROM {name}:main\nENV a=b\n", coopery_yaml="push: false\n")
    assert jobs("build", check=False).code == 7
    jobs("build", job={"logins": [{**login, "pull_only": True}]})


def test_inputs_and_variables_override_the_file(
    jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path
) -> None:
    configure("tags: file\nbuild-args: {VERSION: file}\n")
    env = {"COOPERY_CI_TAGS": "variable", "COOPERY_CI_LABELS": "from=variable"}
    job = {**WITH_LOGIN, "inputs": {"tags": "input\nother", "labels": "more=input", "pull": ""}}
    jobs("build", job=job, env=env)
    name = image(guarded, tmp_path)
    assert tags_of(name) == ["input", "other"]
    labels = config_of(name, "input")["config"]["Labels"]
    assert (labels["from"], labels["more"]) == ("variable", "input")
    jobs("build", "-t", "flag", job=job, env=env)
    assert "flag" in tags_of(name)


def test_a_cache_that_the_platform_chooses(jobs: Jobs, tmp_path: Path) -> None:
    cache = tmp_path / "shared"
    chosen = {"sources": [f"type=local,src={cache}"], "targets": [f"type=local,dest={cache},mode=max"]}
    done = jobs("build", job={**WITH_LOGIN, "cache": {**chosen, "notice": "it is shared"}})
    (wish,) = done.all("wish")
    assert wish[0] == "auto" and wish[1].endswith("/cache") and wish[3] is True
    assert cache.exists() and "it is shared" in done.all("notice")
    assert done.report["images"][0]["cache"]["targets"] == chosen["targets"]


def test_settings_that_cannot_be_read_are_reported(jobs: Jobs, configure: Settings) -> None:
    configure("plattforms: linux/amd64\npush: perhaps\n")
    done = jobs("build", env={"COOPERY_CI_TAG": "x"}, job={"inputs": {"labels": "broken"}}, check=False)
    assert done.code == 2
    for part in (
        "coopery.yaml:4",
        "did you mean platforms",
        "coopery.yaml:5",
        "COOPERY_CI_TAGS",
        "'labels' of Fake CI",
    ):
        assert part in done.output
    places = [(finding["file"], finding["line"]) for finding in done.report["findings"]]
    assert ("coopery.yaml", 4) in places and ("coopery.yaml", 5) in places


def test_what_checks_find_is_reported_with_its_place(jobs: Jobs) -> None:
    jobs.write(Dockerfile="FROM base\nMAINTAINER me\n")
    (finding,) = (one for one in jobs("build", job=WITH_LOGIN).report["findings"] if one["level"] == "warning")
    assert (finding["rule"], finding["file"], finding["line"]) == ("MaintainerDeprecated", "Dockerfile", 2)
    assert "LABEL" in finding["hint"]


def test_each_mistake_in_a_dockerfile_is_reported_with_its_place(jobs: Jobs) -> None:
    jobs.write(Dockerfile="FROM base\nCOPY x\nRUN --x y\n")
    done = jobs("build", job=WITH_LOGIN, check=False)
    assert done.code == 3
    assert [one["line"] for one in done.report["findings"] if one["level"] == "error"] == [2, 3]
    assert "2 errors" in done.report["error"]["message"] and not done.report["error"].get("line")


def test_a_canceled_job_is_reported_and_leaves_nothing(jobs: Jobs, guarded: Registry, tmp_path: Path) -> None:
    jobs.write(Dockerfile="FROM base\nRUN echo started && sleep 1000\n")
    job, told = tmp_path / "job.json", tmp_path / "told.jsonl"
    job.write_text(json.dumps({"revision": {"event": "push", "branch": "main"}, **WITH_LOGIN}))
    home = tmp_path / "home"
    env = {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "PYTHONPATH": str(FAKE),
        "HOME": str(home),
        "FAKE_CI_JOB": str(job),
        "FAKE_CI_TOLD": str(told),
        "CI": "true",
    }
    command = [sys.executable, "-c", "from coopery.cli import main; main()", "ci", "build"]
    with subprocess.Popen(command, cwd=jobs.project, env=env, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"started" in line and b"RUN" not in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 130
    kinds = [json.loads(line) for line in told.read_text().splitlines()]
    (report,) = [value for kind, value in kinds if kind == "report"]
    assert report["exit_code"] == 130 and "interrupted" in report["error"]["message"]
    assert tags_of(image(guarded, tmp_path)) == []


# ------------------------------------------------------------------------------------------------ looking ahead


def test_a_dry_run_builds_nothing_and_tells_no_secret(
    jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path
) -> None:
    configure("secrets: {npm: NPM_TOKEN}\ntags: [one, 'type=sha']\n")
    job = {"secrets": {**SECRETS, "NPM_TOKEN": VALUE}}
    text = jobs("build", "--dry-run", job=job)
    name = image(guarded, tmp_path)
    for part in (
        f"{name}:one",
        f"{name}:sha-{COMMIT[:7]}",
        "npm, from NPM_TOKEN",
        "REGISTRY_PASSWORD, by the settings",
    ):
        assert part in text.output
    plan = json.loads(jobs("build", "--dry-run", "--format", "json", job=job).done.stdout)
    assert plan["targets"][""]["push"] is True
    assert plan["targets"][""]["secrets"] == {"npm": {"from": "NPM_TOKEN", "there": True}}
    assert tags_of(name) == []
    assert VALUE not in text.output and PASSWORD not in text.output + json.dumps(plan)
    assert not text.all("report")


def test_names_for_other_tools(jobs: Jobs, configure: Settings, guarded: Registry, tmp_path: Path) -> None:
    name = image(guarded, tmp_path)
    found = json.loads(jobs("tags").done.stdout)
    assert found["tags"] == [f"{name}:main"] and found["version"] == "main"
    assert found["labels"]["org.opencontainers.image.revision"] == COMMIT
    configure("targets: {a: {tags: a}, b: {tags: b}}\n")
    both = json.loads(jobs("tags").done.stdout)
    assert {key: value["tags"] for key, value in both.items()} == {"a": [f"{name}:a"], "b": [f"{name}:b"]}


def test_off_ci_the_same_is_built_and_not_pushed(jobs: Jobs, guarded: Registry, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "topic"], cwd=jobs.project, check=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@y.test"]
    subprocess.run(["git", "add", "."], cwd=jobs.project, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "first"], cwd=jobs.project, check=True)
    name = image(guarded, tmp_path)
    done = jobs.coopery("ci", "build", cwd=jobs.project)
    assert f"{name}:topic (not pushed)" in done.stdout and tags_of(name) == []
    assert "REGISTRY_PASSWORD, by the settings, which isn't there" in done.stderr
    jobs.coopery("ci", "build", "--push", cwd=jobs.project, env=SECRETS)
    assert tags_of(name) == ["topic"]


# ------------------------------------------------------------------------------------------------ several platforms


@pytest.fixture
def two_platforms(jobs: Jobs, configure: Settings) -> tuple[str, str]:
    """Settings for this machine's platform and one more that it can't build for."""
    machine = "linux/arm64" if os.uname().machine == "aarch64" else "linux/amd64"
    other = "linux/amd64" if machine == "linux/arm64" else "linux/arm64"
    configure(f"tags: [v1, latest]\nplatforms: [{machine}, {other}]\nannotations: {{'index:of': both}}\n")
    return machine, other


def test_parts_are_merged(
    jobs: Jobs, guarded: Registry, tmp_path: Path, two_platforms: tuple[str, str], base_image: str
) -> None:
    machine, other = two_platforms
    name = image(guarded, tmp_path)
    host, _, repository = name.partition("/")
    built = jobs("build", "--only-platform", machine, job=WITH_LOGIN)
    part = f"coopery-part.{COMMIT[:12]}.{machine.replace('/', '-')}"
    assert tags_of(name) == [part] and built.report["images"][0]["names"] == [f"{name}:{part}"]

    early = jobs("merge", job=WITH_LOGIN, check=False)
    assert early.code == 8 and f"coopery ci build --only-platform {other}" in early.output
    assert tags_of(name) == [part]

    copy_as(name, part, part.replace(machine.replace("/", "-"), other.replace("/", "-")), other)
    done = jobs("merge", job=WITH_LOGIN)
    (merged,) = done.report["images"]
    assert sorted(merged["platforms"]) == sorted(two_platforms) and merged["pushed"]
    assert merged["names"] == [f"{name}:v1", f"{name}:latest"]
    index = fetch(host, f"{repository}/manifests/v1")
    assert len(index["manifests"]) == 2 and index["annotations"]["of"] == "both"
    assert fetch(host, f"{repository}/manifests/{merged['digest']}") == index
    assert merged["size"] > 0


def test_one_job_may_build_for_all_platforms(
    jobs: Jobs, guarded: Registry, tmp_path: Path, two_platforms: tuple[str, str]
) -> None:
    name = image(guarded, tmp_path)
    host, _, repository = name.partition("/")
    jobs.write(Dockerfile="FROM scratch\nARG TARGETPLATFORM\nLABEL for=$TARGETPLATFORM\nCOPY Dockerfile /\n")
    done = jobs("build", job=WITH_LOGIN)
    (built,) = done.report["images"]
    assert tuple(built["platforms"]) == two_platforms and built["pushed"] and not built["image_id"]
    assert tags_of(name) == ["latest", "v1"] and built["names"] == [f"{name}:v1", f"{name}:latest"]
    index = fetch(host, f"{repository}/manifests/v1")
    assert fetch(host, f"{repository}/manifests/{built['digest']}") == index
    assert index["annotations"]["of"] == "both" and built["annotations"]["of"] == "both"
    blobs = {}
    for entry, platform in zip(index["manifests"], two_platforms, strict=True):
        manifest = fetch(host, f"{repository}/manifests/{entry['digest']}")
        config = fetch(host, f"{repository}/blobs/{manifest['config']['digest']}")
        assert config["config"]["Labels"]["for"] == platform and "of" not in manifest.get("annotations", {})
        blobs |= {blob["digest"]: blob["size"] for blob in (manifest["config"], *manifest["layers"])}
    assert built["size"] == sum(blobs.values())
    assert [layer["platform"] for layer in built["layers"]] == list(two_platforms)


def test_a_platform_that_is_not_listed(jobs: Jobs, two_platforms: tuple[str, str]) -> None:
    done = jobs("build", "--only-platform", "linux/s390x", job=WITH_LOGIN, check=False)
    assert done.code == 2 and "doesn't list it" in done.output


def test_nothing_is_merged_of_a_fork(jobs: Jobs, two_platforms: tuple[str, str]) -> None:
    done = jobs("merge", revision={"event": "change", "change": "8", "untrusted": "a fork's change"})
    assert done.report["images"] == [] and any("a fork's change" in text for text in done.all("notice"))


def copy_as(name: str, source: str, target: str, platform: str) -> None:
    """The image again, saying that it is for another platform: what a job on such a machine would have pushed."""
    host, _, repository = name.partition("/")
    manifest = fetch(host, f"{repository}/manifests/{source}")
    config = fetch(host, f"{repository}/blobs/{manifest['config']['digest']}")
    config["architecture"] = platform.split("/")[1]
    data = json.dumps(config).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    put(host, f"{repository}/blobs/uploads/", data, digest)
    manifest["config"] |= {"digest": digest, "size": len(data)}
    put(host, f"{repository}/manifests/{target}", json.dumps(manifest).encode())


def put(host: str, path: str, data: bytes, digest: str = "") -> None:
    """A blob (with its digest) or a manifest into the guarded registry."""
    authorization = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    url = f"http://{host}/v2/{path}"
    if digest:
        begin = urllib.request.Request(url, method="POST", headers=authorization)
        with urllib.request.urlopen(begin) as answer:
            place = answer.headers["Location"]
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        kind = "application/octet-stream"
    else:
        kind = "application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(url, data, method="PUT", headers={**authorization, "Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201
