"""Where a report goes: an annotation on the build's page, meta-data for later jobs, an artifact."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping

from coopery.ci.rendering.jsonform import encode
from coopery.ci.rendering.markdown import markdown
from coopery.ci.report import ImageResult, Report
from coopery_buildkite.agent import Agent, Refused

#: The most that an annotation holds, in bytes (buildkite-agent, clicommand/annotate.go).
LARGEST_ANNOTATION = 1 << 20
#: The most that a value of meta-data holds, in bytes (buildkite.com/docs, "Using build meta-data").
LARGEST_VALUE = 100_000
#: What the report's artifact is called.
ARTIFACT = "coopery-report.json"
# What makes a job differ from the others of its build and yet be the same when it is retried.
_SAME_JOB = (
    "BUILDKITE_STEP_KEY",
    "BUILDKITE_STEP_ID",
    "BUILDKITE_PARALLEL_JOB",
    "BUILDKITE_LABEL",
    "BUILDKITE_PLUGIN_CONFIGURATION",
)


def publish(report: Report, agent: Agent, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Hand `report` to Buildkite. `say` is told what it doesn't take."""
    if agent.program is None:
        say("there is no buildkite-agent on the PATH: this build gets no annotation, meta-data or artifact")
        return
    link = ""
    try:
        _upload(encode(report), agent)
        link = f'\n\n<a href="artifact://{ARTIFACT}">The whole report</a>\n'
    except Refused as refusal:
        say(f"the report was not kept as an artifact: {refusal}")
    text = markdown(report, LARGEST_ANNOTATION - len(link)) + link
    try:
        agent.run("annotate", f"--style={style(report)}", f"--context={context(environ)}", stdin=text)
    except Refused as refusal:
        say(f"the report was not shown as an annotation: {refusal}")
    try:
        for key, value in meta_data(report):
            if len(value.encode(errors="replace")) > LARGEST_VALUE:
                say(f"the meta-data {key} is too long for Buildkite and was left out")
            else:
                agent.run("meta-data", "set", key, stdin=value)
    except Refused as refusal:
        say(f"later jobs get no meta-data of this build: {refusal}")


def style(report: Report) -> str:
    """The annotation's colour."""
    if report.error:
        return "error"
    return "warning" if any(finding.level == "warning" for finding in report.findings) else "success"


def context(environ: Mapping[str, str]) -> str:
    """What the annotation goes by: a job that is retried replaces its own and no other's."""
    told = json.dumps([environ.get(name, "") for name in _SAME_JOB])
    return f"coopery-{hashlib.sha256(told.encode(errors='replace')).hexdigest()[:16]}"


def meta_data(report: Report) -> Iterator[tuple[str, str]]:
    """Keys and values that aren't empty: `coopery:digest`, of a target `coopery:TARGET:digest`, and so on.

    Images for one platform, which parallel jobs build, have theirs besides under `coopery:TARGET:OS/ARCH:digest`.
    """
    for image in report.images:
        starts = [_key(image.target)]
        if len(image.platforms) == 1:
            starts.append(_key(image.target, image.platforms[0]))
        for start in starts:
            yield from ((f"{start}:{name}", value) for name, value in _values(image).items() if value.strip())


def _key(*parts: str) -> str:
    return ":".join(("coopery", *(part for part in parts if part)))


def _values(image: ImageResult) -> dict[str, str]:
    return {
        "digest": image.digest,
        "image-id": image.image_id,
        "version": image.version,
        "names": "\n".join(image.names),
        "pushed": "true" if image.pushed else "false",
    }


def _upload(text: str, agent: Agent) -> None:
    with tempfile.TemporaryDirectory(prefix="coopery-") as directory:
        with open(os.path.join(directory, ARTIFACT), "w", encoding="utf-8") as file:
            file.write(text)
        agent.run("artifact", "upload", ARTIFACT, cwd=directory)
