"""Findings as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from coopery import __version__
from coopery.ci.rendering.inert import one_line
from coopery.ci.rendering.places import placed, rule_name, sentence
from coopery.ci.report import Finding, Report

_LEVELS = {"error": "error", "warning": "warning", "notice": "note"}


def sarif(report: Report, descriptions: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """A SARIF log, for JSON, with one run: a result for each finding that has a place in the repository's files, a rule
    for each check that found something, with its description if there is one."""
    results: list[dict[str, Any]] = []
    rules: dict[str, dict[str, Any]] = {}
    for finding, path, fingerprint in placed(report):
        name = one_line(rule_name(finding))
        told = descriptions.get(finding.rule)
        rules.setdefault(name, {"id": name} | ({"shortDescription": {"text": told}} if told else {}))
        results.append(
            {
                "ruleId": name,
                "level": _LEVELS[finding.level],
                "message": {"text": sentence(finding)},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": quote(one_line(path))},
                            "region": _region(finding),
                        }
                    }
                ],
                "partialFingerprints": {"coopery/v1": fingerprint},
            }
        )
    driver = {"name": "coopery", "version": __version__, "rules": list(rules.values())}
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _region(finding: Finding) -> dict[str, int]:
    region = {"startLine": finding.line, "endLine": max(finding.line, finding.end_line)}
    return region | ({"startColumn": finding.column} if finding.column else {})
