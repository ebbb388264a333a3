"""Every pipeline, seen by the platforms' own checkers; each of these is started once for all of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from generate_cases import ENDINGS, ROOT, SOURCE, cases, find_tool, pipelines, written
from gitlab_support import TEMPLATE, documents, extended, interpolated
from jenkins_pipelines import JARS
from jenkins_pipelines import missing as jenkins_missing

from coopery.ci.keys import ALIASES, KEYS


def tool(name: str) -> str:
    found = find_tool(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def check_schema(schema: str, files: list[Path], *options: str) -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", schema, *options, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert files
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


def test_most_wishes_are_granted() -> None:
    """And each refusal has a way out."""
    granted = Counter(case.platform for case in cases() if case.text)
    assert all(granted[platform] > 100 for platform in ENDINGS), granted
    refused = {case.refusal for case in cases() if case.refusal}
    assert refused
    for refusal in refused:
        assert refusal.startswith(("--keyless: ", "--cache platform: Jenkins")), refusal
        assert "(leave out --keyless" in refusal or "(take --cache registry" in refusal


def test_no_placeholder_is_left() -> None:
    for case in (case for case in cases() if case.text):
        for mark in ("<<", ">>", "<%", "%>", "<#", "#>", "None", "OWNER/coopery"):
            assert mark not in case.text, (case.id, mark)
        lines = case.text.split("\n")
        assert not [line for line in lines if line != line.rstrip()], case.id
        assert "\n\n\n" not in case.text, case.id
        assert case.text.endswith("\n") and not case.text.endswith("\n\n")


# ------------------------------------------------------------------------------------------------ GitHub


def test_github_schema(tmp_path: Path) -> None:
    check_schema("vendor.github-workflows", list(written("github-action", tmp_path)))


def test_github_zizmor(tmp_path: Path) -> None:
    files = written("github-action", tmp_path / ".github" / "workflows")
    assert _zizmor(files) == []
    first = next(iter(files))
    first.write_text(first.read_text().replace(SOURCE.partition("@")[2], "main"))
    assert {name for name, _ in _zizmor(files)} == {"unpinned-uses"}


def _zizmor(files: Iterable[Path]) -> list[tuple[str, str]]:
    """What it says, each with where."""
    command = [tool("zizmor"), "--offline", "--no-progress", "--persona=pedantic", "--format=json", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    return [(each["ident"], str(each["locations"])[:300]) for each in json.loads(done.stdout)]


def test_github_language_service(tmp_path: Path) -> None:
    packages = Path(os.environ.get("COOPERY_NODE_CLIENTS") or ROOT / ".venv" / "node" / "node_modules")
    if not (packages / "@actions" / "languageservice").is_dir():
        pytest.skip("needs @actions/languageservice and @actions/expressions (npm) in COOPERY_NODE_CLIENTS")
    script = ROOT / "tests/integrations/github/github_own.mjs"
    done = subprocess.run(
        [tool("node"), str(script), "validate", *map(str, written("github-action", tmp_path))],
        env=os.environ | {"COOPERY_NODE_CLIENTS": str(packages)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_github_inputs_are_the_actions() -> None:
    action = yaml.safe_load((ROOT / "integrations/github-action/action.yml").read_text())
    used: set[str] = set()
    for case in pipelines("github-action"):
        for job in yaml.safe_load(case.text)["jobs"].values():
            for step in job["steps"]:
                if "/integrations/github-action@" in step["uses"]:
                    used |= set(step["with"])
    assert {"images", "registry", "registry-auth", "registries", "only-platform", "mode", "cache-repository"} <= used
    assert used <= set(action["inputs"])


# ------------------------------------------------------------------------------------------------ GitLab


def test_gitlab_schema(tmp_path: Path) -> None:
    check_schema("vendor.gitlab-ci", list(written("gitlab", tmp_path)), "--data-transform", "gitlab-ci")


def test_gitlab_jobs_are_valid_with_the_template(tmp_path: Path) -> None:
    """With inputs in their places, as GitLab puts them there."""
    header, _ = documents()
    kinds = {"string": str, "boolean": bool, "number": int, "array": list}
    files = []
    for case in pipelines("gitlab"):
        pipeline = yaml.safe_load(case.text)
        (include,) = pipeline.pop("include")
        assert include["remote"].endswith("/" + str(TEMPLATE.relative_to(ROOT)))
        for name, value in include["inputs"].items():
            assert isinstance(value, kinds[header[name].get("type", "string")]), (case.id, name)
            assert value in header[name].get("options", [value])
        jobs = merged(interpolated(include["inputs"]), pipeline)
        file = tmp_path / f"{case.id}.yml"
        file.write_text(json.dumps({name: extended(jobs, name) for name in jobs if not name.startswith(".")}))
        files.append(file)
    check_schema("vendor.gitlab-ci", files, "--data-transform", "gitlab-ci")


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As GitLab merges what a file says with what it includes."""
    both = {key: merged(below[key], above[key]) for key in below.keys() & above.keys() if isinstance(above[key], dict)}
    return {**below, **above, **both}


