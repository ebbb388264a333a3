"""The shared library as its users and their controllers see it: documents, style, the script sandbox."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from jenkins_pipelines import JARS, LIBRARY, ROOT, Agent, missing
from test_jenkins_step import PRETENDER

from coopery.ci.keys import ALIASES, KEYS

HERE = Path(__file__).parent
README = (LIBRARY / "README.md").read_text()
BLOCKS = re.findall(r"```groovy\n(.*?)```", README, re.DOTALL)


def groovy_name(key: str) -> str:
    return re.sub(r"-(.)", lambda match: match[1].upper(), key)


def own_arguments() -> set[str]:
    """What the step keeps to itself."""
    source = (LIBRARY / "src" / "coopery" / "Arguments.groovy").read_text()
    found = re.search(r"OWN = \[(.*?)\]", source, re.DOTALL)
    assert found
    return set(re.findall(r"'(\w+)'", found[1]))


def test_the_readme_has_every_argument_and_no_other() -> None:
    tables = README.partition("## Arguments")[2]
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert documented == {groovy_name(key) for key in [*KEYS, *ALIASES]} | own_arguments()


def test_the_steps_own_help_has_what_is_the_steps_own() -> None:
    text = (LIBRARY / "vars" / "cooperyBuild.txt").read_text()
    for name in own_arguments() | {"registries", "secrets"}:
        assert f"<code>{name}</code>" in text
    assert (LIBRARY / "vars" / "cooperyMerge.txt").exists()


def test_every_kind_of_binding_is_told() -> None:
    source = (LIBRARY / "src" / "coopery" / "Arguments.groovy").read_text()
    parts = re.search(r"PARTS = \[(.*?)\n    \]", source, re.DOTALL)
    assert parts
    for kind in re.findall(r"^ +(\w+): \[", parts[1], re.MULTILINE):
        assert f"`{kind}`" in README or f"type: '{kind}'" in README


@pytest.mark.parametrize("number", [0, 1], ids=["declarative", "scripted"])
def test_the_quick_starts_run(agent: Agent, number: int) -> None:
    agent.program(PRETENDER.replace('"digest"', '"tags": ["x"], "digest"'))
    agent.credentials |= {
        "ghcr": {"kind": "usernamePassword", "username": "ada", "password": "ghp_secret"},
        "npm-token": {"kind": "string", "value": "npm_secret"},
    }
    done = agent.run(BLOCKS[number])
    assert "called with: ci build" in done.log


def test_style(tmp_path: Path) -> None:
    node = os.environ.get("COOPERY_NODE_CLIENTS")
    modules = Path(node) if node else ROOT / ".venv" / "node" / "node_modules"
    lint = shutil.which("npm-groovy-lint") or shutil.which("npm-groovy-lint", path=str(modules / ".bin"))
    if lint is None or shutil.which("java") is None:
        pytest.skip("needs npm-groovy-lint and java")
    for folder in ("vars", "src"):
        shutil.copytree(LIBRARY / folder, tmp_path / folder)
    for number, block in enumerate(BLOCKS):
        (tmp_path / "vars" / f"readme{number}.groovy").write_text(block)
    command = [lint, "--noserver", "--no-insight", "--failon", "warning", "-c", HERE / "groovylint.json", "-o", "json"]
    done = subprocess.run([*command, "**/*.groovy"], cwd=tmp_path, capture_output=True, text=True)
    found = json.loads(done.stdout[done.stdout.index("{") :])
    files = found["files"]
    assert len(files) == 4 + len(BLOCKS)
    assert done.returncode == 0, done.stdout


#: What a sandboxed library may call: all of it is in script-security's generic-whitelist, under the names of the
#: classes that declare it (Comparable, Collection, CharSequence, the GDK), or in workflow-support's for the last.
ALLOWED = """\
index List
method Boolean compareTo
method GStringImpl plus
method GStringImpl toString
method Integer compareTo
method Integer next
method JsonSlurper parseText
method List add
method List addAll
method List contains
method List get
method List join
method List size
method Map containsKey
method Map entrySet
method Map get
method Map put
method Map putAll
method Map remove
method String compareTo
method String contains
method String endsWith
method String matches
method String plus
method String replace
method String toLowerCase
method String toString
method String toUpperCase
new JsonSlurper
new String
property Map
property Map.Entry key
property Map.Entry value
property NoSuchMethodError message
static JsonOutput toJson
static UUID randomUUID
method Causes getBuildCauses
"""


def test_nothing_needs_an_administrators_approval() -> None:
    if reason := missing():
        pytest.skip(reason)
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.lang", "java.util")]
    command = ["java", *opened, "-cp", f"{JARS}/*", "groovy.ui.GroovyMain", HERE / "sandbox_calls.groovy", LIBRARY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    calls = {line.strip() for line in done.stdout.splitlines()}
    assert "static UUID randomUUID" in calls
    assert calls <= set(ALLOWED.splitlines())


def test_no_text_of_others_is_part_of_a_shell_line() -> None:
    """The one script that is run comes out of a file; Groovy puts nothing into it."""
    sources = "".join(path.read_text() for path in LIBRARY.rglob("*.groovy"))
    assert re.findall(r"\bsh\(.*\)", sources) == ["sh(script: program, label: 'Coopery', returnStatus: true)"]
    assert "program = script.libraryResource('coopery/run.sh')" in sources
    script = (LIBRARY / "resources" / "coopery" / "run.sh").read_text()
    assert "eval" not in script
    subprocess.run(["sh", "-n", LIBRARY / "resources" / "coopery" / "run.sh"], check=True)
