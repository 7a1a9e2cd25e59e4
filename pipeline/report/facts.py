"""The figures of a report that the record and the logs hold: shares over time, gates, the two clocks.  PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log

from pipeline import judge
from pipeline.evidence import METRICS, Exposure
from pipeline.judge import CriterionJudgement, Judgement, Verdict
from pipeline.model import Criterion
from pipeline.rollout import Event, Rollout
from pipeline.units import format_duration, format_rate


@dataclass(frozen=True, slots=True)
class Share:
    """From ``at`` on the candidate had ``percent`` of new connections. ``event``: what changed it."""

    at: datetime
    percent: int
    event: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One criterion as it was last judged. ``trials``, ``failures``: of the candidate, then of stable beside it."""

    metric: str
    meaning: str
    limit: str
    candidate: tuple[int, int]
    stable: tuple[int, int]
    verdict: str
    detail: str
    e_value: float
    threshold: float

    @property
    def evidence(self) -> float:
        """How far the bet has come from nothing (1) to its threshold, on a logarithmic scale: 1 decides."""
        return min(1.0, max(0.0, log(max(self.e_value, 1.0)) / log(self.threshold)))


@dataclass(frozen=True, slots=True)
class Combined:
    """What all criteria say together: the mean of their bets, and what sends a candidate back."""

    e_value: float
    threshold: float
    reason: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks of a roll-back: new connections safe, and the last socket off the candidate.

    Args:
        first_bad: start of the first user session that failed on the candidate.
        decided: the roll-back write was accepted. ``safe``: traffic was read back.
        left: sockets still open on the candidate when the report was made; None: not known.
        drained: when the last of them closed; None while some are open, or when it is not known.
    """

    first_bad: datetime | None = None
    decided: datetime | None = None
    safe: datetime | None = None
    left: int | None = None
    drained: datetime | None = None

    @property
    def to_safe(self) -> timedelta | None:
        """From the first bad session until new connections were safe."""
        start = self.first_bad or self.decided
        return self.safe - start if start and self.safe and self.safe >= start else None


def end_of_axis(rollout: Rollout, now: datetime) -> datetime:
    """Until when a chart of this rollout goes: a little beyond its end, because sockets outlive it; never beyond now."""
    if rollout.outcome is None or not rollout.history:
        return now
    ended = rollout.history[-1].at
    return min(now, ended + max((ended - rollout.started) / 5, timedelta(seconds=2)))


def shares_of(rollout: Rollout, until: datetime) -> tuple[Share, ...]:
    """Every change of the candidate's share; the last one is repeated at ``until``, so that a line has an end."""
    shares = [Share(rollout.started, 0, "started")]
    shares += [Share(step.at, step.percent, step.event.value) for step in rollout.history]
    return (*shares, Share(max(until, shares[-1].at), shares[-1].percent, ""))


def clocks_of(rollout: Rollout, candidate: Exposure | None) -> Clocks:
    """What the history and the logs say; all None for a rollout that never went back."""
    decided = next((s.at for s in reversed(rollout.history) if s.event is Event.FAILED), None)
    if decided is None:
        return Clocks(first_bad=candidate.first_bad_at if candidate else None)
    safe = next((s.at for s in rollout.history if s.event is Event.RESTORED and s.at >= decided), None)
    left = candidate.open_sockets if candidate else None
    drained = candidate.last_close_at if candidate and not candidate.open_sockets else None
    return Clocks(candidate.first_bad_at if candidate else None, decided, safe, left, drained)


def gates_of(rollout: Rollout) -> tuple[tuple[Gate, ...], Combined]:
    """Every criterion as the judge's state in the record has it, in the order of the configuration, and all together."""
    judgement = judge.judge_stage(rollout.judge, rollout.plan, rollout.stage)
    together = [c.e_value for c in judgement.criteria]
    combined = Combined(
        sum(together) / len(together) if together else 0.0, 1 / rollout.plan.alpha, judgement.reason
    )
    guilty = blamed(judgement)
    return tuple(
        _gate(rollout, judged, is_blamed=judged.metric == guilty) for judged in judgement.criteria
    ), combined


def blamed(judgement: Judgement) -> str:
    """The metric that the judge's reason names; the mean of all bets may convict where no single one does."""
    if judgement.verdict is not Verdict.FAIL:
        return ""
    return next((c.metric for c in judgement.criteria if judgement.reason.startswith(f"{c.metric}:")), "")


def certified_of(rollout: Rollout) -> tuple[Gate, ...]:
    """What was asked to be certified, over all the rollout's trials; empty before any user met the candidate."""
    if not rollout.reached:
        return ()
    return tuple(_gate(rollout, c, certify=True) for c in judge.certify(rollout.judge, rollout.plan).criteria)


def _gate(
    rollout: Rollout, judged: CriterionJudgement, *, certify: bool = False, is_blamed: bool = False
) -> Gate:
    criterion = next(
        (c for c in rollout.plan.criteria if c.metric == judged.metric), Criterion(judged.metric)
    )
    verdict = Verdict.FAIL if is_blamed else judged.verdict
    return Gate(
        metric=judged.metric,
        meaning=METRICS.get(judged.metric, ""),
        limit=_limit(criterion, certify=certify),
        candidate=(judged.candidate_trials, judged.candidate_failures),
        stable=(judged.stable_trials, judged.stable_failures),
        verdict="undecided" if verdict is Verdict.INCONCLUSIVE else verdict.value,
        detail=judged.detail,
        e_value=judged.e_value,
        threshold=judged.threshold,
    )


def _limit(criterion: Criterion, *, certify: bool) -> str:
    if certify:
        return f"below {format_rate(criterion.certify)}" if criterion.certify is not None else "-"
    words = (
        "not worse than stable" if criterion.limit is None else f"{format_rate(criterion.limit)} or stable's"
    )
    slower = f", slower than {format_duration(criterion.slower_than)}" if criterion.slower_than else ""
    return words + slower
