"""`coopery build --call`: what can be asked of a Dockerfile, under buildx's names and in its forms."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from coopery.build import reading
from coopery.errors import Location, UsageError, did_you_mean
from coopery.progress import make_progress
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest

if TYPE_CHECKING:
    from coopery.dockerfile.instructions import Stage
    from coopery.engines.parameters import Parameters, Wanted

#: What can be asked, with other names of the same.
_METHODS = {"build": "build", "check": "check", "lint": "check", "outline": "outline", "targets": "targets"}
_FORMATS = {"check": ("text", "json", "sarif", "codeclimate"), "outline": ("text", "json"), "targets": ("text", "json")}


class Call(NamedTuple):
    """What `--call` asks for."""

    method: str
    form: str


def parse_call(text: str) -> Call:
    """`METHOD[,format=FORM]`. UsageError if there is no such thing."""
    name, *options = text.split(",")
    method = _METHODS.get(name)
    if method is None:
        hint = did_you_mean(name, _METHODS) or "it is build, check, outline or targets"
        raise UsageError(f"--call {name!r} isn't there", hint=hint)
    form = "text"
    for option in options:
        key, _, value = option.partition("=")
        forms = _FORMATS.get(method, ())
        if key != "format" or value not in forms:
            hint = f"write --call {method},format=FORM with one of {', '.join(forms)}" if forms else "leave it out"
            raise UsageError(f"--call {method} has no option {option!r}", hint=hint)
        form = value
    return Call(method, form)


def run_call(call: Call, request: BuildRequest, registries: RegistrySettings) -> None:
    """Answer `call`, which is for anything but a build."""
    if call.method == "check":
        from coopery.cli.check import run_check

        run_check(request, registries, call.form)
        return
    from coopery.engines import forecast

    board = make_progress("quiet", sys.stderr, environ=os.environ)
    with reading(request, board, os.environ, lambda value: board.redactor.add([value]), registries) as means:
        if call.method == "targets":
            stages = forecast.stages(request, *means)
            text = json.dumps(_targets_json(stages), indent=2) if call.form == "json" else _targets_text(stages)
        else:
            stage, found = forecast.parameters(request, *means)
            text = json.dumps(_outline_json(stage, found), indent=2) if call.form == "json" else _outline(stage, found)
    for warning in board.warnings:
        click.echo(f"WARNING: {warning}", err=True)
    click.echo(text)


# --------------------------------------------------------------------------------------------------------- outline


def _outline(stage: Stage, found: Parameters) -> str:
    from coopery.engines.parameters import described

    head = [f"TARGET:      {stage.name}"] if stage.name else []
    head += [f"DESCRIPTION: {told}"] if (told := described(stage.doc, stage.name)) else []
    return "\n\n".join(part for part in ("\n".join(head), parameters_text(found)) if part)


def _outline_json(stage: Stage, found: Parameters) -> dict[str, Any]:
    from coopery.engines.parameters import described

    value = {"name": stage.name, "description": described(stage.doc, stage.name)}
    return {key: text for key, text in value.items() if text} | parameters_json(found)


def parameters_text(found: Parameters) -> str:
    """Tables of ARGs, secrets, SSH agents and cache directories; those that there are."""
    arguments = [(one.name, one.value, one.description) for one in found.arguments]
    tables = [_table(("BUILD ARG", "VALUE", "DESCRIPTION"), arguments)] if arguments else []
    for title, wanted in (("SECRET", found.secrets), ("SSH", found.agents)):
        if wanted:
            tables.append(_table((title, "REQUIRED"), [(one.id, "true" if one.required else "") for one in wanted]))
    if found.caches:
        tables.append(_table(("CACHE MOUNT",), [(one.id,) for one in found.caches]))
    return "\n\n".join(tables)


def parameters_json(found: Parameters) -> dict[str, Any]:
    """The same under the names that BuildKit gives them (frontend/subrequests/outline)."""
    value: dict[str, Any] = {
        "args": [
            {
                "name": one.name,
                **({"description": one.description} if one.description else {}),
                **({"value": one.value} if one.value else {}),
                "location": _ranges(one.location),
            }
            for one in found.arguments
        ],
        "secrets": [_wanted(one) for one in found.secrets],
        "ssh": [_wanted(one) for one in found.agents],
        "cache": [{"ID": one.id, "location": _ranges(one.location)} for one in found.caches],
    }
    return {key: members for key, members in value.items() if members}


def _wanted(one: Wanted) -> dict[str, Any]:
    required = {"required": True} if one.required else {}
    return {"name": one.id, **required, "location": _ranges(one.location)}


def _ranges(location: Location) -> Mapping[str, Any]:
    return {"ranges": [{"start": {"line": location.line}, "end": {"line": location.end_line}}]}


# --------------------------------------------------------------------------------------------------------- targets


def _targets_text(stages: Sequence[Stage]) -> str:
    from coopery.engines.parameters import described

    def shown(stage: Stage) -> str:
        return f"{stage.name} (default)".strip() if stage is stages[-1] else stage.name

    return _table(("TARGET", "DESCRIPTION"), [(shown(stage), described(stage.doc, stage.name)) for stage in stages])


def _targets_json(stages: Sequence[Stage]) -> dict[str, Any]:
    from coopery.engines.parameters import described

    def one(stage: Stage) -> dict[str, Any]:
        value = {
            "name": stage.name,
            "default": stage is stages[-1],
            "description": described(stage.doc, stage.name),
            "base": stage.base,
            "platform": stage.platform,
        }
        return {key: found for key, found in value.items() if found} | {"location": _ranges(stage.location)}

    return {"targets": [one(stage) for stage in stages]}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns three spaces apart, as BuildKit prints them."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ("   ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)
