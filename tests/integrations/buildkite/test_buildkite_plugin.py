"""The plugin as users meet it: its schema, its README and the pipelines in there, and its hooks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from buildkite_jobs import ROOT

from coopery.ci.keys import ALIASES, KEYS, REGISTRY_KEYS
from coopery_buildkite.adapter import HOOK_KEYS

PLUGIN = ROOT / "integrations/buildkite"
README = (PLUGIN / "README.md").read_text()
DEFINITION = yaml.safe_load((PLUGIN / "plugin.yml").read_text())
SCHEMA = DEFINITION["configuration"]
PIPELINES = [text for text in re.findall(r"(?s)```yaml\n(.*?)```", README) if "steps:" in text]


def _tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def test_the_schema_has_the_keys_of_the_settings() -> None:
    assert set(SCHEMA["properties"]) == (set(KEYS) | set(ALIASES) | HOOK_KEYS) - {"targets"}
    assert SCHEMA["additionalProperties"] is False
    entry = SCHEMA["properties"]["registries"]["additionalProperties"]
    assert set(entry["properties"]) == set(REGISTRY_KEYS)
    assert entry["additionalProperties"] is False


def test_the_schema_has_the_choices_of_the_settings() -> None:
    for name, key in KEYS.items():
        if key.choices:
            shown = {str(choice).lower() for choice in SCHEMA["properties"][name]["enum"]}
            assert shown == set(key.choices), name


def test_the_readme_lists_each_key_once() -> None:
    table = README.partition("## Configuration")[2]
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", table, re.M)
    listed = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]
    assert sorted(listed) == sorted(SCHEMA["properties"])


def test_the_registries_of_the_readme_are_valid() -> None:
    rows = re.findall(r"^\| \w[^|]* \| `([a-z0-9.-]+: \{.*?\})`", README, re.M)
    assert len(rows) == 7
    for row in rows:
        _validate({"registries": yaml.safe_load(row)})


def test_the_pipelines_of_the_readme(tmp_path: Path) -> None:
    files = [tmp_path / f"pipeline-{number}.yml" for number, _ in enumerate(PIPELINES)]
    for file, pipeline in zip(files, PIPELINES, strict=True):
        file.write_text(pipeline)
        for configuration in _configurations(yaml.safe_load(pipeline)):
            _validate(configuration)
    command = [_tool("check-jsonschema"), "--builtin-schema", "vendor.buildkite", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert len(files) > 4
    assert done.returncode == 0, done.stdout + done.stderr


def _configurations(pipeline: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for step in pipeline["steps"]:
        for plugin in step.get("plugins", ()):
            yield from plugin.values()


def _validate(configuration: object) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(json.loads(json.dumps(configuration)))


@pytest.mark.parametrize(
    "configuration",
    [
        {"imagee": "x"},
        {"push": "perhaps"},
        {"image": 7},
        {"registries": {"ghcr.io": {"token": "X"}}},
        {"registries": ["ghcr.io"]},
        {"secrets": {"token": {"value": "s3cret"}}},
        {"build-args": {"VERSION": 1.1}},
        {"mode": "deploy"},
    ],
)
def test_configurations_that_are_wrong(configuration: dict[str, object]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(jsonschema.ValidationError):
        _validate(configuration)


def test_the_hooks_please_shellcheck() -> None:
    hooks = sorted((PLUGIN / "hooks").iterdir())
    assert [hook.name for hook in hooks] == ["command", "environment", "pre-exit"]
    assert all(hook.stat().st_mode & 0o111 == 0o111 for hook in hooks)
    done = subprocess.run([_tool("shellcheck"), *map(str, hooks)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
