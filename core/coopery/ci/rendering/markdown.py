"""The report as Markdown: CommonMark with tables, and `<details>` around what is long.

All that comes from outside goes through `inert`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from coopery.ci.rendering.inert import NOTHING, block, cell, code, html_code, lines
from coopery.ci.rendering.words import cache_sentence, heading, result, time, traffic_sentence
from coopery.ci.report import Finding, ImageResult, LayerResult, Report, StepResult
from coopery.errors import CooperyError
from coopery.oci.reference import Reference
from coopery.progress.amounts import human_size, human_time

#: What the summaries and annotations of most platforms hold, in bytes.
LIMIT = 1 << 20

_FEW = 20  # rows of a table, names of an image, or lines of a log that has to be short
_MESSAGE = 2000  # characters
_LEVELS = {"error": "Error", "warning": "Warning", "notice": "Notice"}
_SHORTENED = "Some of it was left out: the whole report is too long for this place."


class _Part(NamedTuple):
    """A part of the text, in ever shorter forms."""

    name: str
    forms: tuple[str, ...]


#: What is shortened first, one form at a time, when all doesn't fit.
_ORDER = (
    "layers",
    "steps",
    "findings",
    "log",
    "layers",
    "steps",
    "log",
    "cache",
    "findings",
    "images",
    "pull",
    "error",
    "images",
    "revision",
    "error",
    "heading",
)


def markdown(report: Report, limit_bytes: int = LIMIT) -> str:
    """The report, in at most `limit_bytes` bytes of UTF-8. What doesn't fit is left out, the least important first;
    what stays is whole."""
    parts = [
        _Part("heading", (f"## {heading(report)}", "")),
        _Part("revision", (_revision(report), "")),
        _Part("error", _error(report)),
        _Part("log", _log(report.error)),
        _Part("images", _images(report.images)),
        _Part("pull", (_pull(report.images), "")),
        _Part("cache", (_cache(report.images), "")),
        _Part("findings", _findings(report.findings)),
        _Part("steps", _shorter(lambda most: _all_steps(report, most))),
        _Part("layers", _shorter(lambda most: _all_layers(report.images, most))),
    ]
    shortened = dict.fromkeys(_ORDER, 0)
    text = _joined(parts, shortened)
    for name in _ORDER:
        if len(text.encode()) <= limit_bytes:
            return text
        shortened[name] += 1
        text = _joined(parts, shortened, _SHORTENED)
    return ""


def _joined(parts: Sequence[_Part], shortened: dict[str, int], *more: str) -> str:
    chosen = [part.forms[min(shortened[part.name], len(part.forms) - 1)] for part in parts]
    texts = [text for text in chosen if text]
    return "\n\n".join([*texts, *more]) + "\n" if texts else ""


# ----------------------------------------------------------------------------------------------------- what was built


def _revision(report: Report) -> str:
    revision = report.revision
    facts = [
        ("", revision.repository),
        ("tag ", revision.tag),
        ("change ", revision.change),
        ("branch ", revision.branch),
        ("commit ", revision.commit[:12]),
    ]
    said = [f"{what}{code(text)}" for what, text in facts if text]
    return ", ".join([*said, f"in {human_time(report.seconds)}"])


def _images(images: Sequence[ImageResult]) -> tuple[str, ...]:
    if not images:
        return ("",)
    named = any(image.target for image in images)
    head = [*(["Target"] if named else []), "Image", "Digest", "Size", "Platforms", "Time"]

    def rows(most: int) -> list[list[str]]:
        return [
            [
                *([cell(image.target)] if named else []),
                _names(image.names, most),
                cell(image.digest),
                human_size(image.size),
                "<br>".join(cell(platform) for platform in image.platforms) or NOTHING,
                human_time(image.seconds),
            ]
            for image in images
        ]

    return _table(head, rows(_FEW)), _table(head, rows(1), _FEW), ""


def _names(names: Sequence[str], most: int) -> str:
    shown = [cell(name, 300) for name in names[:most]]
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return "<br>".join([*shown, *more]) or NOTHING


def _pull(images: Sequence[ImageResult]) -> str:
    commands = [f"docker pull {name}" for image in images[:_FEW] if (name := pinned(image))]
    return block(commands, "sh") if commands else ""


def pinned(image: ImageResult) -> str:
    """A name of the image with its digest, as commands take it; empty if it isn't in a registry."""
    if not image.pushed or not image.names:
        return ""
    try:
        return str(Reference.parse(f"{Reference.parse(image.names[0]).name}@{image.digest}"))
    except CooperyError:
        return ""  # nobody could pull it under such a name


