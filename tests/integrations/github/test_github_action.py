"""action.yml: checked by GitHub's own packages and by linters, given hostile values, in step with the README."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from github_runner import ACTION, Command, obeyed, read_outputs

from coopery.ci.keys import KEYS
from coopery.ci.report import ImageResult, Report
from coopery.ci.revision import Revision
from coopery_github.inputs import NO_EFFECT, REFUSED, SETTINGS
from coopery_github.publish import outputs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
_FILE, _CACHE_FILE = ACTION / "action.yml", ACTION / "cache-env" / "action.yml"

# action.yml of docker/build-push-action, metadata-action and login-action, but for metadata-action's `context` (where
# facts come from) and `bake-target`.
_BUILD_PUSH = (
    "add-hosts allow annotations attests build-args build-contexts builder cache-from cache-to call cgroup-parent "
    "context file github-token labels load network no-cache no-cache-filters outputs platforms provenance pull push "
    "sbom secrets secret-envs secret-files shm-size ssh tags target ulimit"
)
_METADATA = "images tags flavor labels annotations sep-tags sep-labels sep-annotations github-token"
_LOGIN = "registry username password scope ecr logout registry-auth"
_OURS = (
    "mode config target-names only-platform isolation scratch compression compression-level cache cache-repository "
    "registries"
)
# Read by the adapter or by the launcher itself.
_ELSEWHERE = (
    "mode target-names sep-tags sep-labels sep-annotations secrets secret-envs secret-files registry username password "
    "scope ecr logout registry-auth registries github-token"
)
_HOSTILE = "$(touch pwned)`id`\"; exit 1; #'\n::set-env name=A::b\n${{ secrets.X }}\\"


def _action() -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load(_FILE.read_text())
    return value


def _client(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} on the PATH")
    return found


def _own(*arguments: str, stdin: str = "") -> str:
    """What GitHub's own packages say."""
    packages = Path(os.environ.get("COOPERY_NODE_CLIENTS") or ROOT / ".venv" / "node" / "node_modules")
    if not (packages / "@actions" / "languageservice").is_dir():
        pytest.skip("needs @actions/languageservice and @actions/expressions (npm) in COOPERY_NODE_CLIENTS")
    done = subprocess.run(
        [_client("node"), str(HERE / "github_own.mjs"), *arguments],
        env=os.environ | {"COOPERY_NODE_CLIENTS": str(packages)},
        input=stdin,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_schema() -> None:
    command = [_client("check-jsonschema"), "--builtin-schema", "vendor.github-actions", str(_FILE), str(_CACHE_FILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_zizmor() -> None:
    done = subprocess.run(
        [_client("zizmor"), "--offline", "--no-progress", str(ACTION)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_language_service(tmp_path: Path) -> None:
    assert _own("validate", str(_FILE), str(_CACHE_FILE)) == ""
    broken = tmp_path / "action.yml"
    broken.write_text(
        _FILE.read_text().replace("shell: bash", "shel: bash").replace("steps.find.outputs", "stepz.find.outputs")
    )
    said = _own("validate", str(broken))
    assert "shel" in said and "stepz" in said


def test_workflows_of_the_readme(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ACTION / "README.md").read_text(), re.DOTALL)
    whole = [block for block in blocks if "jobs:" in block]
    assert len(whole) == 2
    for number, block in enumerate(whole):
        text = block if block.startswith("on:") else f"on: push\n{block}"
        file = tmp_path / f"workflow{number}.yml"
        file.write_text(text.replace("SHA", "0" * 40))
        assert _own("validate", str(file)) == ""
        uses = [
            step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"] if "coopery" in step["uses"]
        ]
        assert uses
        assert {name for step in uses for name in step.get("with", {})} <= set(_action()["inputs"])


def test_scripts_hold_no_expression() -> None:
    for step in _action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "${{" not in json.dumps(step.get("with", {}))


def test_nested_actions_are_pinned() -> None:
    nested = [step["uses"] for step in _action()["runs"]["steps"] if "uses" in step]
    for uses in nested:
        assert uses == "./.coopery-cache-env" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses)
    assert (ACTION / "cache-env" / "action.yml").exists() and len(nested) == 2


def test_inputs_of_dockers_actions_are_all_there() -> None:
    inputs = set(_action()["inputs"])
    assert len(_BUILD_PUSH.split(" ")) == 33
    assert inputs == {name for names in (_BUILD_PUSH, _METADATA, _LOGIN, _OURS) for name in names.split(" ")}


def test_no_input_is_read_and_ignored() -> None:
    known = {*SETTINGS, *NO_EFFECT, *REFUSED, *_ELSEWHERE.split(" ")}
    assert known == set(_action()["inputs"])
    assert set(SETTINGS) <= set(KEYS)
    assert set(KEYS) - set(SETTINGS) == {"secrets", "registries", "targets"}, "a new setting needs an input"


def test_outputs_are_those_that_are_written() -> None:
    empty = dict.fromkeys(("target", "version", "digest", "image_id", "media_type"), "")
    image = ImageResult(**empty, platforms=(), names=(), pushed=False, size=0, seconds=0)  # type: ignore[arg-type]
    written = outputs(Report(revision=Revision(event="push"), images=(image,)), {})
    declared = _action()["outputs"]
    assert list(declared) and set(declared) == set(written)
    assert all(output["value"] == f"${{{{ steps.build.outputs.{name} }}}}" for name, output in declared.items())


def test_the_readme_lists_inputs_and_outputs() -> None:
    readme = (ACTION / "README.md").read_text()
    for kind in ("inputs", "outputs"):
        rows = "\n".join(
            f"| `{name}` | {value['description'].replace('|', chr(92) + '|')} |"
            for name, value in _action()[kind].items()
        )
        assert f"| {kind[:-1].title()} | Meaning |\n|---|---|\n{rows}\n" in readme


def _evaluated(context: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The environment of each step, by its id, as the runner would make it."""
    steps = {step["id"]: step for step in _action()["runs"]["steps"]}
    templates = {f"{name} {key}": value for name, step in steps.items() for key, value in step.get("env", {}).items()}
    values = json.loads(_own("evaluate", stdin=json.dumps({"templates": templates, "context": context})))
    found: dict[str, dict[str, str]] = {name: {} for name in steps}
    for name, value in values.items():
        step, _, key = name.partition(" ")
        found[step][key] = value
    return found


def test_hostile_inputs_arrive_as_they_are() -> None:
    inputs = {name: _HOSTILE + name for name in _action()["inputs"]}
    step = {"outputs": {"python": "", "python-path": "/python", "token": "t", "url": "u", "v2": "true"}}
    environment = _evaluated({"inputs": inputs, "steps": {"find": step, "setup": step, "cache": step}})
    assert json.loads(environment["build"]["COOPERY_INPUTS"]) == inputs
    assert environment["build"]["COOPERY_PYTHON"] == "/python"


def _cache_env(directory: Path, **variables: str) -> tuple[dict[str, str], list[Command]]:
    output = directory / "output"
    output.write_text("")
    done = subprocess.run(
        [_client("node"), str(ACTION / "cache-env" / "index.js")],
        env={"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(output), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return read_outputs(output), obeyed(done.stdout + done.stderr)


def test_only_the_build_gets_the_way_to_the_cache(tmp_path: Path) -> None:
    """From what node actions get, through the sub-action's outputs, into the environment of one step."""
    token, url = "eyJhbGciOi.eyJhYyI6IltdIn0.c2lnbmF0dXJl-_", "https://results-receiver.actions.githubusercontent.com/"
    handed, commands = _cache_env(
        tmp_path, ACTIONS_RUNTIME_TOKEN=token, ACTIONS_RESULTS_URL=url, ACTIONS_CACHE_SERVICE_V2="true"
    )
    assert commands == [Command("add-mask", token)]
    nothing = {"outputs": {"python": "/p", "python-path": ""}}
    context = {"inputs": {}, "steps": {"find": nothing, "setup": nothing, "cache": {"outputs": handed}}}
    environment = _evaluated(context)
    assert {name: token in json.dumps(values) for name, values in environment.items()} == {
        "find": False,
        "setup": False,
        "cache": False,
        "build": True,
    }
    assert environment["build"]["ACTIONS_RESULTS_URL"] == url
    assert environment["build"]["ACTIONS_CACHE_SERVICE_V2"] == "true"


@pytest.mark.parametrize("token", ["", "a\n::set-env name=A::b", "a b", "a\r##[add-path]/evil"])
def test_what_is_no_token_is_not_handed_on(token: str, tmp_path: Path) -> None:
    handed, commands = _cache_env(tmp_path, ACTIONS_RUNTIME_TOKEN=token, ACTIONS_RESULTS_URL="u\ntoken=evil")
    assert (handed["token"], handed["url"], handed["v2"]) == ("", "u\ntoken=evil", "")
    assert commands == []


@pytest.mark.parametrize("place", ["link", "file", "folder"])
def test_what_lies_in_the_workspace_is_not_followed(place: str, tmp_path: Path) -> None:
    """A checkout may hold a link where the sub-action's copy goes."""
    workspace, outside = tmp_path / "workspace", tmp_path / "outside"
    workspace.mkdir()
    outside.mkdir()
    (outside / "index.js").write_text("theirs")
    target = workspace / ".coopery-cache-env"
    if place == "link":
        target.symlink_to(outside)
    elif place == "file":
        target.write_text("theirs")
    else:
        target.mkdir()
        (target / "index.js").write_text("theirs")
    (workspace / "pip.py").write_text("raise SystemExit('a module of the workspace was imported')")
    output = tmp_path / "output"
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(ACTION / "find-python.sh")],
        env=os.environ
        | {"GITHUB_WORKSPACE": str(workspace), "GITHUB_ACTION_PATH": str(ACTION), "GITHUB_OUTPUT": str(output)},
        cwd=workspace,
        check=True,
    )
    assert (outside / "index.js").read_text() == "theirs"
    assert (target / "index.js").read_text() == (ACTION / "cache-env" / "index.js").read_text()
    python = read_outputs(output)["python"]
    assert not python or os.access(python, os.X_OK)


def test_other_systems_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ACTION / "find-python.sh")],
        env={"PATH": os.environ["PATH"], "RUNNER_OS": "Windows", "GITHUB_WORKSPACE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (command,) = obeyed(done.stdout)
    assert (command.name, command.text) == ("error", "Coopery builds on Linux runners; this one is Windows.")
