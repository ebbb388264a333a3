"""Where a report goes: outputs for later steps and jobs, annotations, the job's summary."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Set

from coopery.ci.report import Finding, ImageResult, Report
from coopery_github.commands import Commands

#: GitHub shows so many annotations of a level from one step (docs.github.com, "Workflow commands", and the runner).
MOST_ANNOTATIONS = 10
#: Bytes of a step's summary: a larger one is dropped whole (docs.github.com, "Adding a job summary").
LARGEST_SUMMARY = 1 << 20
#: Characters of an annotation: far more than is shown.
_LONGEST_ANNOTATION = 4000


def outputs(report: Report, separators: Mapping[str, str]) -> dict[str, str]:
    """The action's outputs: those of build-push-action and metadata-action, under their names.

    Of several images `metadata` and `json` are about all, by target, and the others about the first. `separators` are
    the texts between tags, labels and annotations, a newline where none is given.
    """
    if not report.images:
        return {}
    first = report.images[0]
    several = len(report.images) > 1
    metadata = {image.target: _metadata(image) for image in report.images} if several else _metadata(first)
    described = {image.target: _described(image) for image in report.images} if several else _described(first)
    return {
        "imageid": first.image_id or first.digest,  # as build-push-action has it for an index
        "digest": first.digest,
        "metadata": _json(metadata),
        "version": first.version,
        "tags": separators.get("tags", "\n").join(first.names),
        "tag-names": separators.get("tags", "\n").join(_tag_names(first)),
        "labels": separators.get("labels", "\n").join(_lines(first.labels)),
        "annotations": separators.get("annotations", "\n").join(_annotations(first)),
        "json": _json(described),
        "pushed": "true" if first.pushed else "false",
    }


def write_outputs(path: str, values: Mapping[str, str]) -> None:
    """Append `values` to the file that GITHUB_OUTPUT names. No value can end its own part and begin another's."""
    with open(path, "a", encoding="utf-8", errors="replace", newline="") as stream:
        for name, value in values.items():
            mark = f"coopery_{secrets.token_hex(16)}"
            # The runner also ends lines at a lone carriage return; the mark would still be one nobody can guess.
            stream.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def annotate(commands: Commands, report: Report, noticed: Set[str]) -> None:
    """Annotations for the error and the findings, at their places in the repository, but for what people were told
    already.
    """
    findings = [report.error] if report.error else []
    findings += [finding for finding in report.findings if finding.message not in noticed]
    for level in ("error", "warning", "notice"):
        found = [finding for finding in findings if finding.level == level]
        shown = found if len(found) <= MOST_ANNOTATIONS else found[: MOST_ANNOTATIONS - 1]
        for finding in shown:
            commands.give(
                level,
                _message(finding),
                file=finding.file,
                line=finding.line,
                endLine=finding.end_line,
                col=finding.column,
                title=finding.rule or "Coopery",
            )
        if len(shown) < len(found):
            commands.give(level, f"{len(found) - len(shown)} more are in the log and the summary.", title="Coopery")


def write_summary(path: str, report: Report) -> None:
    """Append the report to the file that GITHUB_STEP_SUMMARY names, shortened to what GitHub takes."""
    from coopery.ci.rendering.markdown import markdown

    with open(path, "ab") as stream:
        room = LARGEST_SUMMARY - stream.tell()
        data = markdown(report, room).encode(errors="replace")
        if len(data) <= room:
            stream.write(data)


def _message(finding: Finding) -> str:
    from coopery.ci.rendering.inert import lines

    text = "\n".join(line for text in (finding.message, finding.hint, finding.detail) if text for line in lines(text))
    return text if len(text) <= _LONGEST_ANNOTATION else f"{text[:_LONGEST_ANNOTATION]}…"


def _metadata(image: ImageResult) -> dict[str, object]:
    """As buildx's --metadata-file has it."""
    descriptor = {"mediaType": image.media_type, "digest": image.digest, "size": image.manifest_size}
    value: dict[str, object] = {
        "containerimage.config.digest": image.image_id,
        "containerimage.descriptor": descriptor,
        "containerimage.digest": image.digest,
    }
    if image.names:
        value["image.name"] = ",".join(image.names)
    return {name: each for name, each in value.items() if each}


def _described(image: ImageResult) -> dict[str, object]:
    """As metadata-action's `json` output has it."""
    return {
        "tags": list(image.names),
        "tag-names": _tag_names(image),
        "labels": dict(image.labels),
        "annotations": _annotations(image),
    }


def _tag_names(image: ImageResult) -> list[str]:
    return list(dict.fromkeys(name.rpartition(":")[2] for name in image.names))


def _annotations(image: ImageResult) -> list[str]:
    lines = _lines(image.annotations)
    return [line if line.startswith(("manifest:", "index:")) else f"manifest:{line}" for line in lines]


def _lines(pairs: Mapping[str, str]) -> list[str]:
    # One line each, whatever the values hold: what splits the output by lines must find as many as there are.
    return [f"{name}={' '.join(value.splitlines())}" for name, value in pairs.items()]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
