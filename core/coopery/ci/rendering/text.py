"""The report as plain lines, for logs and terminals.

Everything from outside is printable, and no line begins with it: no log can take it for a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coopery.ci.rendering.inert import lines, one_line
from coopery.ci.rendering.words import cache_sentence, heading, result, time, traffic_sentence
from coopery.ci.report import Finding, ImageResult, Report, StepResult
from coopery.progress.amounts import human_size, human_time

_LEVELS = {"error": "ERROR", "warning": "WARNING", "notice": "NOTICE"}


def text(report: Report) -> str:
    """The report as lines, the last one ended too."""
    said = [f"{heading(report)} in {human_time(report.seconds)}"]
    for finding in report.findings:
        said += _finding(finding)
    for image in report.images:
        said += _image(image)
    if report.error:
        if report.steps:
            said += ["Steps of the build that failed", *_steps(report.steps)]
        said += _finding(report.error)
    return "\n".join(said) + "\n"


def _image(image: ImageResult) -> Iterator[str]:
    platforms = ", ".join(one_line(platform) for platform in image.platforms)
    facts = [one_line(image.digest), human_size(image.size), platforms, human_time(image.seconds)]
    yield f"Image {one_line(image.target)}".rstrip()
    for name in image.names:
        yield f"  name    {one_line(name)}"
    yield f"  is      {'  '.join(fact for fact in facts if fact)}"
    sentences = (cache_sentence(image.cache), traffic_sentence(image.cache))
    for sentence in filter(None, sentences):
        yield f"  cache   {sentence}"
    for layer in image.layers:
        origin, made_by = "base" if layer.base else "build", one_line(layer.created_by, 100)
        of = f"{one_line(layer.platform)}  " if layer.platform else ""
        yield f"  layer   {of}{one_line(layer.digest, 20)}  {human_size(layer.size):>10}  {origin:5}  {made_by}"
    yield from _steps(image.steps)


def _steps(steps: Sequence[StepResult]) -> Iterator[str]:
    for step in steps:
        yield f"  step    {time(step):>8}  {one_line(step.name, 120)} ({result(step)})"


def _finding(finding: Finding) -> Iterator[str]:
    place = f"{one_line(finding.file)}:{finding.line}: " if finding.file and finding.line else ""
    rule = f" ({one_line(finding.rule)})" if finding.rule else ""
    yield f"{_LEVELS[finding.level]}: {place}{one_line(finding.message)}{rule}"
    for text_lines in (finding.log, finding.detail):
        if text_lines.strip():
            yield from (f"  | {line}".rstrip() for line in lines(text_lines))
    if finding.hint:
        yield f"  hint: {one_line(finding.hint)}"
