"""What the adapter tells and is told, without an agent's help or with none to be had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import buildkite_jobs as jobs
import pytest

from coopery.ci.platform import CacheWish
from coopery.ci.platforms import find_platform
from coopery.ci.report import Finding, ImageResult, Report
from coopery.ci.revision import Revision
from coopery.errors import UsageError
from coopery_buildkite import Buildkite, caching, publishing
from coopery_buildkite.agent import Agent
from support import reports

_WISH = CacheWish(kind="auto", repository="registry.example/acme/shop/cache", scope="web/linux-amd64", may_write=True)
_VOLUME = "type=local,{}={}/web-linux-amd64"
_REGISTRY = "type=registry,ref=registry.example/acme/shop/cache:web-linux-amd64"


def _plugin(configuration: str) -> Buildkite:
    return Buildkite({"COOPERY_BUILDKITE_PLUGIN": "1", "BUILDKITE_PLUGIN_CONFIGURATION": configuration})


def test_the_adapter_is_found_and_no_other(tmp_path: Path) -> None:
    assert isinstance(find_platform(jobs.capture("push", tmp_path), lambda _: None), Buildkite)
    assert not Buildkite.detect({"BUILDKITE": "false"}) and not Buildkite.detect({"CI": "true"})


def test_inputs_are_the_configuration_without_what_the_hook_reads() -> None:
    told = {"mode": "merge", "image": "x/y", "push": False, "tags": ["a"], "registries": {"x": {"role": "r"}}}
    expected = {name: value for name, value in told.items() if name != "mode"}
    assert _plugin(json.dumps(told)).inputs() == expected


def test_flattened_variables_and_other_plugins_are_not_read(tmp_path: Path) -> None:
    environ = jobs.capture("push", tmp_path) | {"BUILDKITE_PLUGIN_BUILDKITE_IMAGE": "evil.example/x"}
    assert Buildkite(environ).inputs() == {"image": "registry.example/acme/shop"}
    del environ["COOPERY_BUILDKITE_PLUGIN"]  # as in a command that the docker plugin runs
    assert Buildkite(environ).inputs() == {}


@pytest.mark.parametrize("configuration", ["[]", "{", '"text"'])
def test_configurations_that_are_none(configuration: str) -> None:
    with pytest.raises(UsageError):
        _plugin(configuration).inputs()


def test_a_container_without_an_agent(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    job = Buildkite(jobs.capture("push", tmp_path) | {"PATH": str(tmp_path), "BUILDKITE_BIN_PATH": ""})
    assert job.identity_token("sts.amazonaws.com") is None
    assert "sts.amazonaws.com" in job.identity_help("sts.amazonaws.com")
    assert job.secret("TOKEN") is None
    assert job.credentials() == ()
    job.mask("s3cret-one")
    job.mask("s3cret-two")
    job.publish(_report())
    shown = capfd.readouterr()
    assert shown.err.count("can't be masked") == 1 and "no annotation" in shown.err
    assert "s3cret" not in shown.err + shown.out


# ------------------------------------------------------------------------------------------------ caches


def test_a_volume_comes_before_the_registry(tmp_path: Path) -> None:
    environ = {"COOPERY_CACHE_VOLUME": str(tmp_path)}
    found = caching.choose(_WISH, environ)
    assert found.sources == (_VOLUME.format("src", tmp_path),)
    assert found.targets == (_VOLUME.format("dest", tmp_path) + ",mode=max,ignore-error=true",)
    assert caching.choose(replace(_WISH, may_write=False), environ).targets == ()


def test_the_registry_without_a_volume() -> None:
    for kind in ("auto", "registry"):
        found = caching.choose(replace(_WISH, kind=kind), {})
        assert (found.sources, found.targets) == ((_REGISTRY,), (_REGISTRY + ",mode=max,ignore-error=true",))
    assert caching.choose(replace(_WISH, may_write=False), {}).targets == ()
    assert caching.choose(replace(_WISH, repository=""), {}) == caching.choose(replace(_WISH, kind="none"), {})


@pytest.mark.parametrize("kind", ["platform", "registry"])
def test_a_cache_that_is_wanted_and_not_there(kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        caching.choose(replace(_WISH, kind=kind, repository=""), {})
    assert caught.value.hint


@pytest.mark.parametrize("name", ["relative", "/nowhere/at/all", "/tmp,dest=/etc"])
def test_volumes_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="COOPERY_CACHE_VOLUME"):
        caching.find_volume({"COOPERY_CACHE_VOLUME": name})


def test_hosted_agents_link_the_usual_place_into_the_volume(tmp_path: Path) -> None:
    volume, elsewhere, usual = tmp_path / "cache/bkcache/coopery", tmp_path / "home", tmp_path / "usual"
    volume.mkdir(parents=True)
    elsewhere.mkdir()
    hosted = str(tmp_path / "cache")
    assert caching.find_volume({}, str(usual), hosted) == ""
    usual.symlink_to(elsewhere)
    assert caching.find_volume({}, str(usual), hosted) == ""
    usual.unlink()
    usual.symlink_to(volume)
    assert caching.find_volume({}, str(usual), hosted) == str(volume)


# ------------------------------------------------------------------------------------------------ reports


def _image(**more: object) -> ImageResult:
    names = ("registry.example/shop:main", "registry.example/shop:sha-6f1c0f4")
    platforms = ("linux/amd64", "linux/arm64")
    return replace(reports.IMAGE, **{"platforms": platforms, "names": names, "version": "main", **more})  # type: ignore[arg-type]


def _report(*images: ImageResult, **more: object) -> Report:
    return Report(revision=Revision(event="push"), images=images, **more)  # type: ignore[arg-type]


def test_meta_data() -> None:
    assert dict(publishing.meta_data(_report(_image()))) == {
        "coopery:digest": reports.IMAGE.digest,
        "coopery:image-id": reports.IMAGE.image_id,
        "coopery:version": "main",
        "coopery:names": "registry.example/shop:main\nregistry.example/shop:sha-6f1c0f4",
        "coopery:pushed": "true",
    }
    keys = {
        key for key, _ in publishing.meta_data(_report(_image(target="web", platforms=("linux/arm64",), version="")))
    }
    assert {"coopery:web:digest", "coopery:web:linux/arm64:digest"} <= keys
    assert "coopery:web:version" not in keys


def test_styles() -> None:
    warning, notice = (Finding(level=level, message="x") for level in ("warning", "notice"))
    assert publishing.style(_report()) == "success"
    assert publishing.style(_report(findings=(notice,))) == "success"
    assert publishing.style(_report(findings=(notice, warning))) == "warning"
    assert publishing.style(_report(error=Finding(level="error", message="x"), findings=(warning,))) == "error"


def test_retried_jobs_replace_their_annotation_and_no_other(tmp_path: Path) -> None:
    first = jobs.capture("push", tmp_path)
    retried = first | {"BUILDKITE_JOB_ID": "another", "BUILDKITE_RETRY_COUNT": "1"}
    assert publishing.context(first) == publishing.context(retried)
    others = [first | {name: "another"} for name in ("BUILDKITE_STEP_KEY", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_LABEL")]
    contexts = {publishing.context(each) for each in (first, *others)}
    assert len(contexts) == 4 and all(len(each) <= 100 for each in contexts)


def test_reports_and_values_that_are_too_long_are_shortened_and_said(tmp_path: Path) -> None:
    program = tmp_path / "buildkite-agent"
    program.write_text(
        f'#!/bin/sh\ncat >"{tmp_path}/$1"; if [ "$1" = meta-data ]; then echo "$3" >>"{tmp_path}/keys"; fi\n'
    )
    program.chmod(0o755)
    said: list[str] = []
    agent = Agent({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    names = tuple(f"registry.example/shop:{number:0100}" for number in range(2000))
    findings = tuple(Finding(level="warning", message="é" * 2000) for _ in range(1000))
    publishing.publish(_report(_image(names=names), findings=findings), agent, {}, said.append)
    body = (tmp_path / "annotate").read_bytes()
    assert 0 < len(body) <= 1 << 20 and body.rstrip().endswith(b"</a>")
    assert said == ["the meta-data coopery:names is too long for Buildkite and was left out"]
    assert "coopery:names" not in (tmp_path / "keys").read_text()


def test_names_of_targets_cant_become_options() -> None:
    told = dict(publishing.meta_data(_report(_image(target="--help", version="$(id)\n--- x"))))
    assert all(key.startswith("coopery:") for key in told)
