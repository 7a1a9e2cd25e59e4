"""The gates of a running stage, a line each: glyph, name, word, figures, and how many runs are still missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from pipeline.core.verification import asked_at
from pipeline.events import Look
from pipeline.judging import probes
from pipeline.judging.exposure import Exposure
from pipeline.judging.judgement import CriterionJudgement, Verdict
from pipeline.judging.metrics import LATENCY_NEEDS_PERCENT
from pipeline.judging.terms import Criterion
from pipeline.probe.probe_report import ProbeReport
from pipeline.redact import SINK
from pipeline.units import format_duration, format_rate

#: Glyph, style and word.
_SHOWN = {
    Verdict.PASS: ("+", "green", "pass"),
    Verdict.INCONCLUSIVE: ("?", "yellow", "undecided"),
    Verdict.FAIL: ("x", "bold red", "FAIL"),
}


Parts = list[Text]


def gate_lines(look: Look, met: Exposure | None = None) -> Iterator[Parts]:
    """Probes first, then the team's own commands, each criterion, and what certification still waits for: each as parts.

    Args:
        met: what users met on the candidate; None: not known.
    """
    s = look.situation
    yield _probes(look)
    yield from _verifications(look)
    criteria = {c.metric: c for c in s.rollout.plan.terms.criteria}
    for judged in s.stage_verdict.criteria:
        verdict = Verdict.FAIL if judged.metric == s.stage_verdict.blamed else judged.verdict
        criterion = criteria.get(judged.metric, Criterion(judged.metric))
        p95 = met.first_event_p95_ms if met and judged.metric == "first_event" else None
        yield _gate(judged, verdict, criterion, s.rollout.stage.percent, p95)
    if s.certification is not None:
        yield _line(s.certification.verdict, "certified", [SINK.shown(s.certification.reason)])


def _probes(look: Look) -> Parts:
    seen, beta = look.judge.probes, look.situation.rollout.plan.terms.beta
    unsure = probes.unsure(seen, beta)
    is_proved = bool(look.judge.failed) and not look.judge.blamed
    facts = [look.judge.failed if is_proved else unsure if seen.bad else f"{seen.ok} ok at this stage"]
    if look.probe is not None:
        facts += _last_round(look.probe)
    verdict = Verdict.FAIL if is_proved else Verdict.INCONCLUSIVE if unsure else Verdict.PASS
    return _line(verdict, "probes", [SINK.shown(fact) for fact in facts])


def _verifications(look: Look) -> Iterator[Parts]:
    s = look.situation
    ended = {each.name: each for each in s.verified}
    for asked in asked_at(s.rollout.plan.terms.verify, s.rollout.stage.percent):
        if (found := ended.get(asked.name)) is None:
            yield _line(Verdict.INCONCLUSIVE, asked.name, ["a command of yours, not ended yet"])
        else:
            words = SINK.shown(found.words.removeprefix(f"{found.name} "))
            yield _line(Verdict.PASS if found.is_ok else Verdict.FAIL, asked.name, [words])


def _last_round(report: ProbeReport) -> Iterator[str]:
    if report.obstacle:
        yield SINK.shown(f"no conversation: {report.obstacle}")
        return
    every = report.candidate
    yield f"last round {sum(c.is_ok for c in every)}/{len(every)}"
    if report.confirming:
        yield report.confirming_words
    slowest = max((c.first_event_s for c in every if c.first_event_s is not None), default=None)
    if report.failures:
        yield SINK.shown(f"{report.failures[0].kind.value}: {report.failures[0].detail}")
    elif slowest is not None:
        yield f"slowest first event {slowest * 1000:.0f}ms"


def _gate(
    judged: CriterionJudgement, verdict: Verdict, criterion: Criterion, percent: int, p95_ms: float | None
) -> Parts:
    slower, limit = criterion.slower_than, criterion.limit
    measured = "" if p95_ms is None else f"p95 {p95_ms:.0f}ms"
    if slower is not None and percent < LATENCY_NEEDS_PERCENT:
        early = [measured, f"judged from {LATENCY_NEEDS_PERCENT}% on"]
        return _line(verdict, judged.metric, filter(None, early), word="not yet")
    is_open = verdict is Verdict.INCONCLUSIVE and judged.needed
    facts = (
        measured,
        f"{judged.candidate_failures}/{judged.candidate_trials}"
        + (f" vs {judged.stable_failures}/{judged.stable_trials}" if judged.stable_trials else ""),
        f"about {judged.needed} more runs" if is_open else "",
        "" if slower is None else f"slower than {format_duration(slower)}",
        "" if limit is None else f"limit {format_rate(limit)}",
    )
    return _line(verdict, judged.metric, filter(None, facts))


def _line(verdict: Verdict, name: str, facts: Iterable[str], word: str = "") -> Parts:
    glyph, style, usual = _SHOWN[verdict]
    return [Text(f"{glyph} {name:<24} {word or usual:<9}", style=style), *map(Text, facts)]


def gates_in_words(judged: Iterable[CriterionJudgement]) -> str:
    """``3 pass, 1 undecided (about 90 more runs)``."""
    each = list(judged)
    parts = [f"{n} {_SHOWN[v][2]}" for v in Verdict if (n := sum(c.verdict is v for c in each))]
    missing = max((c.needed or 0 for c in each if c.verdict is Verdict.INCONCLUSIVE), default=0)
    return ", ".join(parts) + (f" (about {missing} more runs)" if missing else "")