def _cache(images: Sequence[ImageResult]) -> str:
    said = []
    for image in images:
        sentences = (cache_sentence(image.cache), traffic_sentence(image.cache))
        text = ". ".join(sentence for sentence in sentences if sentence)
        if text:
            said.append(f"- {code(image.target)}: {text}." if len(images) > 1 else f"{text}.")
        read = ", ".join(code(source) for source in image.cache.sources)
        written = ", ".join(code(target) for target in image.cache.targets)
        told = [f"read from {read}"] * bool(read) + [f"written to {written}"] * bool(written)
        if told and said:
            said[-1] += f" The cache was {' and '.join(told)}."
    return "\n".join(said)


# ------------------------------------------------------------------------------------------------------ what went wrong


def _error(report: Report) -> tuple[str, ...]:
    error = report.error
    if not error:
        return ("",)
    target = f"Target {code(report.failed_target)}: " if report.failed_target else ""
    message = f"{target}{_place(error)}{code(error.message, _MESSAGE)}"
    hint = f"Hint: {code(error.hint, _MESSAGE)}" if error.hint else ""
    detail = block(lines(error.detail)) if error.detail.strip() else ""
    return "\n\n".join(part for part in (message, detail, hint) if part), message, ""


def _log(error: Finding | None) -> tuple[str, ...]:
    if not error or not error.log.strip():
        return ("",)
    said = lines(error.log)
    return _folded("The end of the step's output", block(said)), _folded("The end", block(said[-_FEW:])), ""


def _findings(findings: Sequence[Finding]) -> tuple[str, ...]:
    if not findings:
        return ("",)
    shown = [_finding(finding) for finding in findings]
    few = [*shown[:_FEW], f"- and {len(shown) - _FEW} more"] if len(shown) > _FEW else shown
    title = "Notices" if all(finding.level == "notice" for finding in findings) else "Warnings"
    full, short = (f"### {title}\n\n" + "\n".join(chosen) for chosen in (shown, few))
    return full, short, ""


def _finding(finding: Finding) -> str:
    rule = f" ({code(finding.rule)})" if finding.rule else ""
    hint = f"; hint: {code(finding.hint, _MESSAGE)}" if finding.hint else ""
    return f"- **{_LEVELS[finding.level]}** {_place(finding)}{code(finding.message, _MESSAGE)}{rule}{hint}"


def _place(finding: Finding) -> str:
    if not finding.file:
        return ""
    return code(f"{finding.file}:{finding.line}" if finding.line else finding.file) + ": "


# --------------------------------------------------------------------------------------------------- what it is made of


def _all_steps(report: Report, most: int) -> str:
    tables = [
        _folded("Steps", _steps(image.steps, most), image.target if len(report.images) > 1 else "")
        for image in report.images
        if image.steps
    ]
    if report.steps:
        tables.insert(0, _folded("Steps of the build that failed", _steps(report.steps, most), report.failed_target))
    return "\n\n".join(tables)


def _steps(steps: Sequence[StepResult], most: int) -> str:
    rows = [[str(step.line or NOTHING), cell(step.name), result(step), time(step)] for step in steps]
    return _table(["Line", "Step", "Result", "Time"], rows, most)


def _all_layers(images: Sequence[ImageResult], most: int) -> str:
    return "\n\n".join(
        _folded("Layers", _layers(image.layers, most), image.target if len(images) > 1 else "")
        for image in images
        if image.layers
    )


def _layers(layers: Sequence[LayerResult], most: int) -> str:
    several = any(layer.platform for layer in layers)
    rows = [
        [
            *([cell(layer.platform)] if several else []),
            *(cell(layer.digest[:19]), human_size(layer.size), "base" if layer.base else "build"),
            cell(layer.created_by),
        ]
        for layer in layers
    ]
    return _table([*(["Platform"] if several else []), "Layer", "Size", "From", "Made by"], rows, most)


# ---------------------------------------------------------------------------------------------------------- structure


def _shorter(render: Callable[[int], str]) -> tuple[str, ...]:
    return render(0), render(_FEW), ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int = 0) -> str:
    """A table of cells that are Markdown already; with `most` only so many rows, and how many more there are."""
    shown = rows[:most] if most else rows
    written = [head, ["---"] * len(head), *shown]
    text = "\n".join(f"| {' | '.join(row)} |" for row in written)
    return text if len(shown) == len(rows) else f"{text}\n\nand {len(rows) - len(shown)} more"


def _folded(title: str, body: str, target: str = "") -> str:
    of = f" of {html_code(target)}" if target else ""
    return f"<details><summary>{title}{of}</summary>\n\n{body}\n\n</details>"
