"""What GitHub's runner makes of a step's output and files, and the captured environments of jobs.

Written after actions/runner (ActionCommandManager.cs, ActionCommand.cs, FileCommandManager.cs), for tests alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ACTION = HERE.parents[2] / "integrations" / "github-action"
SHARED = HERE.parent / "environments" / "github-action"
OWN = HERE / "environments"
COMMIT = "6f1c0f4b2f0e5c8a3d9b7e6a5c4d3e2f1a0b9c8d"

_KNOWN = frozenset(
    {"add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher"}
    | {"save-state", "set-env", "set-output", "stop-commands", "warning"}
)
_LINE_ENDS = re.compile("\r\n|\r|\n")


@dataclass(frozen=True)
class Command:
    """One order that the runner took."""

    name: str
    text: str
    properties: dict[str, str] = field(default_factory=dict)


def obeyed(output: str) -> list[Command]:
    """The commands in a step's output that the runner would follow, in order."""
    taken: list[Command] = []
    token = ""
    for line in _LINE_ENDS.split(output):
        command = _parse(line, _KNOWN | {token.lower()} if token else _KNOWN)
        if command is None:
            continue
        if token:
            if command.name.lower() == token.lower():
                token = ""
        elif command.name.lower() == "stop-commands":
            token = command.text
        else:
            taken.append(command)
    return taken


def _parse(line: str, known: frozenset[str] | set[str]) -> Command | None:
    text = line.lstrip()
    if text.startswith("::") and (end := text.find("::", 2)) >= 0:
        name, _, rest = text[2:end].partition(" ")
        if name.lower() in known:
            return Command(name, _data(text[end + 2 :]), _properties(rest, ","))
    start = line.find("##[")
    if start >= 0 and (end := line.find("]", start)) >= 0:
        name, _, rest = line[start + 3 : end].partition(" ")
        if name.lower() in known:
            return Command(name, line[end + 1 :], _properties(rest, ";"))
    return None


def _properties(text: str, separator: str) -> dict[str, str]:
    found = {}
    for part in text.split(separator):
        name, equals, value = part.strip().partition("=")
        if equals and name and value:
            found[name] = _data(value.replace("%3A", ":").replace("%2C", ","))
    return found


def _data(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def read_outputs(path: Path) -> dict[str, str]:
    """The values of a GITHUB_OUTPUT file, as the runner reads it; ValueError where it would fail the step."""
    lines = path.read_bytes().decode().replace("\r\n", "\n").split("\n")
    found: dict[str, str] = {}
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            found[line[:equals]] = line[equals + 1 :]
        elif heredoc >= 0:
            name, mark = line[:heredoc], line[heredoc + 2 :]
            end = lines.index(mark, position)
            found[name] = "\n".join(lines[position:end])
            position = end + 1
        else:
            raise ValueError(f"invalid format {line!r}")
    return found


def environment(name: str, directory: Path) -> dict[str, str]:
    """The variables of a captured job, its files made below `directory`."""
    place = SHARED / f"{name}.json"
    captured = json.loads((place if place.exists() else OWN / f"{name}.json").read_text())
    for file, content in captured["files"].items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(content)
    (directory / "file_commands").mkdir(exist_ok=True)
    (directory / "_temp").mkdir(exist_ok=True)
    return {variable: value.replace("{dir}", str(directory)) for variable, value in captured["environ"].items()}


def scenarios() -> list[str]:
    """The names of all captured jobs."""
    return sorted(path.stem for folder in (SHARED, OWN) for path in folder.glob("*.json"))
