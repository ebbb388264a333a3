"""`coopery migrate` as people call it."""

from __future__ import annotations

import json
from pathlib import Path

from support.command import Coopery

PIPELINE = """
build:
  image: docker:27
  script:
    - docker build -t a.b/c:1 --squash . # here
    - docker push a.b/c:1
""".lstrip()


def test_the_result_is_printed_and_the_list_told_apart(coopery: Coopery, tmp_path: Path) -> None:
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(PIPELINE)
    done = coopery("migrate", path)
    assert "extends: .coopery-build" in done.stdout
    assert f"{path}:1: job build: Not carried over: --squash: each step is a layer" in done.stderr
    assert "# Not carried over: --squash" in done.stdout
    assert path.read_text() == PIPELINE


def test_both_as_data(coopery: Coopery, tmp_path: Path) -> None:
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(PIPELINE)
    value = json.loads(coopery("migrate", path, "--format", "json").stdout)
    assert (value["platform"], value["whole"]) == ("gitlab", True)
    (step,) = value["steps"]
    assert step["settings"]["images"] == ["a.b/c"]
    assert {note["kind"] for note in step["notes"]} == {"left", "moot"}


def test_a_command_line_for_each_platform(coopery: Coopery) -> None:
    line = ["--", "/kaniko/executor", "--context", ".", "-d", "a.b/c:1", "--cache", "--build-arg=A=--format"]
    texts = {
        platform: coopery("migrate", "--platform", platform, "--source", "acme/coopery@v9", *line).stdout
        for platform in ("github-action", "gitlab", "buildkite", "jenkins")
    }
    assert "uses: acme/coopery/integrations/github-action@v9" in texts["github-action"]
    assert "https://raw.githubusercontent.com/acme/coopery/v9/" in texts["gitlab"]
    assert "https://github.com/acme/coopery.git/integrations/buildkite#v9" in texts["buildkite"]
    assert "cooperyBuild(" in texts["jenkins"]
    assert all("--format" in text for text in texts.values())
    assert "cache: registry\n" in coopery("migrate", *line).stdout


def test_what_is_wrong_is_said(coopery: Coopery, tmp_path: Path) -> None:
    def error(*arguments: str | Path) -> str:
        done = coopery("migrate", *arguments, check=False)
        assert done.returncode == 2 and not done.stdout
        return done.stderr

    assert "name a file, or write a command line after --" in error()
    assert "one thing at a time" in error("x", "--", "executor")
    assert "can't be read: No such file" in error(tmp_path / "none")
    (tmp_path / "x.yml").write_text("a: [")
    assert "nothing that builds an image" in error(tmp_path / "x.yml")
    assert "no CI platform 'gitlap'" in error("--platform", "gitlap", "--", "executor")
    assert "not a repository with a commit" in error("--source", "x", "--", "executor")
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00")
    assert "isn't UTF-8" in error(tmp_path / "x.bin")


def test_without_the_libraries_the_way_out_is_named(coopery: Coopery, tmp_path: Path) -> None:
    (tmp_path / "tree_sitter.py").write_text("raise ImportError('none here')\n")
    (tmp_path / "a.sh").write_text("docker build .\n")
    done = coopery("migrate", tmp_path / "a.sh", env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 10
    assert "pip install 'coopery[migrate]'" in done.stderr
