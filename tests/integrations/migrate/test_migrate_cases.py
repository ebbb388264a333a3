"""What pipelines become, and whether the platforms' own checkers take it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from migrate_cases import ALL, ROOT, SOURCE, Case, Loader, of, put_in_place, steps_of

from coopery.ci.sources import inputs_layer
from coopery.ci.written import Faults
from coopery_github.inputs import Inputs
from coopery_gitlab.inputs import PREFIX, read_inputs


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def check(schema: str, files: list[Path], *options: str) -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", schema, *options, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def readable(settings: dict[str, object]) -> None:
    """Whether `coopery ci build` can read them."""
    faults = Faults()
    inputs_layer(settings, "a migrated step", faults)
    faults.check()


def written(platform: str, folder: Path) -> list[Path]:
    """The results that are whole files, as files."""
    files = []
    for case in of(platform):
        migrated = case.migrated()
        if migrated.whole:
            files.append(folder / f"{case.path.stem}.yml")
            text = migrated.text
            if text.lstrip("# \n").startswith("- ") or not re.search(r"^\w+:", text, re.M):
                text = "steps:\n" + text  # the agent takes the steps alone too; the schema doesn't
            files[-1].write_text(text)
    assert len(files) >= 4
    return files


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_what_it_becomes(case: Case) -> None:
    case.golden()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_it_is_done_once(case: Case) -> None:
    """A migrated pipeline has nothing to migrate, but what the notes say."""
    from coopery.errors import UsageError
    from coopery.migrate.migrate import migrate_file

    if not case.migrated().whole:
        return
    from migrate_cases import migrators

    with pytest.raises(UsageError, match="nothing that builds an image"):
        migrate_file(case.place, case.migrated().text, "", migrators(), SOURCE)


@pytest.mark.parametrize("case", [case for case in ALL if case.path.suffix == ".yml"], ids=lambda case: case.id)
def test_the_rest_stays_as_it_was(case: Case) -> None:
    """Comments too."""
    migrated = case.migrated()
    if not migrated.whole:
        return
    ours = [comment for comment in re.findall(r"#.*", case.text) if comment in migrated.text]
    lost = [comment for comment in re.findall(r"(?<=\s)#.*", case.text) if comment not in migrated.text]
    assert not [comment for comment in lost if "versions" not in comment], (lost, ours)


def test_data_is_json() -> None:
    for case in ALL:
        value = json.loads(json.dumps(case.migrated().data()))
        assert value["steps"]
        for step in value["steps"]:
            assert set(step) == {"title", "line", "text", "settings", "notes"}


# ------------------------------------------------------------------------------------------------ GitLab


def test_gitlab_takes_it(tmp_path: Path) -> None:
    check("vendor.gitlab-ci", written("gitlab", tmp_path), "--data-transform", "gitlab-ci")


@pytest.mark.parametrize("case", of("gitlab"), ids=lambda case: case.id)
def test_gitlab_template_has_what_is_used(case: Case) -> None:
    header = next(yaml.safe_load_all((ROOT / "integrations/gitlab/template.yml").read_text()))["spec"]["inputs"]
    pipeline = yaml.load(case.migrated().text, Loader)
    (included,) = [each for each in pipeline["include"] if "remote" in each and "coopery" in each["remote"]]
    assert set(included["inputs"]) <= set(header)
    stages = pipeline.get("stages", ["build", "test", "deploy"])
    assert included["inputs"].get("stage", "build") in stages
    jobs = [job for job in pipeline.values() if isinstance(job, dict) and ".coopery-build" in str(job.get("extends"))]
    assert jobs
    for job in jobs:
        values = {name: str(value) for name, value in job["variables"].items()}
        shown = put_in_place(values, r"(?<!\$)\$(?:\{\w+\}|\w+)")
        readable(read_inputs({name: text.replace("$$", "$") for name, text in shown.items()}))
        assert any(name.startswith(PREFIX) for name in values)


# ------------------------------------------------------------------------------------------------ GitHub


def test_github_takes_it(tmp_path: Path) -> None:
    check("vendor.github-workflows", written("github-action", tmp_path))


@pytest.mark.parametrize("case", of("github-action"), ids=lambda case: case.id)
def test_the_action_has_what_is_used(case: Case) -> None:
    action = yaml.safe_load((ROOT / "integrations/github-action/action.yml").read_text())
    value = yaml.safe_load(case.migrated().text)
    jobs: dict[str, Any] = value["jobs"] if isinstance(value, dict) else {"parts": {"steps": value}}
    steps = list(steps_of(jobs, SOURCE.repository))
    assert len(steps) == len(case.migrated().steps)
    for step in steps:
        assert set(step["with"]) <= set(action["inputs"])
        shown = put_in_place(step["with"], r"\$\{\{.*?\}\}")
        shown["push"] = "true" if shown["push"] == "x1" else shown["push"]
        inputs = Inputs({name: str(text) for name, text in shown.items() if str(text).strip()})
        readable(inputs.settings())
        inputs.logins(trusted=True)


# ------------------------------------------------------------------------------------------------ Buildkite


def test_buildkite_takes_it(tmp_path: Path) -> None:
    check("vendor.buildkite", written("buildkite", tmp_path))


@pytest.mark.parametrize("case", of("buildkite"), ids=lambda case: case.id)
def test_the_plugin_has_what_is_used(case: Case) -> None:
    schema = yaml.safe_load((ROOT / "integrations/buildkite/plugin.yml").read_text())["configuration"]
    found = list(_plugins(yaml.safe_load(case.migrated().text)))
    assert len(found) == len(case.migrated().steps)
    for configuration in found:
        jsonschema.validate(configuration, schema)
        readable(put_in_place(configuration, r"(?<!\$)\$(?:\{\w+\}|\w+)"))


def _plugins(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        mine = [each for name, each in value.items() if str(name).startswith(f"https://github.com/{SOURCE.repository}")]
        return mine + [found for each in value.values() for found in _plugins(each)]
    return [found for each in value for found in _plugins(each)] if isinstance(value, list) else []


# ------------------------------------------------------------------------------------------------ Jenkins


def test_groovy_compiles_it(tmp_path: Path) -> None:
    from jenkins_pipelines import JARS, missing

    if lacking := missing():
        pytest.skip(lacking)
    for case in of("jenkins"):
        text = re.sub(r"^@Library.*\n", "", case.migrated().text, flags=re.M)  # the annotation is Jenkins' own
        (tmp_path / f"{case.path.stem.replace('-', '_')}.groovy").write_text(text)
    script = f"new File('{tmp_path}').listFiles().each {{ new GroovyShell().parse(it); println it.name }}"
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", "groovy.ui.GroovyMain", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.split()) == len(of("jenkins"))


@pytest.mark.parametrize("case", of("jenkins"), ids=lambda case: case.id)
def test_the_step_has_what_is_used(case: Case) -> None:
    """Its settings, as text has them."""
    for step in case.migrated().steps:
        settings = dict(put_in_place(dict(step.settings), r"\$\{[^}]*\}"))
        readable(settings)
    assert "cooperyBuild(" in case.migrated().text


def test_settings_alone_are_a_settings_file(tmp_path: Path) -> None:
    from coopery.ci.sources import file_layer

    for case in of("plain"):
        path = tmp_path / "coopery.yaml"
        path.write_text(case.migrated().text)
        faults = Faults()
        file_layer(str(path), faults)
        faults.check()
