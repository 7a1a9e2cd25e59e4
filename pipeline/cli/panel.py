"""What a look at a rollout shows: header, weight, revisions as a tree with gates, events.  Values in, text out.

Every line is a ``rich.text.Text`` cut to the width; no markup is parsed, and whatever a service said goes through
``SINK.shown`` first. A state is told by glyph and word; colour only repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from pipeline.evidence import LATENCY_NEEDS_PERCENT, Exposure
from pipeline.judge import CriterionJudgement, Verdict
from pipeline.model import Criterion, Readiness
from pipeline.redact import SINK
from pipeline.rollout import ENDED, Phase, Rollout, Step
from pipeline.units import format_duration, format_rate

if TYPE_CHECKING:
    from pipeline.observer import Look

GLYPHS = {
    Verdict.PASS: ("+", "green"),
    Verdict.INCONCLUSIVE: ("?", "yellow"),
    Verdict.FAIL: ("x", "bold red"),
}
WORDS = {Verdict.PASS: "pass", Verdict.INCONCLUSIVE: "undecided", Verdict.FAIL: "FAIL"}
PHASES = {
    Phase.DEPLOYING: ("DEPLOYING", "cyan"),
    Phase.ROLLING: ("ROLLING", "cyan"),
    Phase.PAUSED: ("PAUSED", "yellow"),
    Phase.PROMOTED: ("PROMOTED", "bold green"),
    Phase.ROLLING_BACK: ("ROLLING BACK", "bold red"),
    Phase.ROLLED_BACK: ("ROLLED BACK", "bold red"),
}
_BAR = 20
_EVENTS = 6


@dataclass(frozen=True, slots=True)
class Seen:
    """What users met, from the logs.

    Args:
        exposures: revision to what was met since the rollout began.
        fresh: revision to connections accepted since the running stage began: the weight as it really is.
    """

    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    fresh: Mapping[str, int] = field(default_factory=dict)

    def of(self, revision: str) -> Exposure | None:
        return self.exposures.get(revision)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line under "events"."""

    at: datetime
    text: str

    @classmethod
    def of(cls, step: Step) -> Happening:
        by = f"  by {step.by}" if step.by else ""
        return cls(step.at, f"{step.event.value} {step.percent}%{by}  {step.reason}".rstrip())


def render(look: Look, events: Sequence[Happening], seen: Seen | None, now: datetime, width: int) -> Group:
    """The whole picture, one line per fact, none wider than ``width`` columns.

    Args:
        events: newest last; empty: the record's own history.
        seen: None when the logs were not, or could not be, read.
    """
    happened = events or [Happening.of(step) for step in look.situation.rollout.history]
    lines = [
        _header(look, now),
        _weight(look, seen),
        *_reason(look),
        *_tree(look, seen, now),
        Text("events", style="bold"),
        *(_event(happening) for happening in happened[-_EVENTS:]),
    ]
    for line in lines:
        line.truncate(max(20, width), overflow="ellipsis")
        line.no_wrap = True
    return Group(*lines)


def _header(look: Look, now: datetime) -> Text:
    current = look.situation.rollout
    word, style = PHASES[current.phase]
    ended = current.phase in ENDED
    until = current.history[-1].at if ended and current.history else now
    line = Text(SINK.shown(current.plan.ref.service), style="bold")
    line.append(f"  {SINK.shown(current.plan.ref.location)}   ", style="not bold")
    line.append(word, style=style)
    line.append(f"   stage {current.stage + 1}/{len(current.plan.stages)}", style="not bold")
    line.append(f"   {'took' if ended else 'elapsed'} {clock(until - current.started)}", style="not bold")
    coming = upcoming(current, now)
    if coming:
        line.append(f"   next: {coming}", style="not bold")
    return line


