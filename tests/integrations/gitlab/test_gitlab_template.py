"""The template as GitLab reads it: valid with any inputs, with no input inside a script, and documented."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gitlab_support import README, ROOT, TEMPLATE, documents, extended, interpolated

from coopery.ci.keys import KEYS

#: Inputs that are about the job, and no settings.
JOB = {
    "job-name",
    "stage",
    "executor-image",
    "install",
    "rules",
    "interruptible",
    "expire-in",
    "per-platform",
    "matrix",
}
JOB |= {"id-token-audience", "dependency-proxy"}
#: Settings that no input has: they are mappings of mappings, or follow from the matrix, or the engine refuses them.
WITHOUT_INPUT = {"registries", "only-platform", "ssh", "allow", "no-cache-filters"}

EXAMPLES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "everything": {
        "job-name": "build.it",
        "stage": "test",
        "images": "a/b\nc/d",
        "tags": "type=sha",
        "push": "true",
        "cache": "platform",
        "pull": True,
        "no-cache": True,
        "load": True,
        "compression": "zstd",
        "compression-level": 19,
        "dependency-proxy": True,
        "interruptible": False,
        "rules": [{"when": "manual"}],
    },
    "platforms": {
        "per-platform": True,
        "matrix": [{"PLATFORM": "linux/amd64", "RUNNER": "a"}, {"PLATFORM": "linux/arm64", "RUNNER": "b"}],
        "cache": "registry",
    },
    "hostile": {
        "images": "a\nscript: [touch pwned]",
        "tags": "$(touch pwned)\n'; touch pwned; \"",
        "install": "`touch pwned`",
        "context": "{{ x }} $[[ inputs.tags ]]",
    },
}


def check_jsonschema() -> list[str]:
    beside = Path(sys.executable).parent / "check-jsonschema"
    program = str(beside) if beside.exists() else shutil.which("check-jsonschema")
    if not program:
        pytest.skip("needs check-jsonschema (PyPI)")
    return [program, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]


def check(value: object, path: Path) -> None:
    path.write_text(yaml.safe_dump(value))
    done = subprocess.run([*check_jsonschema(), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_header_is_valid(tmp_path: Path) -> None:
    check({"spec": {"inputs": documents()[0]}}, tmp_path / "spec.yml")


@pytest.mark.parametrize("name", EXAMPLES)
def test_jobs_are_valid(name: str, tmp_path: Path) -> None:
    jobs = interpolated(EXAMPLES[name])
    whole = {job: extended(jobs, job) for job in jobs if not job.startswith(".")}
    check(whole, tmp_path / "jobs.yml")
    check({"include": [{"local": "/template.yml", "inputs": EXAMPLES[name]}]}, tmp_path / ".gitlab-ci.yml")


def test_jobs_of_the_readme_are_valid(tmp_path: Path) -> None:
    """Also as GitLab would take their inputs."""
    text = README.read_text()
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(examples) > 5
    for number, example in enumerate(examples):
        inputs = example.get("inputs") or (example.get("include") or [{}])[0].get("inputs")
        if inputs:
            interpolated(inputs)
        if "include" in example or "coopery-build" in example:
            check(example, tmp_path / f"{number}.yml")


def test_settings_of_the_readme_are_read() -> None:
    from coopery.ci.sources import text_layer
    from coopery.ci.written import Faults

    found = re.findall(r"```yaml\n((?:images|registries):.*?)```", README.read_text(), re.DOTALL)
    assert len(found) == 2
    for text in found:
        faults = Faults()
        text_layer(text, "coopery.yaml", faults)
        faults.check()


def test_inputs_are_typed() -> None:
    header, _ = documents()
    types = {"string": str, "boolean": bool, "number": int, "array": list}
    for name, entry in header.items():
        assert entry["description"], name
        assert isinstance(entry["default"], types[entry.get("type", "string")]), name
        assert entry["default"] in entry.get("options", [entry["default"]]), name
        if "regex" in entry:
            assert re.search(entry["regex"], entry["default"]), name


def test_every_setting_has_an_input() -> None:
    header, _ = documents()
    assert set(header) - JOB == set(KEYS) - WITHOUT_INPUT


def test_choices_are_those_of_the_settings() -> None:
    header, _ = documents()
    for name in set(header) - JOB:
        assert set(header[name].get("options", [])) - {""} == set(KEYS[name].choices), name


def test_inputs_reach_the_adapter_under_their_names() -> None:
    _, jobs = documents()
    variables = jobs[".$[[ inputs.job-name ]]"]["variables"]
    for name, value in variables.items():
        if name.startswith("COOPERY_INPUT_"):
            key = name.removeprefix("COOPERY_INPUT_").lower().replace("_", "-")
            assert value == f"$[[ inputs.{key} ]]"
    named = {name for name in variables if name.startswith("COOPERY_INPUT_")}
    header, _ = documents()
    assert named == {"COOPERY_INPUT_" + key.upper().replace("-", "_") for key in set(header) - JOB}


def test_scripts_are_the_same_whatever_the_inputs() -> None:
    """No text of an input is ever read by a shell."""
    _, raw = documents()
    for job in raw.values():
        for keyword in ("script", "before_script", "after_script"):
            assert "$[[" not in json.dumps(job.get(keyword, []))
    plain, hostile = interpolated({}), interpolated(EXAMPLES["hostile"])
    for name, job in plain.items():
        assert job.get("script") == hostile[name].get("script")


def test_installing_takes_no_options() -> None:
    script = interpolated({})[".coopery-build"]["script"]
    assert ' -- "$COOPERY_INSTALL"' in script[0]
    assert script[1] == "coopery ci build"


def test_jobs_for_platforms_only_where_they_are_wanted() -> None:
    single = interpolated({})
    assert "parallel" not in extended(single, "coopery-build")
    assert extended(single, "coopery-build-merge")["rules"] == [{"when": "never"}]
    several = interpolated(EXAMPLES["platforms"])
    build, merge = extended(several, "coopery-build"), extended(several, "coopery-build-merge")
    assert build["parallel"]["matrix"] == EXAMPLES["platforms"]["matrix"]
    assert (build["tags"], build["variables"]["COOPERY_INPUT_ONLY_PLATFORM"]) == (["$RUNNER"], "$PLATFORM")
    assert merge["rules"] == build["rules"]
    assert "COOPERY_INPUT_ONLY_PLATFORM" not in merge["variables"]
    assert merge["script"][-1] == "coopery ci merge"


@pytest.mark.parametrize("cache", ["", "auto", "registry", "local", "none"])
def test_gitlab_keeps_a_directory_only_where_it_is_wanted(cache: str) -> None:
    assert "cache" not in extended(interpolated({"cache": cache}), "coopery-build")
    kept = extended(interpolated({"cache": "platform"}), "coopery-build")
    assert kept["cache"]["paths"] == [f"{kept['variables']['COOPERY_CACHE_DIR']}/"]


def test_template_can_be_included_twice() -> None:
    first, second = interpolated({}), interpolated({"job-name": "other"})
    assert not set(first) & set(second)


def inputs_table() -> str:
    """The README's table, out of the template."""
    header, _ = documents()
    lines = ["| Input | Type | Default | |", "|---|---|---|---|"]
    for name, entry in header.items():
        options = [option or "''" for option in entry.get("options", [])]
        kind = " ".join(f"`{option}`" for option in options) if options else entry.get("type", "string")
        default = entry["default"]
        shown = "see the template" if name == "rules" else f"`{json.dumps(default)}`" if default not in ("", []) else ""
        shown = shown.replace('`"', "`").replace('"`', "`")
        description = entry["description"].replace("|", r"\|")
        lines.append(f"| `{name}` | {kind} | {shown} | {description} |")
    return "\n".join(lines)


def test_inputs_are_documented() -> None:
    between = README.read_text().partition("<!-- inputs -->\n")[2].partition("\n<!-- /inputs -->")[0]
    assert between == inputs_table(), f"the table has to be:\n\n{inputs_table()}"


def test_component_is_made_of_the_same_files(tmp_path: Path) -> None:
    subprocess.run([ROOT / "integrations/gitlab/make-component", tmp_path / "catalog"], check=True)
    assert (tmp_path / "catalog/templates/build.yml").read_text() == TEMPLATE.read_text()
    assert (tmp_path / "catalog/README.md").read_text() == README.read_text()
    check(yaml.safe_load((tmp_path / "catalog/.gitlab-ci.yml").read_text()), tmp_path / "pipeline.yml")
