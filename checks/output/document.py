"""A report as a JSON document, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from checks.finding import Confidence, Finding, Fix, Report, Severity, Skipped, Step

VERSION = 1


def as_dict(report: Report) -> dict[str, object]:
    """The JSON document; ``findings`` is what others rely on."""
    return {
        "version": VERSION,
        "findings": [_finding(f) for f in report.findings],
        "skipped": [{"path": s.path, "line": s.line, "reason": s.reason} for s in report.skipped],
        "files": report.files,
        "seconds": round(report.seconds, 3),
        "failed": bool(report.errors),
        "additive_only": report.additive_only,
        "baselined": report.baselined,
        "rules": list(report.rules),
        "generated": list(report.generated),
        "folders": list(report.folders),
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "severity": str(finding.severity),
        "confidence": str(finding.confidence),
        "message": finding.message,
        "trail": [{"path": s.path, "line": s.line, "text": s.text} for s in finding.trail],
        "fix": finding.fix.title if finding.fix else None,
        "print": finding.print,
    }


def render_json(report: Report) -> str:
    return json.dumps(as_dict(report), indent=2) + "\n"


def from_json(text: str) -> Report:
    """The report that ``render_json`` wrote, but for what the document leaves out: source lines, and the edits of fixes.

    Raises: ValueError for anything else.
    """
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}")
        additive_only, rules = document["additive_only"], document["rules"]
        return Report(
            findings=tuple(_finding_of(each) for each in document["findings"]),
            skipped=tuple(
                Skipped(str(s["path"]), str(s["reason"]), int(s["line"])) for s in document["skipped"]
            ),
            files=int(document["files"]),
            seconds=float(document["seconds"]),
            additive_only=None if additive_only is None else bool(additive_only),
            baselined=int(document["baselined"]),
            rules=tuple(str(rule) for rule in rules),
            generated=tuple(map(str, document.get("generated", ()))),
            folders=tuple(map(str, document.get("folders", ()))),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("not the document of a report") from error


def _finding_of(row: Mapping[str, Any]) -> Finding:
    return Finding(
        rule=str(row["rule"]),
        path=str(row["path"]),
        line=int(row["line"]),
        column=int(row["column"]),
        severity=Severity(row["severity"]),
        confidence=Confidence(row["confidence"]),
        message=str(row["message"]),
        trail=tuple(Step(str(s["path"]), int(s["line"]), str(s["text"])) for s in row["trail"]),
        fix=Fix(str(row["fix"]), ()) if row["fix"] is not None else None,
        print=str(row["print"]),
    )
