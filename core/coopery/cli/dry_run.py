"""`coopery build --dry-run`: what a build would do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from coopery.build import reading
from coopery.cli.call import parameters_json, parameters_text
from coopery.cli.check import error_json
from coopery.engines.forecast import Forecast, ForeseenImage, ForeseenPlatform, ForeseenStage, ForeseenStep, forecast
from coopery.progress import make_progress
from coopery.progress.amounts import human_size
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest

_SHORT = len("sha256:") + 12


def run_dry_run(request: BuildRequest, registries: RegistrySettings, form: str) -> None:
    """Print what a build of `request` would do, as `form` says. Raises what would end it, as far as that is known."""
    board = make_progress("quiet", sys.stderr, environ=os.environ)
    with reading(request, board, os.environ, lambda value: board.redactor.add([value]), registries) as means:
        found = forecast(request, *means)
    click.echo(json.dumps(_json(found), indent=2, ensure_ascii=False) if form == "json" else "\n".join(_text(found)))
    for text in (*board.warnings, *found.warnings, *(one.text for one in found.findings)):
        click.echo(f"WARNING: {text}", err=True)
    if found.error:
        raise found.error


# ------------------------------------------------------------------------------------------------------------ text


def _text(found: Forecast) -> Iterator[str]:
    yield f"Dockerfile: {found.dockerfile.path}"
    for name, where in found.contexts.items():
        yield f"context {name}: {where}" if name else f"context: {where}"
    for platform in found.platforms:
        yield ""
        yield f"Platform {platform.platform}"
        for stage in platform.stages:
            yield ""
            yield from _stage(stage)
        if platform.images:
            yield ""
            yield "Images"
            yield from (f"  {image.name}: {_image(image)}" for image in platform.images)
        if text := parameters_text(platform.parameters):
            yield ""
            yield text
    yield ""
    yield _summary(found)


def _stage(stage: ForeseenStage) -> Iterator[str]:
    mark = " (target)" if stage.target else ""
    yield f"Stage {stage.name or stage.index}{mark}, line {stage.location.line}: FROM {stage.base}"
    if stage.note:
        yield f"  note: {stage.note}"
    for step in stage.steps:
        key = str(step.key)[:_SHORT] if step.key else "-"
        yield f"  {step.fate:<7}  {step.location.line:>4}  {key:<{_SHORT}}  {step.title}"
        if step.note:
            yield f"           note: {step.note}"


def _image(image: ForeseenImage) -> str:
    if image.size is None:
        return image.note
    pull = f"{human_size(image.to_pull)} to pull" if image.to_pull else "nothing to pull"
    return f"{image.digest}, {human_size(image.size)}, {pull}"


def _summary(found: Forecast) -> str:
    steps = [step for platform in found.platforms for stage in platform.stages for step in stage.steps]
    counts = {fate: sum(step.fate == fate for step in steps) for fate in ("run", "cached", "spared", "unknown")}
    told = ", ".join(f"{count} {'to run' if fate == 'run' else fate}" for fate, count in counts.items() if count)
    pull = sum(image.to_pull or 0 for platform in found.platforms for image in platform.images)
    return f"Nothing was built. Steps: {told or 'none'}. To pull: {human_size(pull) if pull else 'nothing known'}."


# ------------------------------------------------------------------------------------------------------------ JSON


def _json(found: Forecast) -> dict[str, Any]:
    value: dict[str, Any] = {
        "dockerfile": found.dockerfile.path,
        "contexts": dict(found.contexts),
        "platforms": [_platform(platform) for platform in found.platforms],
        "warnings": [*found.warnings, *(one.text for one in found.findings)],
    }
    if found.error:
        value["errors"] = [error_json(error) for error in found.error.errors or (found.error,)]
    return value


def _platform(platform: ForeseenPlatform) -> dict[str, Any]:
    return {
        "platform": str(platform.platform),
        "stages": [
            {
                "index": stage.index,
                "name": stage.name,
                "target": stage.target,
                "platform": str(stage.platform),
                "base": stage.base,
                "line": stage.location.line,
                "steps": _steps(stage.steps),
                **_noted(stage.note),
            }
            for stage in platform.stages
        ],
        "images": [
            {
                "name": image.name,
                "platform": str(image.platform),
                "digest": str(image.digest) if image.digest else None,
                "size": image.size,
                "toPull": image.to_pull,
                **_noted(image.note),
            }
            for image in platform.images
        ],
        **parameters_json(platform.parameters),
    }


def _steps(steps: Sequence[ForeseenStep]) -> list[dict[str, Any]]:
    return [
        {
            "title": step.title,
            "line": step.location.line,
            "endLine": step.location.end_line,
            "key": str(step.key) if step.key else None,
            "fate": step.fate,
            **_noted(step.note),
        }
        for step in steps
    ]


def _noted(note: str) -> dict[str, str]:
    return {"note": note} if note else {}