def upcoming(current: Rollout, now: datetime) -> str:
    """The next change of traffic and when it can come at the earliest; empty when none is planned."""
    if current.phase is Phase.ROLLING_BACK:
        return "reading traffic back"
    if current.phase is Phase.PAUSED:
        return "waits for promote"
    if current.phase is not Phase.ROLLING:
        return ""
    left = current.since + current.current.soak - now
    then = "promotion" if current.is_last_stage else f"{current.plan.stages[current.stage + 1].percent}%"
    if current.current.hold:
        then = "hold for promote"
    return f"{then} in {clock(left)}" if left > timedelta(0) else f"{then} when the gates pass"


def _weight(look: Look, seen: Seen | None) -> Text:
    s = look.situation
    candidate, stable = s.rollout.plan.candidate, s.rollout.plan.stable
    wanted, serving = s.live.wanted.percent_of(candidate), s.live.serving.percent_of(candidate)
    line = Text("weight", style="bold")
    line.append(f"   set {wanted}%", style="not bold")
    if wanted != serving:
        line.append(f" (serving {serving}%, moving)", style="yellow")
    if seen is None:
        line.append("   users: no log lines yet", style="dim")
        return line
    to_candidate, to_all = seen.fresh.get(candidate, 0), sum(seen.fresh.values())
    if to_all:
        share = f"{100 * to_candidate / to_all:.1f}%"
        line.append(f"   actual {share} of new connections ({to_candidate:,}/{to_all:,})", style="not bold")
    opened = [
        f"{name} {e.open_sockets:,}"
        for name, r in (("candidate", candidate), ("stable", stable))
        if (e := seen.of(r))
    ]
    if opened:
        line.append(f"   still open: {', '.join(opened)}", style="not bold")
    return line


def _reason(look: Look) -> Iterator[Text]:
    """Why it stands where it stands, when that needs saying."""
    s = look.situation
    if s.drift:
        yield Text(f"! drift: {SINK.shown(s.drift)}", style="bold yellow")
    if s.blind:
        yield Text(f"? cannot look: {SINK.shown(s.blind)}", style="yellow")
    if s.rollout.reason and s.rollout.phase not in (Phase.ROLLING, Phase.DEPLOYING) and not s.drift:
        yield Text(f"why      {SINK.shown(s.rollout.reason)}")


def _tree(look: Look, seen: Seen | None, now: datetime) -> Iterator[Text]:
    s = look.situation
    plan = s.rollout.plan
    yield Text(f"~ {SINK.shown(plan.ref.service)}")
    yield _revision("|-- ", look, now, is_stable=False)
    for line in _gates(look):
        yield Text("|   |-- ") + line
    exposure = seen.of(plan.candidate) if seen else None
    yield Text("|   `-- ") + (
        _closes(exposure) if exposure else Text("closes        no log lines yet", style="dim")
    )
    yield _revision("`-- ", look, now, is_stable=True)
    exposure = seen.of(plan.stable) if seen else None
    if exposure:
        yield Text("    `-- ") + _closes(exposure)


def _revision(branch: str, look: Look, now: datetime, *, is_stable: bool) -> Text:
    plan = look.situation.rollout.plan
    name, revision = (plan.stable, look.stable) if is_stable else (plan.candidate, look.candidate)
    percent = look.situation.live.serving.percent_of(name)
    line = Text(branch)
    line.append(SINK.shown(name), style="bold")
    line.append(f"  {'stable' if is_stable else 'candidate':<9} {percent:>3}%  ")
    line.append(bar(percent), style="green" if is_stable else "cyan")
    if revision is None:
        line.append("  is gone" if is_stable else "  not there yet", style="yellow")
    elif revision.readiness is not Readiness.READY:
        line.append(f"  {revision.readiness.value}: {SINK.shown(revision.message)}", style="red")
    elif not is_stable:
        line.append(f"  up {clock(now - revision.create_time)}")
    if is_stable:
        line.append("  rollback target")
    return line


def _gates(look: Look) -> Iterator[Text]:
    yield _probes(look)
    plan = look.situation.rollout.plan
    limits = {c.metric: c for c in plan.criteria}
    for judged in look.situation.stage_verdict.criteria:
        yield _gate(judged, limits.get(judged.metric), look.situation.rollout.current.percent)
    certification = look.situation.certification
    if certification is not None and certification.verdict is not Verdict.PASS:
        yield _marked(certification.verdict, "certify", SINK.shown(certification.reason))


