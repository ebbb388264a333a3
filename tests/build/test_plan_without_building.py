"""`coopery build --dry-run` and `--call`: what would be done, and what a Dockerfile offers, without doing it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import plainregistry
from support import bases, registries
from support.command import Coopery

DOCKERFILE = """\
# VERSION is what is packed
ARG VERSION=1.2
# UNUSED is for nobody
ARG UNUSED
# tools has what others need
FROM @base AS tools
ARG VERSION
# X is one
# Y is another
ARG X=x-$VERSION Y
ARG TARGETARCH
RUN --mount=type=secret,id=token,required --mount=type=ssh --mount=type=cache,id=kept,target=/c echo $X
FROM @base AS app
COPY --from=tools /etc/passwd /p
COPY file /f
WORKDIR /w
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    (path / "file").write_text("content")
    return path


def write(project: Path, text: str, base: str = "scratch") -> None:
    (project / "Dockerfile").write_text(text.replace("@base", base))


def planned(coopery: Coopery, *args: str | Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(coopery("build", "--dry-run", "--format=json", *args).stdout)
    return value


def fates(value: dict[str, Any]) -> dict[str, list[str]]:
    stages = value["platforms"][0]["stages"]
    return {stage["name"] or str(stage["index"]): [step["fate"] for step in stage["steps"]] for stage in stages}


def files_below(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*") if found.is_file()}


@needs_root
def test_before_and_after_a_build_and_without_the_registry(coopery: Coopery, project: Path, tmp_path: Path) -> None:
    if registries.find_registry() is None or not bases.BUSYBOX.exists():
        pytest.skip("needs docker-registry and busybox-static")
    secret = tmp_path / "secret"
    secret.write_text("s")
    with registries.running_registry(tmp_path / "registry") as registry:
        base = f"{registry.host}/base:1"
        plainregistry.push(bases.busybox_image(), base)
        write(project, DOCKERFILE, base)
        kept = files_below(coopery.home)
        before = planned(coopery, project)
        assert files_below(coopery.home) - kept <= {"cache/coopery/v1/lock"}
        assert fates(before) == {"tools": ["run"], "app": ["run", "run", "run"]}
        (image,) = before["platforms"][0]["images"]
        assert image["name"] == base and image["toPull"] == image["size"] > 0
        assert before["platforms"][0]["stages"][0]["base"] == f"{base}@{image['digest']}"
        coopery("build", f"--secret=id=token,src={secret}", project)
    after = planned(coopery, project)
    assert fates(after) == {"tools": ["spared"], "app": ["cached", "cached", "cached"]}
    assert after["platforms"][0]["images"][0]["toPull"] == 0
    assert [step["key"] for step in after["platforms"][0]["stages"][1]["steps"]] == [
        step["key"] for step in before["platforms"][0]["stages"][1]["steps"]
    ]
    (project / "file").write_text("other")
    assert fates(planned(coopery, project)) == {"tools": ["spared"], "app": ["cached", "run", "run"]}
    assert fates(planned(coopery, "--no-cache", project))["app"] == ["run", "run", "run"]
    text = coopery("build", "--dry-run", "--target=tools", project).stdout
    assert "Stage tools (target), line 6: FROM " in text
    assert "  cached     12  sha256:" in text
    assert text.endswith("Nothing was built. Steps: 1 cached. To pull: nothing known.\n")


def test_a_base_that_cannot_be_resolved_leaves_the_rest(coopery: Coopery, project: Path) -> None:
    write(
        project,
        "FROM nowhere.invalid/a AS lost\nRUN a\nFROM scratch AS fine\nCOPY file /\nFROM scratch AS last\n"
        "COPY --from=fine /file /\nCOPY --from=lost /a /\nCOPY file /\n",
    )
    value = planned(coopery, project)
    assert fates(value) == {"lost": ["unknown"], "fine": ["run"], "last": ["run", "unknown", "unknown"]}
    lost, _, last = value["platforms"][0]["stages"]
    assert "nowhere.invalid can't be found" in lost["note"]
    assert last["steps"][0]["key"] and last["steps"][1]["key"] is None
    assert value["platforms"][0]["images"][0]["size"] is None
    text = coopery("build", "--dry-run", project).stdout
    assert "  note: nowhere.invalid can't be found" in text and "Steps: 2 to run, 3 unknown" in text


def test_what_would_be_downloaded_is_not(coopery: Coopery, project: Path) -> None:
    pin = "sha256:" + "0" * 64
    write(
        project,
        f"FROM scratch\nADD --checksum={pin} https://nowhere.invalid/a /\nADD https://nowhere.invalid/b /\n"
        "COPY file /\n",
    )
    value = planned(coopery, project)
    assert fates(value) == {"0": ["run", "unknown", "unknown"]}
    assert value["platforms"][0]["stages"][0]["steps"][1]["note"] == "https://nowhere.invalid/b is not downloaded"


def test_errors_end_it_as_they_would_end_a_build(coopery: Coopery, project: Path) -> None:
    write(project, "FROM scratch\nCOPY missing /\nCOPY file /\n")
    done = coopery("build", "--dry-run", "--format=json", project, check=False)
    assert done.returncode == 4
    value = json.loads(done.stdout)
    assert fates(value) == {"0": ["unknown", "unknown"]}
    assert [error["location"]["ranges"][0]["start"]["line"] for error in value["errors"]] == [2]
    write(project, "FROM scratch\nCOPY missing /\nEXPOSE x\n")
    done = coopery("build", "--dry-run", project, check=False)
    assert done.returncode == 4 and not done.stdout
    assert "Dockerfile:2:" in done.stderr and "Dockerfile:3:" in done.stderr
    write(project, "# check=error=true\nFROM scratch AS A\nCOPY file /\n")
    assert coopery("build", "--dry-run", project, check=False).returncode == 3


def test_several_platforms_contexts_and_directories_of_caches(coopery: Coopery, project: Path, tmp_path: Path) -> None:
    write(project, "FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\nCOPY --from=more x /\n")
    more = tmp_path / "more"
    more.mkdir()
    (more / "x").write_text("")
    value = planned(
        coopery,
        "--platform=linux/amd64,linux/arm64",
        f"--build-context=more={more}",
        f"--cache-to=type=local,dest={tmp_path}/kept",
        project,
    )
    assert [one["platform"] for one in value["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert value["contexts"] == {"": str(project), "more": str(more)}
    first, second = (one["stages"][0]["steps"] for one in value["platforms"])
    assert first[0]["title"] == "[linux/amd64 stage-0 1/2] COPY file /amd64".replace("stage-0 ", "")
    assert first[0]["key"] != second[0]["key"]
    assert not (tmp_path / "kept").exists()


def test_outline(coopery: Coopery, project: Path) -> None:
    write(project, DOCKERFILE)
    done = coopery("build", "--call=outline", "--target=tools", "--build-arg=Y=given", project)
    assert done.stdout == (
        "TARGET:      tools\nDESCRIPTION: has what others need\n\n"
        "BUILD ARG   VALUE   DESCRIPTION\n"
        "VERSION     1.2     is what is packed\nX           x-1.2   is one\nY           given   is another\n\n"
        "SECRET   REQUIRED\ntoken    true\n\nSSH       REQUIRED\ndefault\n\nCACHE MOUNT\nkept\n"
    )
    value = json.loads(coopery("build", "--call=outline,format=json", project).stdout)
    assert value["name"] == "app"
    assert [one["name"] for one in value["args"]] == ["VERSION", "X", "Y"]
    assert value["secrets"][0] == {
        "name": "token",
        "required": True,
        "location": {"ranges": [{"start": {"line": 12}, "end": {"line": 12}}]},
    }
    write(project, "FROM nowhere.invalid/x\nARG A=1\nCOPY missing /\nRUN --mount=type=secret,id=s$A x\n")
    value = json.loads(coopery("build", "--print=outline,format=json", project).stdout)
    assert [one["name"] for one in value["secrets"]] == ["s1"]


def test_targets(coopery: Coopery, project: Path) -> None:
    write(project, DOCKERFILE + "FROM --platform=$BUILDPLATFORM app\n")
    assert coopery("build", "--call", "targets", project).stdout == (
        "TARGET      DESCRIPTION\ntools       has what others need\napp\n(default)\n"
    )
    value = json.loads(coopery("build", "--call=targets,format=json", project).stdout)
    assert value["targets"][2] == {
        "default": True,
        "base": "app",
        "platform": "$BUILDPLATFORM",
        "location": {"ranges": [{"start": {"line": 17}, "end": {"line": 17}}]},
    }
    assert value["targets"][0]["base"] == "scratch"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--call=outlin"], "did you mean outline?"),
        (["--call=outline,format=sarif"], "with one of text, json"),
        (["--call=build,format=json"], "has no option"),
        (["--dry-run", "--check"], "exclude each other"),
        (["--format=json"], "--format is for --dry-run"),
    ],
)
def test_what_cannot_be_asked(coopery: Coopery, project: Path, args: list[str], told: str) -> None:
    write(project, "FROM scratch\n")
    done = coopery("build", *args, project, check=False)
    assert done.returncode == 2 and told in done.stderr


def test_check_by_call(coopery: Coopery, project: Path) -> None:
    write(project, "FROM scratch AS A\n")
    done = coopery("build", "--call=check,format=json", project, check=False)
    assert done.returncode == 1
    assert [one["ruleName"] for one in json.loads(done.stdout)["warnings"]] == ["StageNameCasing"]
