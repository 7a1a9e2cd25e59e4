"""A report as text for a terminal. Pure: values in, text out.

Everything that comes from checked files (paths, lines, messages) is made harmless: a file under check must not drive the
terminal.
"""

from __future__ import annotations

from collections import Counter

from checks.finding import Finding, Report, Severity

_MOST_STEPS = 8
_MOST_NAMES = 4
_MOST_NOTES = 20


def plain(text: str) -> str:
    """Without control characters: a file under check must not drive the terminal."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in text)


def render_text(report: Report) -> str:
    """Findings by place with line and caret, notes as far as anybody reads them, what was skipped, and one closing line."""
    notes = [finding for finding in report.findings if finding.severity is Severity.NOTE]
    blocks = [_block(finding) for finding in report.findings if finding.severity is not Severity.NOTE]
    blocks += [_block(finding) for finding in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        blocks.append(f"and {len(notes) - _MOST_NOTES} more notes: --format json has all {len(notes)}")
    skipped = [
        f"  - {plain(s.path)}{f':{s.line}' if s.line else ''}: {plain(s.reason)}" for s in report.skipped
    ]
    if skipped:
        blocks.append("\n".join(["not checked:", *skipped]))
    left = _left_out(report)
    return "\n\n".join([*blocks, *([left] if left else []), summary(report)]) + "\n"


def _left_out(report: Report) -> str:
    """One line that names what was left out because of what it is; empty where there is nothing."""
    rows = (("folders", report.folders), ("json-safe-logs of generated files", report.generated))
    told = [f"{what}: {_names(names)}" for what, names in rows if names]
    return f"left out: {'; '.join(told)}" if told else ""


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return plain(", ".join(names[:_MOST_NAMES])) + more


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
    left = f", {len(report.skipped)} not checked" if report.skipped else ""
    return f"{found}{failing}{known}{left} in {report.files} files, {report.seconds:.2f} s{additive}"
