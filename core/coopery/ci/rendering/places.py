"""Findings that have a place in the repository, for the forms that show them there."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Sequence

from coopery.ci.rendering.inert import one_line
from coopery.ci.report import Finding, Report


def placed(report: Report) -> Iterator[tuple[Finding, str, str]]:
    """The report's findings, its error first, that lie in a file of the repository: each with the file's path and a
    fingerprint.

    The fingerprint stays when the place moves within its file, and no two findings have the same.
    """
    seen: dict[str, int] = {}
    for finding in every(report):
        path = posixpath.normpath(finding.file) if finding.file else ""
        if not path or finding.line < 1 or path.startswith(("/", "../")) or path == "..":
            continue
        said = "\0".join((finding.rule, path, finding.message)).encode("utf-8", "backslashreplace")
        name = hashlib.sha256(said).hexdigest()
        count = seen[name] = seen.get(name, 0) + 1
        yield finding, path, name if count == 1 else hashlib.sha256(f"{name} {count}".encode()).hexdigest()


def every(report: Report) -> Sequence[Finding]:
    """All findings, the error first."""
    return (report.error, *report.findings) if report.error else report.findings


def sentence(finding: Finding) -> str:
    """What a finding says, with what to do about it, in one line."""
    return one_line(f"{finding.message}; {finding.hint}" if finding.hint else finding.message)


def rule_name(finding: Finding) -> str:
    """The name of the check behind a finding; errors and warnings of builds count as checks too."""
    return finding.rule or f"build-{finding.level}"
