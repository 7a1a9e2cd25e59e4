"""All bets together, held against the bound on false roll-backs.  PURE.

Theory of operation. Each metric's bet is a mean of two: against stable where it runs beside the candidate, which has
nearly all of the stake, for there most is decided; and against a limit where it does not. All of them together are a
weighted mean over metrics, and of that and the probes' confirmations, which have a share of their own. Means of bets are
bets, so the one bound, 1/alpha, holds for *ever reaching it*: over metrics, stages, looks and probe rounds.

At 100 % nothing runs beside the candidate, and both revisions may fail more often by night than by day. There a limit's
bet counts only when the candidate also fails more than ``NIGHT`` times as often as stable can have failed beside it:
below that a human is called.
"""

from __future__ import annotations

from math import exp, log

from msgspec.structs import replace

from pipeline.judging import sequential
from pipeline.judging.counts import Counts
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.metrics import LATENCY_NEEDS_PERCENT
from pipeline.judging.probes import Probes
from pipeline.judging.terms import Criterion, Plan
from pipeline.units import format_rate

STAKE = 0.95  # of a metric's bet, on the comparison
PROBES = 0.1  # of alpha, for what follows a probe that failed
NIGHT = 3  # times as often as by day
_FEW_SHOW, _WORST_NIGHT = 0.3, 0.9  # however little stable showed, or much: who always fails is found
CLEARLY = log(20)  # what is no proof yet, and too much to pass over


def is_betted(criterion: Criterion, percent: int) -> bool:
    """Whether it may send a candidate back at this share; else it is counted and shown alone."""
    is_too_early = criterion.metric == "first_event" and percent < LATENCY_NEEDS_PERCENT
    return not (criterion.report_only or is_too_early)


def parts(plan: Plan) -> list[tuple[Criterion, float]]:
    """Of all bets together, each criterion's part; with ``PROBES`` they add up to 1."""
    betted = [c for c in plan.terms.criteria if not c.report_only]
    whole = sum(c.weight for c in betted) / (1 - PROBES)
    return [(c, c.weight / whole) for c in betted]


def threshold(plan: Plan, criterion: Criterion) -> float:
    """The bet at which this criterion alone brings all together to 1/alpha."""
    part = next((part for c, part in parts(plan) if c is criterion), 1.0)
    return 1 / (plan.terms.alpha * part)


def log_metric(state: JudgeState, plan: Plan, criterion: Criterion) -> float:
    """One metric's bet. What is not played lies untouched."""
    return sequential.log_sum(_log_halves(state, plan, criterion.metric))


def _log_halves(state: JudgeState, plan: Plan, metric: str) -> tuple[float, float]:
    """What a metric's bet is the sum of: against stable, and against its limit, each with its stake."""
    limited = log_limited(state, metric)
    if may_be_night(state, plan, metric):
        limited = min(limited, 0.0)
    return log(STAKE) + sequential.log_mean(state.compared[metric]), log(1 - STAKE) + limited


def log_limited(state: JudgeState, metric: str) -> float:
    """A metric's bet against its limit."""
    return sequential.log_mean(state.limited.get(metric) or sequential.opening(1))


def may_be_night(state: JudgeState, plan: Plan, metric: str) -> bool:
    """It is past its limit, and by no more than stable may be past it now, by what it showed while it ran beside."""
    if log_limited(state, metric) < CLEARLY:
        return False
    shown, limit = state.total.get(metric, Counts()), state.limits.get(metric, 0.0)
    if not shown.stable_trials:
        return False
    by_day = sequential.highest_rate(shown.stable_trials, shown.stable_failures, plan.terms.alpha)
    few = max(_FEW_SHOW, NIGHT * shown.stable_failures / shown.stable_trials)
    by_night = min(NIGHT * by_day, few, _WORST_NIGHT)
    now = state.alone.get(metric, Counts())
    if by_night <= limit:
        return False
    excess = sequential.against_limit(now.candidate_trials, now.candidate_failures, by_night)
    return sequential.log_mean(excess) < -log(plan.terms.alpha)


def is_reached(state: JudgeState, plan: Plan) -> bool:
    """Whether all bets together have reached 1/alpha."""
    bets = [log(part) + log_metric(state, plan, c) for c, part in parts(plan)]
    return sequential.log_sum((*bets, log(PROBES) + state.probes.log_e)) >= -log(plan.terms.alpha)


def is_proved_by_probes(seen: Probes, plan: Plan) -> bool:
    """Whether they reach the bound by themselves."""
    return log(PROBES) + seen.log_e >= -log(plan.terms.alpha)


def latched(state: JudgeState, plan: Plan) -> JudgeState:
    """A FAIL stays one, whatever the blocks after it show.

    The counts are from then on those that decided. Against a limit these are what was held against it. Beside stable they
    are the stage's if all failures are of this stage, else the whole rollout's (the last blocks of the stage before, and
    those while traffic was moving, belong to no stage).
    """
    if state.failed or not is_reached(state, plan):
        return state
    bets = [(log(part) + log_metric(state, plan, c), c.metric) for c, part in parts(plan)]
    _, blamed = max([(log(PROBES) + state.probes.log_e, ""), *bets], key=lambda each: each[0])
    if blamed:
        compared, limited = _log_halves(state, plan, blamed)
        if limited > compared:
            stage = {**state.stage, blamed: state.alone.get(blamed, Counts())}
            return replace(state, failed=past_limit(state, blamed), blamed=blamed, stage=stage)
    if any(
        c.candidate_failures != state.stage.get(m, Counts()).candidate_failures
        for m, c in state.total.items()
    ):
        state = replace(state, stage=state.total)
    if not blamed:
        return replace(state, failed=state.probes.words)
    return replace(state, failed=f"{blamed}: {figures(state.stage.get(blamed, Counts()))}", blamed=blamed)


def past_limit(state: JudgeState, metric: str) -> str:
    """What was held against a limit, in words: stable's figures beside it are of another time, and decided nothing."""
    shown = state.total.get(metric, Counts())
    beside = (
        f"; stable showed {shown.stable_failures}/{shown.stable_trials} while it ran beside"
        if shown.stable_trials
        else ""
    )
    here = figures(state.alone.get(metric, Counts()))
    return f"{metric} past its limit of {format_rate(state.limits.get(metric, 1.0))}: {here}{beside}"


def figures(c: Counts) -> str:
    """Of one criterion: how many failed of how many, and beside what."""
    beside = f" against {c.stable_failures}/{c.stable_trials} on stable" if c.stable_trials else ""
    return f"{c.candidate_failures}/{c.candidate_trials} failed{beside}"


def e_value(log_e: float) -> float:
    """As a number, which must not overflow."""
    return exp(min(log_e, 700))
