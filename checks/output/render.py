"""A report as text, JSON, GitHub annotations or JUnit. Pure: values in, text out.

Everything that comes from checked files (paths, lines, messages) is made harmless for where it goes: control
characters for terminals, ``%`` and line ends for workflow commands, markup for XML.
"""

from __future__ import annotations

import html
import json
from collections import Counter

from checks.finding import Finding, Report, Severity, worst_first

_PER_KIND = 10
_MOST_STEPS = 8
_GITHUB_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def plain(text: str) -> str:
    """Without control characters: a file under check must not drive the terminal."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in text)


def render_text(report: Report) -> str:
    """Findings by place with line and caret, what was skipped, and one closing line."""
    blocks = [_block(finding) for finding in report.findings]
    skipped = [_skipped_line(s.path, s.line, s.reason) for s in report.skipped]
    if skipped:
        blocks.append("\n".join(["not checked:", *skipped]))
    return "\n\n".join([*blocks, summary(report)]) + "\n"


def _skipped_line(path: str, line: int, reason: str) -> str:
    return f"  - {plain(path)}{f':{line}' if line else ''}: {plain(reason)}"


def _block(finding: Finding) -> str:
    head = f"{_at_line_start(finding.place)}: {finding.severity}[{finding.rule}] {plain(finding.message)}"
    lines = [head if finding.confidence == "high" else f"{head} ({finding.confidence} confidence)"]
    if finding.text.strip():
        number = str(finding.line)
        margin = " " * len(number)
        caret = " " * (len(plain(finding.text[: finding.column - 1]))) + "^"
        lines += [f"{margin} |", f"{number} | {plain(finding.text)}", f"{margin} | {caret}"]
    steps = finding.trail[:_MOST_STEPS]
    lines += [f"  from {plain(step.path)}:{step.line}: {plain(step.text)}" for step in steps]
    if len(finding.trail) > len(steps):
        lines.append(f"  and {len(finding.trail) - len(steps)} more")
    if finding.fix:
        lines.append(f"  fix: {plain(finding.fix.title)} (--fix)")
    return "\n".join(lines)


def _at_line_start(path: str) -> str:
    """A file called ``::error::`` must not command the CI that shows the text."""
    return f"./{plain(path)}" if path.startswith(("::", "##")) else plain(path)


def summary(report: Report) -> str:
    """One line: how many of what, in how many files, in what time."""
    counts = Counter(f.severity for f in report.findings)
    found = (
        ", ".join(f"{counts[s]} {s}{'s' if counts[s] != 1 else ''}" for s in Severity if counts[s])
        or "no findings"
    )
    errors = len(report.errors)
    failing = f", {errors} fail{'s' if errors == 1 else ''} the gate" if errors else ""
    known = f", {report.baselined} known from the baseline" if report.baselined else ""
    additive = (
        "" if report.additive_only is None else f"; additive only: {'yes' if report.additive_only else 'no'}"
    )
    return f"{found}{failing}{known} in {report.files} files, {report.seconds:.2f} s{additive}"


def as_dict(report: Report) -> dict[str, object]:
    """The JSON document; ``findings`` is what others rely on."""
    return {
        "version": 1,
        "findings": [_finding(f) for f in report.findings],
        "skipped": [{"path": s.path, "line": s.line, "reason": s.reason} for s in report.skipped],
        "files": report.files,
        "seconds": round(report.seconds, 3),
        "failed": bool(report.errors),
        "additive_only": report.additive_only,
        "baselined": report.baselined,
        "rules": list(report.rules),
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


def render_github(report: Report) -> str:
    """Workflow commands, worst first; GitHub shows ten of a kind, so the rest is counted in the last notice."""
    by_word: dict[str, list[Finding]] = {word: [] for word in _GITHUB_WORDS.values()}
    for finding in sorted(report.findings, key=worst_first):
        doubtful = finding.severity is Severity.ERROR and not finding.fails_gate
        by_word[_GITHUB_WORDS[Severity.WARNING if doubtful else finding.severity]].append(finding)
    limits = dict.fromkeys(by_word, _PER_KIND)
    if any(len(found) > _PER_KIND for found in by_word.values()):
        limits["notice"] -= 1
    lines = [_command(word, f) for word, found in by_word.items() for f in found[: limits[word]]]
    left_out = {
        word: len(found) - limits[word] for word, found in by_word.items() if len(found) > limits[word]
    }
    if left_out:
        told = ", ".join(f"{n} {word}{'s' if n != 1 else ''}" for word, n in left_out.items())
        lines.append(f"::notice title=spillway check::left out here: {told}; the log has them all")
    return "".join(f"{line}\n" for line in lines)


def _command(word: str, finding: Finding) -> str:
    place = (
        f"file={_property(finding.path)},line={finding.line},col={finding.column}," if finding.path else ""
    )
    return f"::{word} {place}title={_property(finding.rule)}::{_data(finding.message)}"


def _data(text: str) -> str:
    shown = "".join(c if c in "\r\n" else plain(c) for c in text)
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def render_junit(report: Report) -> str:
    """One test case per finding; those that do not fail the gate are told as skipped, not as failures."""
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
