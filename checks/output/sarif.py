"""A report as SARIF 2.1.0, as code scanning services read it.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from checks import suppress
from checks.finding import Finding, Report, Severity
from checks.rules import RULES

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
_SUPPRESSION = "A suppression names an existing rule, has a reason, and is needed."


def render_sarif(report: Report) -> str:
    return json.dumps(as_sarif(report), indent=2) + "\n"


def as_sarif(report: Report) -> dict[str, Any]:
    """One run; fingerprints stay the same when lines move."""
    rules = {rule.name: (rule.summary, rule.why, rule.severity) for rule in RULES}
    rules[suppress.RULE] = (_SUPPRESSION, _SUPPRESSION, Severity.WARNING)
    names = list(rules)
    descriptors = [
        {
            "id": name,
            "shortDescription": {"text": summary},
            "fullDescription": {"text": why},
            "defaultConfiguration": {"level": _LEVELS[severity]},
        }
        for name, (summary, why, severity) in rules.items()
    ]
    run = {
        "tool": {"driver": {"name": "spillway check", "rules": descriptors}},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "the folder that was checked"}}},
        "results": [_result(finding, names) for finding in report.findings],
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": f"{s.path}: {s.reason}"}} for s in report.skipped
                ],
            }
        ],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, names: list[str]) -> dict[str, Any]:
    level = _LEVELS[finding.severity]
    made: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": names.index(finding.rule),
        "level": level if finding.fails_gate or level != "error" else "warning",
        "message": {"text": finding.message},
        "partialFingerprints": {"spillwayFinding/v1": finding.print},
        "properties": {"confidence": str(finding.confidence)},
    }
    if finding.path:
        here = _location(finding.path, finding.line, finding.column)
        made["locations"] = [here]
        if finding.trail:
            steps = [_location(s.path, s.line) | {"message": {"text": s.text}} for s in finding.trail]
            flow = [{"location": each} for each in (*steps, here)]
            made["codeFlows"] = [{"threadFlows": [{"locations": flow}]}]
    return made


def _location(path: str, line: int, column: int = 1) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(path, errors="surrogateescape"), "uriBaseId": "ROOT"},
            "region": {"startLine": max(line, 1), "startColumn": max(column, 1)},
        }
    }