def _probes(look: Look) -> Text:
    ok, bad = look.judge.probes_ok, look.judge.probes_bad
    verdict = Verdict.FAIL if bad else Verdict.PASS if ok else Verdict.INCONCLUSIVE
    facts = [f"{ok} ok at this stage" if not bad else f"{bad} failed, confirmed against stable"]
    if look.probe is not None:
        count = len(look.probe.candidate)
        facts.append(f"last round {count - len(look.probe.failures)}/{count}")
        first = sorted(c.first_event_s for c in look.probe.candidate if c.first_event_s is not None)
        if first:
            facts.append(f"slowest first event {first[-1] * 1000:.0f}ms")
        if look.probe.failures:
            failed = look.probe.failures[0]
            facts.append(SINK.shown(f"{failed.kind.value}: {failed.detail}"))
    return _marked(verdict, "probes", " | ".join(facts), word=WORDS[verdict])


def _gate(judged: CriterionJudgement, criterion: Criterion | None, percent: int) -> Text:
    facts = [f"{judged.candidate_failures}/{judged.candidate_trials}"]
    if judged.stable_trials:
        facts.append(f"stable {judged.stable_failures}/{judged.stable_trials}")
    if criterion is not None and criterion.limit is not None:
        facts.append(f"limit {format_rate(criterion.limit)}")
    if criterion is not None and criterion.slower_than is not None:
        facts.append(f"slower than {format_duration(criterion.slower_than)}")
        if percent < LATENCY_NEEDS_PERCENT:
            return _marked(
                Verdict.INCONCLUSIVE,
                judged.metric,
                "  ".join(facts),
                word=f"shown, judged from {LATENCY_NEEDS_PERCENT}%",
            )
    word = WORDS[judged.verdict]
    if judged.verdict is Verdict.INCONCLUSIVE and judged.needed:
        word += f", about {judged.needed} more runs"
    return _marked(judged.verdict, judged.metric, "  ".join(facts), word=word)


def _marked(verdict: Verdict, name: str, facts: str, word: str = "") -> Text:
    glyph, style = GLYPHS[verdict]
    line = Text(f"{glyph} ", style=style)
    line.append(f"{name:<24} {word:<10}" if word else f"{name:<24} ", style=style)
    line.append(f" {facts}", style="not bold default")
    return line


def _closes(exposure: Exposure) -> Text:
    closes = "  ".join(f"{kind} {count:,}" for kind, count in sorted(exposure.closes.items())) or "none yet"
    line = Text(f"sessions {exposure.sessions:,}   closes: {closes}   ")
    affected = f"affected {exposure.affected:,}"
    line.append(affected, style="bold red" if exposure.affected else "")
    return line


def _event(happening: Happening) -> Text:
    line = Text(f" {happening.at:%H:%M:%S}  ", style="dim")
    line.append(SINK.shown(happening.text), style="not dim")
    return line


def bar(percent: int, width: int = _BAR) -> str:
    """``####....``: a share that is not nothing shows at least one mark, one that is not all at most all but one."""
    marks = round(width * percent / 100)
    if 0 < percent < 100:
        marks = min(max(1, marks), width - 1)
    return "#" * marks + "." * (width - marks)


def clock(duration: timedelta) -> str:
    """``06:12``, ``1:06:12``, ``2d 01:06``."""
    seconds = max(0, round(duration.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest % 60:02d}" if hours else f"{minutes:02d}:{rest % 60:02d}"


def gates_in_words(judged: Iterable[CriterionJudgement]) -> str:
    """``3 pass, 1 undecided (about 90 more runs)``."""
    each = list(judged)
    parts = [f"{n} {WORDS[v]}" for v in Verdict if (n := sum(c.verdict is v for c in each))]
    missing = max((c.needed or 0 for c in each if c.verdict is Verdict.INCONCLUSIVE), default=0)
    return ", ".join(parts) + (f" (about {missing} more runs)" if missing else "")
