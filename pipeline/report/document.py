"""From the record, the journal and the logs to everything that a report says.  PURE.

Theory of operation. Three witnesses, in this order of trust: the *record* on the service (what was decided and read
back), the *logs* (what users met), the *journal* of this machine (etags, transcripts, samples of the judgement). The
first always speaks. Where one of the others is missing the report says so; it never guesses and never fails.

``Report`` holds values only: strings as they came, unescaped. ``render.py`` makes them harmless for where they go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct, structs

from checks import finding as checked
from pipeline.core.rollout import Rollout
from pipeline.judging.exposure import Exposure
from pipeline.model import Revision
from pipeline.report import advice, banner, checklist, facts, left, notes
from pipeline.report.examples import Example, Examples
from pipeline.report.figures import Figures, figures_of
from pipeline.report.gates import Combined, Gate
from pipeline.report.journal_lines import Failure, Line, Validation, failure_of, validations_of
from pipeline.report.left import Left
from pipeline.report.timeline import Closes
from pipeline.report.writes import Write, writes_of
from pipeline.units import when

MAX_FINDINGS = 200
MAX_METHODS = 20
MAX_CAUSES = 5


class Users(Struct, frozen=True):
    """What users met on one revision. ``met`` None: the logs could not be read."""

    role: str
    revision: str
    met: Exposure | None


class Finding(Struct, frozen=True):
    """One complaint of the static checks. ``place`` is file:line."""

    place: str
    rule: str
    severity: str
    message: str
    fix: str


class Report(Struct, frozen=True):
    """Everything that a report says about one rollout attempt.

    Args:
        outcome: the name that JSON carries; "under_way" while there is none.
        headline: the verdict in one sentence. ``impact``: what it meant for users, in another.
        ended: None while it may still go on.
        shares: the candidate's share of traffic over time, in order.
        took: from the start until the end, or until now.
        left: sockets that are still open. ``draining``: what is done about them, in a sentence.
        beside: what else was met, and on what no verdict rests, in sentences.
        closes: abnormal closes over time, by revision; empty where they are not known. ``later``: those of the candidate
            that came after the chart's end.
        judged_over: what the gates' counts are of, in words.
        examples: some of the candidate's runs that failed users. ``causes``: how often each way of failing was met.
        scenarios: to (ok, all) probe conversations, as far as the journal has them.
        findings: of the static checks; None: they were not handed in.
        changed: files that changed since ``commit``, which is stable's; None: nobody named it.
        missing: which witnesses were absent, in words.
        calls: of Google's APIs, by method, of the drivers that ended on this machine.
    """

    outcome: str
    tone: banner.Tone
    headline: str
    impact: str
    tiles: tuple[banner.Tile, ...]
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
    took: timedelta
    users: tuple[Users, ...]
    beside: tuple[str, ...]
    clocks: facts.Clocks
    left: tuple[Left, ...]
    draining: str
    shares: tuple[facts.Share, ...]
    closes: tuple[Closes, ...]
    later: int
    gates: tuple[Gate, ...]
    combined: Combined
    judged_over: str
    certified: tuple[Gate, ...]
    validations: tuple[Validation, ...]
    failure: Failure | None
    examples: tuple[Example, ...]
    causes: Mapping[str, int]
    scenarios: Mapping[str, tuple[int, int]]
    writes: tuple[Write, ...]
    quiet_writes: int
    steps: tuple[facts.Happened, ...]
    checklist: tuple[checklist.Item, ...]
    rollback: tuple[advice.Command, ...]
    risks: tuple[str, ...]
    next_steps: tuple[advice.Command, ...]
    findings: tuple[Finding, ...] | None
    commit: str
    changed: tuple[str, ...] | None
    missing: tuple[str, ...]
    calls: Mapping[str, int]

    def transcript_lines(self) -> list[str]:
        """The failing conversation, line by line; empty when there is none."""
        if self.failure is None:
            return []
        lines = [f"{m.at_s:8.3f}s {'>' if m.sent else '<'} {m.text}" for m in self.failure.transcript]
        if self.failure.left_out:
            lines.insert(len(lines) // 2, f"          ... {self.failure.left_out} messages left out ...")
        return lines

    def staircase(self) -> list[str]:
        """The candidate's share over time as bars of text; empty when it never had any."""
        return [
            f"{s.at:%H:%M:%S} {s.percent:4d} % {'#' * -(-s.percent // 4):25} {s.event}".rstrip()
            for s in self.shares
        ]

    def to_json(self) -> dict[str, object]:
        """Plain values: what ``-o json`` carries."""
        return {name: _plain(each) for name, each in structs.asdict(self).items()}