def test_gitlab_own_reading(tmp_path: Path) -> None:
    """By gitlab-ci-local, for one pipeline of each shape."""
    client = tool("gitlab-ci-local")
    shapes = {len(case.wish.platforms): case for case in pipelines("gitlab") if "ecr" in case.wish.registries}
    for case in shapes.values():
        folder = tmp_path / case.id
        (folder / "coopery").mkdir(parents=True)
        (folder / "coopery/template.yml").write_text(TEMPLATE.read_text())
        (folder / ".gitlab-ci.yml").write_text(local(case.text))
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=folder, check=True)
        subprocess.run(["git", "remote", "add", "origin", "git@gitlab.com:acme/shop.git"], cwd=folder, check=True)
        done = subprocess.run([client, "--list-json"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        names = {job["name"].partition(":")[0] for job in json.loads(done.stdout[done.stdout.index("[\n") :])}
        expected = {"coopery-build", "coopery-build-merge"} if len(case.wish.platforms) > 1 else {"coopery-build"}
        assert expected <= names, names


def local(text: str) -> str:
    """The pipeline with the template beside it."""
    lines = text.split("\n")
    place = next(number for number, line in enumerate(lines) if line.startswith("  - remote: "))
    lines[place] = "  - local: coopery/template.yml"
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------ Buildkite


def test_buildkite_schema(tmp_path: Path) -> None:
    check_schema("vendor.buildkite", list(written("buildkite", tmp_path)))


def test_buildkite_plugins_own_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    definition = yaml.safe_load((ROOT / "integrations/buildkite/plugin.yml").read_text())
    validator = jsonschema.Draft7Validator(definition["configuration"])
    for case in pipelines("buildkite"):
        for step in yaml.safe_load(case.text)["steps"]:
            ((name, configuration),) = step["plugins"][0].items()
            assert (
                name
                == f"https://github.com/acme/coopery.git/integrations/buildkite#{case.wish.source.partition('@')[2]}"
            )
            validator.validate(configuration)


# ------------------------------------------------------------------------------------------------ Jenkins


def calls(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The step's calls of every Jenkinsfile, by its id: arguments, and what the library makes of them."""
    if reason := jenkins_missing():
        pytest.skip(reason)
    files = written("jenkins", folder)
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.lang", "java.util")]
    script = Path(__file__).with_name("read_pipelines.groovy")
    library = ROOT / "integrations/jenkins/src/coopery/Arguments.groovy"
    groovy = ["java", *opened, "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", "groovy.ui.GroovyMain"]
    command = [*groovy, str(script), str(library), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return {case.id: found[file.name] for file, case in files.items()}


def test_jenkins_reads_them(tmp_path: Path) -> None:
    """They compile, and the library takes what they say."""
    known = {re.sub(r"-(.)", lambda match: match[1].upper(), key) for key in [*KEYS, *ALIASES]}
    known |= {"install", "name", "identityTokens"}
    found = calls(tmp_path)
    for case in pipelines("jenkins"):
        several = len(case.wish.platforms) > 1
        steps = [call["step"] for call in found[case.id]]
        assert steps == (["cooperyBuild", "cooperyMerge"] if several else ["cooperyBuild"]), case.id
        for call in found[case.id]:
            assert call["fault"] == "", case.id
            assert set(call["arguments"]) <= known, case.id
