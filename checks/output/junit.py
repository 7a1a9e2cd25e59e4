"""A report as JUnit XML."""

from __future__ import annotations

import html

from checks.finding import Finding, Report
from checks.output.text import plain


def render_junit(report: Report) -> str:
    """One test case per finding; those that do not fail the gate are skipped tests, not failures."""
    cases = [_case(finding) for finding in report.findings]
    shown = cases or ['    <testcase classname="checks" name="all"/>']
    counts = f'failures="{len(report.errors)}" errors="0" skipped="{len(cases) - len(report.errors)}"'
    head = f'name="spillway check" tests="{len(shown)}" {counts} time="{report.seconds:.3f}"'
    body = "\n".join(shown)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n  <testsuite {head}>\n{body}\n  </testsuite>\n</testsuites>\n'


def _case(finding: Finding) -> str:
    place = f"file={_attribute(finding.path)} line={_attribute(str(finding.line))}" if finding.path else ""
    name = f"classname={_attribute(finding.rule)} name={_attribute(f'{finding.place} {finding.message}')} {place}"
    kind = "failure" if finding.fails_gate else "skipped"
    return f"    <testcase {name.strip()}><{kind} message={_attribute(finding.message)}/></testcase>"


def _attribute(text: str) -> str:
    return f'"{html.escape(plain(text))}"'