def build(
    rollout: Rollout,
    journal: Sequence[Line],
    exposures: Mapping[str, Exposure] | None,
    now: datetime,
    *,
    closes: Sequence[Closes] = (),
    checks: checked.Report | None = None,
    read_until: datetime | None = None,
    alerts: Sequence[str] | None = None,
    examples: Examples | None = None,
    commit: str = "",
    changed: tuple[str, ...] | None = None,
    revisions: Sequence[Revision] = (),
) -> Report:
    """The report of a rollout attempt as far as it has come.

    Args:
        journal: the attempt's lines, of ``journal.read``; empty when it was lost.
        exposures: by revision, of this attempt; None when the logs cannot be read.
        closes: of the timeline over ``facts.end_of_axis``.
        checks: what the static checks found before the attempt began; None: nobody handed it in.
        read_until: the logs were too many, and were read up to here; None: all were read.
        examples: some of the user runs that failed; None where the logs cannot be read.
        commit: stable's. ``changed``: the files that changed since; None: nobody named it.
        alerts: titles of the alert policies on the service; None: nobody could look.
        revisions: those that there are; none where nobody could look.
    """
    plan, axis = rollout.plan, facts.end_of_axis(rollout, now)
    figures = figures_of(rollout, journal, exposures, now)
    writes, quiet = writes_of(rollout, journal)
    plan_back = tuple(advice.rollback_plan(figures))
    rows = checklist.items(
        checklist.Evidence(figures, checks, tuple(_absent(plan_back, figures, writes, checks)), alerts)
    )
    causes = dict(list(examples.causes(plan.candidate).items())[:MAX_CAUSES]) if examples else {}
    failed = [row.number for row in rows if row.state is checklist.State.FAILED]
    is_first = plan.candidate == plan.stable
    roles = (
        {"first revision": plan.candidate}
        if is_first
        else {"candidate": plan.candidate, "stable": plan.stable}
    )
    return Report(
        outcome=figures.outcome.label,
        tone=banner.tone(figures, failed),
        headline=banner.headline(figures, failed),
        impact=banner.impact(figures, causes),
        tiles=banner.tiles(figures),
        reason=rollout.reason,
        service=plan.ref.name,
        rollout_id=plan.rollout_id,
        attempt=rollout.attempt,
        candidate=plan.candidate,
        stable=plan.stable,
        image=plan.image,
        made=now,
        started=rollout.started,
        ended=facts.end_of(rollout),
        took=figures.took,
        users=tuple(
            Users(role, name, figures.met.get(name) if figures.met is not None else None)
            for role, name in roles.items()
        ),
        beside=notes.notes(rollout, figures.met),
        clocks=figures.clocks,
        left=left.left_on(rollout, figures.met, revisions),
        draining=left.words(rollout, figures.met),
        shares=facts.shares_of(rollout, axis) if rollout.reached else (),
        closes=tuple(closes),
        later=sum(c.abnormal for c in closes if c.revision == plan.candidate and c.start >= axis),
        gates=figures.gates,
        combined=figures.combined,
        judged_over=figures.judged_over,
        certified=figures.certified,
        validations=validations_of(journal),
        failure=failure_of(journal),
        examples=examples.of(plan.candidate) if examples else (),
        causes=causes,
        scenarios=figures.scenarios,
        writes=writes,
        quiet_writes=quiet,
        steps=facts.happened(rollout),
        checklist=rows,
        rollback=plan_back,
        risks=tuple(advice.risks(figures, checks)),
        next_steps=advice.next_steps(figures),
        findings=None if checks is None else tuple(map(_finding, checks.findings[:MAX_FINDINGS])),
        commit=commit,
        changed=changed,
        missing=tuple(_missing(journal, figures, read_until)),
        calls=_calls(journal),
    )


def _calls(journal: Sequence[Line]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for line in journal:
        total.update(line.calls)
    return dict(total.most_common(MAX_METHODS))


def _absent(
    plan: Sequence[advice.Command], figures: Figures, writes: Sequence[Write], checks: checked.Report | None
) -> Iterator[str]:
    """What of the twelfth row's papers this report does not hold."""
    if not any(step.line for step in plan):
        yield "a roll-back plan (there is no revision to go back to)"
    if figures.met is None:
        yield "risks as users met them (the logs could not be read)"
    if blank := sum(not write.etag for write in writes):
        yield f"the etags of {blank} of {len(writes)} writes"
    if checks is None or checks.additive_only is None:
        yield "what changed (no additive check was made)"
    both = {figures.rollout.plan.stable, figures.rollout.plan.candidate}
    if figures.met is not None and not (len(both) > 1 and both <= figures.met.keys()):
        yield "before and after (both revisions beside each other)"


def _finding(found: checked.Finding) -> Finding:
    place = f"{found.path}:{found.line}" if found.path else "project"
    return Finding(
        place, found.rule, str(found.severity), found.message, found.fix.title if found.fix else ""
    )


def _missing(journal: Sequence[Line], figures: Figures, read_until: datetime | None) -> Iterator[str]:
    if not journal:
        yield "The journal of this attempt is not on this machine: etags, transcripts and probe counts are not shown."
    if figures.met is None:
        yield "The logs could not be read: what users met is not shown."
    elif read_until is not None:
        yield f"The logs were read until {when(read_until)} only: what users met later is not counted."
    elif not figures.is_whole:
        yield "The logs hold less than was judged: a part of them is gone, and what users met is not shown whole."


def _plain(value: object) -> object:
    """JSON's values: times as ISO text, durations as seconds, enums as their value."""
    if isinstance(value, Struct):
        value = structs.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.value if isinstance(value, Enum) else value
