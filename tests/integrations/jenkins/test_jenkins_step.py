"""What the step does around the program: installing it, handing it things, showing its report, cleaning up."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from jenkins_pipelines import Agent

#: A program that shows what it was told, and writes a report.
PRETENDER = """\
#!/bin/sh
echo "called with: $*"
echo "inputs: $COOPERY_INPUTS"
echo "facts: $COOPERY_JENKINS"
mkdir -p "$COOPERY_REPORTS"
cd "$COOPERY_REPORTS"
printf '{"digest": "sha256:1", "title": "Image pushed", "summary": "all well", "error": null}' > result.json
echo '{}' > findings.sarif
echo 'all well' > report.md
"""


def scripted(arguments: str, step: str = "cooperyBuild") -> str:
    return f"@Library('coopery') _\nnode {{\n    give {step}({arguments})\n}}\n"


@pytest.fixture
def pretender(agent: Agent) -> Agent:
    """An agent whose `coopery` only pretends."""
    agent.program(PRETENDER)
    return agent


def line(log: str, start: str) -> dict[str, object]:
    """The JSON on the line of the log that begins with `start`."""
    found = next(each for each in log.splitlines() if each.startswith(start))
    value: dict[str, object] = json.loads(found.removeprefix(start))
    return value


def test_the_report_goes_to_the_plugins_that_are_there(pretender: Agent) -> None:
    done = pretender.run(scripted("image: 'registry.example/shop', name: 'web'"))
    assert done.returned["digest"] == "sha256:1"
    assert done.archived["web/report.md"] == "all well\n"
    assert "web/result.json" not in done.archived
    (check,) = done.called("publishChecks")
    assert check[0] == {
        "name": "Coopery / web",
        "title": "Image pushed",
        "summary": "Image pushed",
        "text": "all well",
        "conclusion": "SUCCESS",
    }
    assert done.called("recordIssues")[0][0]["tools"][0]["id"] == "web"
    assert done.left == []


def test_without_plugins_the_step_says_so_and_goes_on(pretender: Agent) -> None:
    pretender.plugins = ()
    done = pretender.run(scripted("image: 'registry.example/shop'"))
    assert done.returned["digest"] == "sha256:1"
    assert "this Jenkins has no step recordIssues" in done.log
    assert "this Jenkins has no step publishChecks" in done.log
    assert done.left == []


def test_what_isnt_wanted_isnt_shown(pretender: Agent) -> None:
    done = pretender.run(scripted("image: 'registry.example/shop', archive: false, checks: false, issues: false"))
    assert done.archived == {}
    assert not done.called("publishChecks") + done.called("recordIssues")


def test_arguments_and_facts_reach_the_program(pretender: Agent) -> None:
    pretender.causes = ["hudson.triggers.TimerTrigger$TimerTriggerCause"]
    done = pretender.run(
        scripted(
            "image: 'registry.example/shop', buildArgs: [A: 1, 'b-C': true], dryRun: true, defaultBranch: 'trunk',"
            "commit: 'abc', targets: ['web'], secrets: [npm: [env: 'NPM'], x: [file: 'y']],"
            "registries: [[host: 'registry.example', mirror: ['m.example'], plainHttp: true]]"
        )
    )
    assert "called with: ci build --dry-run" in done.log
    assert line(done.log, "inputs: ") == {
        "image": "registry.example/shop",
        "buildArgs": {"A": 1, "b-C": True},
        "targets": ["web"],
        "secrets": {"npm": {"env": "NPM"}, "x": {"file": "y"}},
        "registries": {"registry.example": {"mirror": ["m.example"], "plainHttp": True}},
    }
    assert line(done.log, "facts: ") == {
        "causes": ["hudson.triggers.TimerTrigger$TimerTriggerCause"],
        "default-branch": "trunk",
        "commit": "abc",
        "bound": [],
    }


def test_merging_and_a_container_of_a_pod(pretender: Agent) -> None:
    done = pretender.run(scripted("image: 'registry.example/shop', container: 'coopery'", "cooperyMerge"))
    assert "called with: ci merge" in done.log
    assert done.called("container")[0][0] == "coopery"


@pytest.mark.parametrize(
    ("environ", "withheld"),
    [
        ({"CHANGE_ID": "7", "CHANGE_BRANCH": "x"}, False),
        ({"CHANGE_ID": "7"}, True),
        (
            {"ghprbPullId": "7", "ghprbGhRepository": "a/b", "ghprbAuthorRepoGitUrl": "https://github.com/a/b.git"},
            False,
        ),
        ({"ghprbPullId": "7", "ghprbGhRepository": "a/b", "ghprbAuthorRepoGitUrl": "https://github.com/m/b.git"}, True),
        ({"gitlabMergeRequestIid": "7", "gitlabSourceRepoHttpUrl": "m", "gitlabTargetRepoHttpUrl": "a"}, True),
    ],
)
def test_changes_that_may_be_anybodys_get_no_secrets(pretender: Agent, environ: dict[str, str], withheld: bool) -> None:
    pretender.environ |= environ
    pretender.credentials["npm"] = {"kind": "string", "value": "npm_secret"}
    done = pretender.run(scripted("image: 'registry.example/shop', secrets: [npm: 'npm']"))
    assert ("its steps get no secrets: npm" in done.log) == withheld
    assert ("COOPERY_BOUND_0_VALUE" in done.variables()) != withheld


WRONG = {
    "registries: [[credentialsId: 'x']]": "has no host",
    "registries: [[host: 'a.example', credentialsId: 'x', type: 'string']]": "username",
    "registries: [[host: 'a.example', credentialsId: 'x', type: 'zip']]": "can't use a credential of type zip",
    "registries: 'a.example'": "registries is a list",
    "secrets: [npm: [type: 'sting', credentialsId: 'x']]": "can't use a credential of type sting",
    "secrets: [npm: '']": "has no credentialsId",
    "identityTokens: 'x'": "identityTokens is a map",
    "name: '../x'": "name takes letters",
    "secrets: [npm: 'nobody']": "Could not find credentials entry",
    "registries: [[host: 'a', credentialsId: 'one', type: 'aws'], [host: 'b', credentialsId: 'two', type: 'aws']]": (
        "only one credential of type aws"
    ),
    "registries: [[type: 'file', credentialsId: 'one'], [type: 'file', credentialsId: 'two']]": (
        "only one credential of type file"
    ),
}


def test_wrong_arguments_end_the_step_before_anything_runs(pretender: Agent) -> None:
    attempts = "\n".join(
        f"    try {{ cooperyBuild({arguments}) }} catch (Exception error) {{ said.add(error.message) }}"
        for arguments in WRONG
    )
    done = pretender.run(f"@Library('coopery') _\nnode {{\n    List said = []\n{attempts}\n    give said\n}}\n")
    assert len(done.returned) == len(WRONG)
    for said, message in zip(done.returned, WRONG.values(), strict=True):
        assert message in said
    assert not done.called("sh")
    assert done.left == []


def test_a_program_that_ends_without_a_report(agent: Agent) -> None:
    agent.program("#!/bin/sh\nexit 2\n")
    done = agent.run(scripted("image: 'registry.example/shop'"), check=False)
    assert done.aborted
    assert "status 2" in str(done.error)
    assert done.left == []


def test_an_aborted_job_stops_the_program_and_cleans_up(agent: Agent) -> None:
    agent.abort = str(agent.folder / "started")
    agent.credentials["key"] = {"kind": "file", "name": "key", "value": "KEY"}
    agent.program(f"""\
