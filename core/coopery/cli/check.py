"""`coopery check`: what is wrong with a Dockerfile, and what could be better, without building it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from coopery.build import check
from coopery.cli.registry_options import registry_options
from coopery.cli.values import parse_build_args, parse_pairs
from coopery.errors import CooperyError, Location, excerpt
from coopery.oci.platform import Platform, host
from coopery.progress import make_progress
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest

if TYPE_CHECKING:
    from coopery.ci.report import Report
    from coopery.engines.checking import Checked
    from coopery.ports import Advice

#: The status when there are findings and nothing is an error: buildx's.
_FOUND = 1


@click.command("check", short_help="Check a Dockerfile without building it.")
@click.argument("context", default=".", required=False)
@click.option("--build-arg", multiple=True, metavar="KEY[=VALUE]", help="Set an ARG; without a value, from here.")
@click.option("--build-context", multiple=True, metavar="NAME=WHERE", help="As for build.")
@click.option("-f", "--file", "dockerfile", default="", metavar="PATH", help="The Dockerfile [CONTEXT/Dockerfile].")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "codeclimate"]),
    default="text",
    help="text, buildx's JSON, SARIF, or Code Climate's issues [text].",
)
@click.option("--platform", default="", metavar="OS/ARCH", help="The platform that would be built for.")
@click.option("--target", default="", metavar="STAGE", help="Check what this stage needs [all stages].")
@registry_options()
def command(
    context: str,
    build_arg: Sequence[str],
    build_context: Sequence[str],
    dockerfile: str,
    form: str,
    platform: str,
    target: str,
    registries: RegistrySettings,
) -> None:
    """Check a Dockerfile without building it, by the checks of BuildKit.

    Ends with status 1 if there are warnings, and with that of the error if there is one.
    """
    request = BuildRequest(
        context=context,
        dockerfile=dockerfile,
        target=target,
        build_args=parse_build_args(build_arg, os.environ),
        build_contexts=parse_pairs(build_context, "--build-context"),
        platforms=(Platform.parse(platform) if platform else host(),),
    )
    run_check(request, registries, form)


def run_check(request: BuildRequest, registries: RegistrySettings, form: str = "text") -> None:
    """Check the Dockerfile of `request` and print what was found, as `form` says. Raises the error, if there is one;
    ends the command with status 1 if there are warnings."""
    board = make_progress("quiet", sys.stderr, environ=os.environ)
    checked = check(request, board, os.environ, lambda value: board.redactor.add([value]), registries)
    for text in board.warnings:
        click.echo(f"WARNING: {text}", err=True)
    click.echo(_FORMS[form](checked))
    if checked.error:
        raise checked.error
    if checked.findings:
        raise click.exceptions.Exit(_FOUND)


def _text(checked: Checked) -> str:
    blocks = [_block(finding, checked.lines) for finding in checked.findings]
    counted = [_count(len(blocks), "warning")]
    if checked.error:
        counted.append(_count(len(checked.error.errors) or 1, "error"))
    return "\n\n".join([*blocks, f"Check complete: {', '.join(counted)}"])


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _block(finding: Advice, lines: Sequence[str]) -> str:
    head = f"WARNING: {finding.rule} - {finding.url}\n{finding.location}: {finding.message}"
    return "\n".join([head, excerpt(lines, finding.location), f"hint: {finding.hint}"])


def _json(checked: Checked) -> str:
    """What `docker buildx build --call=check,format=json` prints, with hints, less the Dockerfile itself."""
    value: dict[str, Any] = {
        "warnings": [
            {
                "ruleName": finding.rule,
                "description": finding.description,
                "url": finding.url,
                "detail": finding.message,
                "hint": finding.hint,
                "location": _ranges(finding.location),
            }
            for finding in checked.findings
        ]
    }
    if checked.error:
        value["buildError"] = error_json(checked.error)
        value["errors"] = [error_json(error) for error in checked.error.errors or (checked.error,)]
    return json.dumps(value, indent=2)


def error_json(error: CooperyError) -> dict[str, Any]:
    """An error with its place."""
    value: dict[str, Any] = {"message": error.message, "hint": error.hint}
    return value | ({"location": _ranges(error.location)} if error.location else {})


def _ranges(location: Location) -> dict[str, Any]:
    return {"file": location.file, "ranges": [{"start": {"line": location.line}, "end": {"line": location.end_line}}]}


def _sarif(checked: Checked) -> str:
    from coopery.ci.rendering.sarif import sarif

    descriptions = {finding.rule: finding.description for finding in checked.findings}
    return json.dumps(sarif(_report(checked), descriptions), indent=2)


def _code_climate(checked: Checked) -> str:
    from coopery.ci.rendering.codequality import code_quality

    return json.dumps(code_quality(_report(checked)), indent=2)


def _report(checked: Checked) -> Report:
    from coopery.ci.collect import advised, failure
    from coopery.ci.report import Report
    from coopery.ci.revision import Revision

    error = checked.error
    errors = [failure(each) for each in error.errors or (error,)] if error else []
    return Report(revision=Revision(event="other"), findings=(*errors, *advised(checked.findings)))


_FORMS: Mapping[str, Callable[[Checked], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "codeclimate": _code_climate,
}
