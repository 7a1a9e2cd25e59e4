"""What the checks say, as values: findings, what was skipped, and the report that holds both.  PURE."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


class Severity(StrEnum):
    """How bad it is if it is true, worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Confidence(StrEnum):
    """How sure the check is that it is true, surest first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Step(Struct, frozen=True):
    """One step of a value from where it is made to where it does harm."""

    path: str
    line: int
    text: str


class Edit(Struct, frozen=True):
    """Replace a stretch of one file. Lines count from 1, columns are UTF-8 bytes from 0, as in ``ast``."""

    path: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str


class Fix(Struct, frozen=True):
    """Edits that belong together: all are made, or none."""

    title: str
    edits: tuple[Edit, ...]


class Finding(Struct, frozen=True):
    """One complaint at one place.

    Args:
        path: relative to the root that was checked, with forward slashes; empty for the project as a whole.
        line: from 1.
        column: in characters, from 1.
        trail: how the value came there, first step first; the finding's own place is not repeated.
        fix: present only where a machine can do it.
        text: the source line, for the caret.
        print: stays the same when lines move (see ``fingerprinted``).
        rank: of a note among those of its rule: the least is told first.
    """

    rule: str
    path: str
    line: int
    column: int
    severity: Severity
    confidence: Confidence
    message: str
    trail: tuple[Step, ...] = ()
    fix: Fix | None = None
    text: str = ""
    print: str = ""
    rank: int = 0

    @property
    def fails_gate(self) -> bool:
        return self.severity is Severity.ERROR and self.confidence is Confidence.HIGH

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.path else "project"


class Skipped(Struct, frozen=True):
    """A file, or a question, that was not looked at, and why. Never silent, never an exception."""

    path: str
    reason: str
    line: int = 0


class Report(Struct, frozen=True):
    """Everything one run found, in a deterministic order.

    Args:
        files: number of files looked at.
        seconds: wall time of the run.
        additive_only: against the base; None when nothing was compared.
        rules: names of those that looked, in their order; others had nothing to go by.
        baselined: number of findings left out because the baseline knows them.
        generated: files that a program wrote, at which not every rule looked.
        folders: that were left out, because of what they are.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...] = ()
    files: int = 0
    seconds: float = 0.0
    additive_only: bool | None = None
    baselined: int = 0
    rules: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that fail the gate."""
        return tuple(f for f in self.findings if f.fails_gate)


def by_place(finding: Finding) -> tuple[object, ...]:
    """Path, line, column; notes come after everything else, as their rules rank them."""
    if finding.severity is Severity.NOTE:
        return (True, finding.rank, finding.path, finding.line)
    return (False, finding.path, finding.line, finding.column, finding.rule, finding.message)


def worst_first(finding: Finding) -> tuple[object, ...]:
    rank = list(Severity).index(finding.severity), list(Confidence).index(finding.confidence)
    return (*rank, *by_place(finding))


def fingerprints(findings: Iterable[Finding]) -> Iterator[str]:
    """A stable print per finding: rule, path, the line's words and how many the same came before it.

    Line numbers are left out, so code added above a known finding does not make it new.
    """
    words: dict[str, str] = {}  # thousands may stand in one line of a megabyte
    begun: dict[tuple[str, str, str], Any] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for finding in findings:
        if finding.text not in words:
            words[finding.text] = " ".join(finding.text.split())
        base = (finding.rule, finding.path, words[finding.text] or finding.message)
        if base not in begun:
            begun[base] = hashlib.sha256("\0".join((*base, "")).encode(errors="surrogateescape"))
        seen[base] += 1
        made = begun[base].copy()
        made.update(str(seen[base]).encode())
        yield made.hexdigest()[:32]


def seen_from(report: Report, root: str, folder: str) -> Report:
    """The same report with every path of ``root`` as it is from ``folder``; whole where neither lies in the other.

    Args:
        root, folder: whole paths, with forward slashes.
    """
    if root == folder:
        return report
    is_near = posixpath.commonpath([root, folder]) in {root, folder}

    def move(path: str) -> str:
        whole = posixpath.normpath(f"{root}/{path}")
        return (posixpath.relpath(whole, folder) if is_near else whole) if path else ""

    return replace(
        report,
        findings=tuple(
            replace(f, path=move(f.path), trail=tuple(replace(s, path=move(s.path)) for s in f.trail))
            for f in report.findings
        ),
        skipped=tuple(replace(s, path=move(s.path)) for s in report.skipped),
        generated=tuple(map(move, report.generated)),
        folders=tuple(map(move, report.folders)),
    )


def to_row(finding: Finding) -> list[object]:
    """Plain JSON, for the cache; a fix is left out (rules that offer one judge again each time)."""
    assert finding.fix is None
    head = (finding.rule, finding.path, finding.line, finding.column, finding.severity, finding.confidence)
    return [*head, finding.message, [[s.path, s.line, s.text] for s in finding.trail]]


def from_row(row: list[Any]) -> Finding:
    rule, path, line, column, severity, confidence, message, trail = row
    steps = tuple(Step(*step) for step in trail)
    return Finding(rule, path, line, column, Severity(severity), Confidence(confidence), message, steps)
