"""The report as files: for the step, which returns what result.json says, and for Jenkins' plugins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from coopery.ci.report import ImageResult, Report

REPORTS = "COOPERY_REPORTS"
#: Where the files go in the workspace if no step says otherwise.
DEFAULT = "coopery-report"
#: Bytes of the summary that checks of GitHub and others take (65535 characters).
_SUMMARY = 60_000
#: Characters of a message for the end of the log and the list of stages.
_MESSAGE = 1000


def directory(environ: Mapping[str, str]) -> str:
    """Where the files go."""
    return environ.get(REPORTS) or os.path.join(environ.get("WORKSPACE") or os.curdir, DEFAULT)


def write(report: Report, place: str) -> str:
    """Writes all files into the directory `place`; why that failed, or nothing.

    In a workspace anything may lie there already, put by whoever wrote the repository: links aren't followed.
    """
    try:
        os.makedirs(place, exist_ok=True)
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for name, text in contents(report).items():
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
                with open(os.open(name, flags, 0o644, dir_fd=folder), "w", encoding="utf-8", errors="replace") as file:
                    file.write(text)
        finally:
            os.close(folder)
    except OSError as error:
        return f"the report can't be written to {place}: {error.strerror}"
    return ""


def contents(report: Report) -> dict[str, str]:
    """The files by name."""
    from coopery.ci.rendering.codequality import code_quality
    from coopery.ci.rendering.jsonform import encode
    from coopery.ci.rendering.markdown import markdown
    from coopery.ci.rendering.sarif import sarif

    return {
        "result.json": json.dumps(result(report), indent=1),
        "report.json": encode(report),
        "report.md": markdown(report),
        "findings.sarif": json.dumps(sarif(report), indent=1),
        "code-quality.json": json.dumps(code_quality(report), indent=1),
    }


def result(report: Report) -> dict[str, object]:
    """What the step returns. Of several images `images` and `metadata` have all, by target; the rest is about the
    first."""
    from coopery.ci.rendering.inert import one_line
    from coopery.ci.rendering.markdown import markdown
    from coopery.ci.rendering.metadata import metadata
    from coopery.ci.rendering.words import heading

    error = report.error
    return {
        **(_image(report.images[0]) if report.images else {}),
        "images": {image.target: _image(image) for image in report.images},
        "metadata": metadata(report),
        "commit": report.revision.commit,
        "exitCode": report.exit_code,
        "title": heading(report),
        "summary": markdown(report, _SUMMARY),
        "error": {"message": one_line(error.message, _MESSAGE), "hint": one_line(error.hint, _MESSAGE)}
        if error
        else None,
    }


def _image(image: ImageResult) -> dict[str, object]:
    return {
        "digest": image.digest,
        "imageId": image.image_id,
        "tags": list(image.names),
        "version": image.version,
        "pushed": image.pushed,
        "platforms": list(image.platforms),
        "size": image.size,
        "labels": dict(image.labels),
        "annotations": dict(image.annotations),
    }