#!/usr/bin/env python3
import os, pathlib, signal, sys, time
def stop(*_):
    pathlib.Path("{agent.folder}/stopped").write_text(str(os.getpid()))
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(os.environ["COOPERY_REPORTS"]).mkdir(parents=True)
pathlib.Path("{agent.abort}").touch()
while True:
    time.sleep(60)
""")
    done = agent.run(scripted("image: 'registry.example/x', secrets: [k: [type: 'file', credentialsId: 'key']]"), False)
    assert done.error == "Queue task was cancelled"
    pid = (agent.folder / "stopped").read_text()  # the program itself got the signal: no shell was in between
    assert not os.path.exists(f"/proc/{pid}")
    assert [path for path in done.left if not path.endswith("secretFiles")] == []


# ------------------------------------------------------------------------------------------------ installing


def wheel(folder: Path) -> Path:
    """A package that brings a `coopery`, which says where it is."""
    path = folder / "coopery-9.9-py3-none-any.whl"
    info = "coopery-9.9.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pretended.py", "import sys\ndef main():\n    print('installed:', sys.argv)\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: coopery\nVersion: 9.9\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ncoopery = pretended:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_an_agent_without_coopery_gets_it_once(agent: Agent) -> None:
    package = wheel(agent.folder)
    text = scripted(f"image: 'registry.example/shop', install: '{package}'")
    first, second = agent.run(text), agent.run(text)
    assert "Coopery: installing" in first.log
    assert "Coopery: installing" not in second.log
    for done in (first, second):
        assert "/bin/coopery', 'ci', 'build']" in done.log
    tools = agent.folder / "home" / ".cache" / "coopery-jenkins" / "tools"
    assert len(list(tools.iterdir())) == 2  # the environment, and the link to it


@pytest.mark.parametrize(
    ("install", "message"),
    [
        ("false", "there is no coopery on PATH"),
        ("''", "there is no coopery on PATH"),
        ("'-r/etc/passwd'", "can't begin with -"),
    ],
)
def test_what_cant_be_installed(agent: Agent, install: str, message: str) -> None:
    done = agent.run(scripted(f"image: 'registry.example/shop', install: {install}"), check=False)
    assert done.aborted
    assert message in done.log


def test_an_installation_that_fails_leaves_nothing(agent: Agent) -> None:
    broken = agent.folder / "coopery-1-py3-none-any.whl"
    broken.write_text("no wheel")
    done = agent.run(scripted(f"image: 'registry.example/shop', install: '{broken}'"), check=False)
    assert done.aborted
    assert list((agent.folder / "home" / ".cache" / "coopery-jenkins" / "tools").iterdir()) == []
