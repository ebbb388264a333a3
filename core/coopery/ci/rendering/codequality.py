"""Findings as code quality issues: the part of Code Climate's format that CI systems read.

Code Climate specification, "Issues": `description`, `check_name`, `fingerprint`, `severity`, `location.path` and
`location.lines.begin`.
"""

from __future__ import annotations

from typing import Any

from coopery.ci.rendering.inert import one_line
from coopery.ci.rendering.places import placed, rule_name, sentence
from coopery.ci.report import Report

_SEVERITIES = {"error": "blocker", "warning": "major", "notice": "info"}


def code_quality(report: Report) -> list[dict[str, Any]]:
    """The findings that have a place in the repository's files, for JSON; empty if none has."""
    issues: list[dict[str, Any]] = []
    for finding, path, fingerprint in placed(report):
        issues.append(
            {
                "type": "issue",
                "description": sentence(finding),
                "check_name": one_line(rule_name(finding)),
                "fingerprint": fingerprint,
                "severity": _SEVERITIES[finding.level],
                "location": {
                    "path": one_line(path),
                    "lines": {"begin": finding.line, "end": max(finding.line, finding.end_line)},
                },
            }
        )
    return issues
