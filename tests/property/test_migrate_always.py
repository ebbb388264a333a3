"""Nothing is silently lost: each flag and each input is in the result, or among the notes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery.errors import CooperyError
from coopery.migrate import docker
from coopery.migrate import kaniko_flags as kaniko
from coopery.migrate.adapter import find_migrators
from coopery.migrate.draft import Draft
from coopery.migrate.migrate import migrate_command, migrate_file
from coopery.migrate.results import Migration
from coopery.migrate.script import Scripts
from coopery_github.migrate_actions import INPUTS

PLATFORMS = ("", "buildkite", "github-action", "gitlab", "jenkins")
MIGRATORS = find_migrators(pytest.fail)
#: All that kaniko's executor v1.28 takes.
KANIKO = re.findall(
    r"\S+",
    """
    context context-sub-path bucket git dockerfile ignore-path ignore-var-run build-arg target custom-platform
    secret label annotation reproducible dryrun snapshot-mode single-snapshot use-new-run kaniko-dir cleanup
    pre-cleanup preserve-context materialize force image-fs-extract-retry cache cache-repo cache-dir cache-ttl
    cache-copy-layers cache-run-layers compressed-caching no-push-cache destination no-push tar-path
    oci-layout-path digest-file image-name-with-digest-file image-name-tag-with-digest-file compression
    compression-level image-format insecure insecure-pull insecure-registry skip-tls-verify skip-tls-verify-pull
    skip-tls-verify-registry registry-certificate registry-client-cert registry-mirror registry-map
    skip-default-registry-fallback push-retry image-download-retry push-ignore-immutable-tag-errors
    skip-push-permission-check credential-helpers verbosity log-format log-timestamp snapshotMode customPlatform
    tarPath whitelist-var-run force-build-metadata skip-unused-stages
    """,
)
TOKENS = st.from_regex(r"[a-z]{4,8}[0-9]{3}", fullmatch=True)
SHAPES = {
    "secret": "id={0},src=/{0}",
    "registry-certificate": "{0}.example=/{0}.pem",
    "build-context": "{0}=/{0}",
    "build-arg": "{0}={0}",
    "label": "{0}={0}",
    "annotation": "{0}={0}",
    "add-host": "{0}:10.0.0.1",
    "cache-from": "type=registry,ref={0}.example/x",
    "cache-to": "type=registry,ref={0}.example/x",
    "output": "type=oci,dest={0}",
    "destination": "{0}.example/{0}:{0}",
    "tag": "{0}.example/{0}:{0}",
    "cache-ttl": "168h",
}


@st.composite
def flags(draw: st.DrawFn, known: Sequence[str], switches: Sequence[str]) -> list[tuple[str, str]]:
    """Some flags, each once, with values that occur nowhere else."""
    one = st.sampled_from(list(known))
    chosen = draw(st.lists(one, unique_by=lambda name: kaniko.SHORT.get(name, name), max_size=8))
    found = []
    for name in chosen:
        if name in switches:
            found.append((name, draw(st.sampled_from(["", "=true", "=false"]))))
        else:
            found.append((name, "=" + SHAPES.get(name, "{0}").format(draw(TOKENS))))
    return found


def said(migration: Migration) -> str:
    return json.dumps(migration.data())


def spellings(names: Mapping[str, str], name: str) -> str:
    return names.get(name, name)


SWITCHES = [name for name in KANIKO if kaniko.FLAGS[kaniko.SHORT.get(name, name)].switch]


def test_all_of_kanikos_flags_are_known() -> None:
    assert {kaniko.SHORT.get(name, name) for name in KANIKO} <= set(kaniko.FLAGS)


@settings(max_examples=150, deadline=None)
@given(flags(KANIKO, SWITCHES), st.sampled_from(PLATFORMS))
def test_each_flag_of_kaniko_makes_a_difference(chosen: list[tuple[str, str]], platform: str) -> None:
    always = ["executor", "--context=.", "--destination=registry.example/acme/shop:always"]
    chosen = [flag for flag in chosen if flag[0] != "context"]
    _differs(always, chosen, platform)


BUILDX = [name for name in docker.FLAGS if name not in ("file",)]


@settings(max_examples=150, deadline=None)
@given(
    flags(BUILDX, [name for name in BUILDX if docker.FLAGS[name].switch]),
    st.sampled_from(PLATFORMS),
)
def test_each_flag_of_docker_build_makes_a_difference(chosen: list[tuple[str, str]], platform: str) -> None:
    _differs(["docker", "buildx", "build", "--tag=registry.example/acme/shop:always", "."], chosen, platform)


def _differs(always: list[str], chosen: list[tuple[str, str]], platform: str) -> None:
    line = [f"--{name}{value}" for name, value in chosen]
    whole = said(migrate_command(always + line, platform, MIGRATORS))
    for number, (name, value) in enumerate(chosen):
        rest = line[:number] + line[number + 1 :]
        without = said(migrate_command(always + rest, platform, MIGRATORS))
        token = value.removeprefix("=")
        shown = token and all(part in whole for part in token.replace("/", " ").split() if "=" not in part)
        said_off = value == "=false" and kaniko.SHORT.get(name, name) in ("pull", "push", "load", "no-cache")
        assert whole != without or said_off, f"--{name}{value} is lost"
        assert shown or f"--{name}" in whole or value in ("", "=true", "=false") or "," in value or "=" in token


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(INPUTS)), unique=True), st.data())
def test_each_input_of_build_push_action_is_somewhere(names: list[str], data: st.DataObject) -> None:
    inputs = {}
    tokens = {}
    for name in names:
        tokens[name] = data.draw(TOKENS.filter(lambda token: token not in tokens.values()))
        inputs[name] = SHAPES.get(INPUTS[name], "{0}").format(tokens[name])
    inputs["tags"] = "registry.example/acme/shop:always"
    workflow = {
        "on": "push",
        "jobs": {"a": {"runs-on": "x", "steps": [{"uses": "docker/build-push-action@v6", "with": inputs}]}},
    }
    path = ".github/workflows/a.yml"
    found = said(migrate_file(path, yaml.safe_dump(workflow, default_flow_style=False), "", MIGRATORS))
    for name, token in tokens.items():
        assert name == "tags" or token in found, f"{name}: {inputs[name]} is lost"


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("docker build push-tf=$(){}[]'\"\\`|&;<>\n #aA1/.:*?~!") | st.characters(), max_size=80))
def test_scripts_are_read_whatever_they_say(text: str) -> None:
    scripts = Scripts(notes=Draft())
    scripts.read(text.encode(errors="ignore").decode())
    scripts.finish()


CASES = sorted((Path(__file__).parents[1] / "integrations/migrate/cases").glob("*/*"))
NAMES = {"gitlab": ".gitlab-ci.yml", "github-action": ".github/workflows/a.yml", "buildkite": "buildkite.yml"}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CASES), st.data())
def test_broken_pipelines_are_errors_of_ours(case: Path, data: st.DataObject) -> None:
    text = case.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    put = data.draw(
        st.sampled_from(["", "\n", "  ", "- ", ": ", "{", "}", "'", '"', "*a ", "&a ", "!x ", "|", "\t", "$"])
    )
    name = NAMES.get(case.parent.name, "Jenkinsfile" if case.suffix == ".groovy" else case.name)
    try:
        migrate_file(name, text[:start] + put + text[end:], "", MIGRATORS)
    except CooperyError as error:
        assert error.message
