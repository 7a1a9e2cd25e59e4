"""A report as GitHub's workflow commands, ten of a kind as GitHub shows them."""

from __future__ import annotations

from checks.finding import Finding, Report, Severity, worst_first
from checks.output.text import plain

_PER_KIND = 10
_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render_github(report: Report) -> str:
    """Workflow commands, worst first; GitHub shows ten of a kind, so the rest is counted in the last notice."""
    by_word: dict[str, list[Finding]] = {word: [] for word in _WORDS.values()}
    for finding in sorted(report.findings, key=worst_first):
        doubtful = finding.severity is Severity.ERROR and not finding.fails_gate
        by_word[_WORDS[Severity.WARNING if doubtful else finding.severity]].append(finding)
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
    place = {"file": finding.path, "line": finding.line, "col": finding.column} if finding.path else {}
    return workflow_command(word, finding.message, **place, title=finding.rule)


def workflow_command(word: str, message: str, **properties: object) -> str:
    """One line that GitHub's runner obeys; nothing in the texts can end it or begin another."""
    told = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{word} {told}::{_data(message)}"


def _data(text: str) -> str:
    shown = "".join(c if c in "\r\n" else plain(c) for c in text)
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
