"""From the record, the journal and the logs to everything that a report says.  PURE.

Theory of operation. Three witnesses, in this order of trust: the *record* on the service (what was decided and read
back), the *logs* (what users met), the *journal* of this machine (etags, transcripts, samples of the judgement). The
first always speaks. Where one of the others is missing the report says so; it never guesses and never fails.

``Report`` holds values only: strings as they came, unescaped. ``render.py`` makes them harmless for where they go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum

from pipeline.evidence import Exposure
from pipeline.model import Outcome
from pipeline.report import advice, banner, checklist, facts
from pipeline.report.advice import Command
from pipeline.report.banner import Tile, Tone
from pipeline.report.checklist import Item
from pipeline.report.facts import Clocks, Combined, Gate, Share
from pipeline.report.lines import Line
from pipeline.report.probed import Failure, failure_of
from pipeline.report.timeline import Closes
from pipeline.report.writes import Write, writes_of
from pipeline.rollout import Rollout, Step

MAX_FINDINGS = 200


@dataclass(frozen=True, slots=True)
class Users:
    """What users met on one revision. ``met`` None: the logs could not be read."""

    role: str
    revision: str
    met: Exposure | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One complaint of the static checks. ``place`` is file:line."""

    place: str
    rule: str
    severity: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says about one rollout attempt.

    Args:
        outcome: the name that JSON carries; "under_way" while there is none.
        headline: the verdict in one sentence. ``impact``: what it meant for users, in another.
        ended: None while it may still go on.
        shares: the candidate's share of traffic over time, in order.
        closes: abnormal closes over time, by revision; empty where they are not known.
        findings: of the static checks; None: they were not handed in.
        missing: which witnesses were absent, in words.
    """

    outcome: str
    tone: Tone
    headline: str
    impact: str
    tiles: tuple[Tile, ...]
    reason: str
    service: str
    rollout_id: str
    attempt: int
    candidate: str
    stable: str
    image: str
    made: datetime
    started: datetime
    ended: datetime | None
    users: tuple[Users, ...]
    clocks: Clocks
    shares: tuple[Share, ...]
    closes: tuple[Closes, ...]
    gates: tuple[Gate, ...]
    combined: Combined
    certified: tuple[Gate, ...]
    failure: Failure | None
    writes: tuple[Write, ...]
    quiet_writes: int
    steps: tuple[Step, ...]
    checklist: tuple[Item, ...]
    rollback: tuple[Command, ...]
    risks: tuple[str, ...]
    next_steps: tuple[Command, ...]
    findings: tuple[Finding, ...] | None
    missing: tuple[str, ...]

    def transcript_lines(self) -> list[str]:
        """The failing conversation, line by line; empty when there is none."""
        if self.failure is None:
            return []
        lines = [f"{m.at_s:8.3f}s {'>' if m.sent else '<'} {m.text}" for m in self.failure.transcript]
        if self.failure.left_out:
            lines.insert(len(lines) // 2, f"          ... {self.failure.left_out} messages left out ...")
        return lines

    def to_json(self) -> dict[str, object]:
        """Plain values: what ``-o json`` carries."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain


def build(
    rollout: Rollout,
    journal: Sequence[Line],
    exposures: Mapping[str, Exposure] | None,
    now: datetime,
    *,
    closes: Iterable[Closes] = (),
    checks: Mapping[str, object] | None = None,
) -> Report:
    """The report of a rollout attempt as far as it has come.

    Args:
        journal: lines of ``journal.read``; empty when it was lost.
        exposures: by revision, since the rollout began; None when the logs cannot be read.
        checks: the document of ``spillway check -o json``, with ``rules`` naming the rules that ran.
    """
    plan = rollout.plan
    outcome = rollout.outcome or Outcome.UNDER_WAY
    ended = rollout.history[-1].at if rollout.outcome is not None and rollout.history else None
    candidate = exposures.get(plan.candidate, Exposure()) if exposures is not None else None
    clocks = facts.clocks_of(rollout, candidate)
    gates, combined = facts.gates_of(rollout)
    writes, quiet = writes_of(rollout, journal)
    roles = [("candidate", plan.candidate), ("stable", plan.stable)]
    if plan.candidate == plan.stable:
        roles = [("first revision", plan.candidate)]
    return Report(
        outcome=outcome.label,
        tone=banner.tone(rollout),
        headline=banner.headline(rollout),
        impact=banner.impact(candidate),
        tiles=banner.tiles(rollout, candidate, clocks, (ended or now) - rollout.started),
        reason=rollout.reason,
        service=plan.ref.name,
        rollout_id=plan.rollout_id,
        attempt=rollout.attempt,
        candidate=plan.candidate,
        stable=plan.stable,
        image=plan.image,
        made=now,
        started=rollout.started,
        ended=ended,
        users=tuple(
            Users(role, name, exposures.get(name) if exposures is not None else None) for role, name in roles
        ),
        clocks=clocks,
        shares=facts.shares_of(rollout, facts.end_of_axis(rollout, now)) if rollout.reached else (),
        closes=tuple(closes),
        gates=gates,
        combined=combined,
        certified=facts.certified_of(rollout),
        failure=failure_of(journal),
        writes=writes,
        quiet_writes=quiet,
        steps=rollout.history,
        checklist=checklist.items(rollout, journal, candidate, checks),
        rollback=advice.rollback_plan(rollout, candidate),
        risks=advice.risks(rollout, candidate, checks),
        next_steps=advice.next_steps(rollout, clocks),
        findings=_findings(checks),
        missing=_missing(journal, exposures),
    )


def _findings(checks: Mapping[str, object] | None) -> tuple[Finding, ...] | None:
    if checks is None:
        return None
    found = checks.get("findings")
    each = [f for f in found if isinstance(f, Mapping)] if isinstance(found, list | tuple) else []
    return tuple(_finding(f) for f in each[:MAX_FINDINGS])


def _finding(found: Mapping[str, object]) -> Finding:
    path, line = found.get("path"), found.get("line")
    place = f"{path}:{line}" if path else "project"
    words = {key: str(found.get(key) or "") for key in ("rule", "severity", "message", "fix")}
    return Finding(place=place, **words)


def _missing(journal: Sequence[Line], exposures: Mapping[str, Exposure] | None) -> tuple[str, ...]:
    absent = []
    if not journal:
        absent.append(
            "The journal of this attempt is not on this machine: etags, transcripts and probe counts are not shown."
        )
    if exposures is None:
        absent.append("The logs could not be read: what users met is not shown.")
    return tuple(absent)


def _plain(value: object) -> object:
    """JSON's values: times as ISO text, durations as seconds, enums as their value."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.value if isinstance(value, Enum) else value
