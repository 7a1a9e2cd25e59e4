"""Comments that silence one finding: ``# spillway: ignore[RULE] reason``, on its line or on a line of its own above.

A suppression without a reason does not count, one that silences nothing is a finding itself: both would
otherwise outlive whoever knew why they are there.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO

from checks.finding import Confidence, Finding, Severity
from checks.tree.parse import PARSE_LIMIT_BYTES

RULE = "suppression"
NEEDLE = b"spillway:"
_COMMENT = re.compile(r"#\s*spillway:\s*ignore\s*(?:\[([^\]]*)\])?\s*(?:[-:]+\s*)?(.*)")

_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE)

#: line it speaks for, line and column of the comment, rules, reason
Comment = tuple[int, int, int, list[str], str]


def comments(data: bytes) -> list[Comment]:
    """Every suppression in a file; strings that look like one are not."""
    found: list[Comment] = []
    pending: list[tuple[int, int, list[str], str]] = []
    if len(data) > PARSE_LIMIT_BYTES:
        return []
    try:
        for token in tokenize.tokenize(BytesIO(data).readline):
            match = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
            if match:
                rules = [r.strip() for r in (match[1] or "").split(",") if r.strip()]
                line, column = token.start[0], token.start[1] + 1
                if token.line[: token.start[1]].strip():
                    found.append((line, line, column, rules, match[2].strip()))
                else:
                    pending.append((line, column, rules, match[2].strip()))
            elif pending and token.type not in _NO_CODE:
                found += [(token.start[0], *each) for each in pending]
                pending = []
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        pass  # that the file cannot be read is in ``skipped`` already
    return [*found, *((each[0], *each) for each in pending)]


def apply(
    findings: Iterable[Finding],
    comments_of: Mapping[str, Sequence[Comment]],
    known: Sequence[str],
    ran: Sequence[str],
) -> list[Finding]:
    """The findings that nobody suppressed, and one for each suppression that is wrong or unused.

    Args:
        known: names of all rules.
        ran: names of the rules of this run; suppressions of others cannot be called unused.
    """
    used: set[tuple[str, int, int, str]] = set()
    kept: list[Finding] = []
    for finding in findings:
        silencers = [
            c
            for c in comments_of.get(finding.path, ())
            if c[0] == finding.line and finding.rule in c[3] and c[4]
        ]
        used |= {(finding.path, c[1], c[2], finding.rule) for c in silencers}
        if not silencers:
            kept.append(finding)
    for path, several in comments_of.items():
        for comment in several:
            message = _complaint(path, comment, used, known, ran)
            if message:
                kept.append(
                    Finding(RULE, path, comment[1], comment[2], Severity.WARNING, Confidence.HIGH, message)
                )
    return kept


def _complaint(
    path: str,
    comment: Comment,
    used: set[tuple[str, int, int, str]],
    known: Sequence[str],
    ran: Sequence[str],
) -> str:
    _, line, column, rules, reason = comment
    if not rules:
        return "suppression names no rule: write # spillway: ignore[RULE] reason"
    unknown = [r for r in rules if r not in known]
    if unknown:
        return f"suppression of an unknown rule: {', '.join(unknown)}"
    if not reason:
        return f"suppression of {', '.join(rules)} has no reason, so it does not count"
    unused = [r for r in rules if r in ran and (path, line, column, r) not in used]
    return f"unused suppression of {', '.join(unused)}: nothing is found there; remove it" if unused else ""
