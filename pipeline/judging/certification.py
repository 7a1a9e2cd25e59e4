"""Is the candidate good enough to be promoted? Asked once, over all the rollout's evidence.  PURE.

Each criterion with ``certify`` must have its rate ruled out at 1/beta; each client counts once per split's epoch.
"""

from __future__ import annotations

from datetime import timedelta
from math import log

from pipeline.judging import bound, sequential
from pipeline.judging.counts import Counts
from pipeline.judging.judgement import CriterionJudgement, Judgement, Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.terms import Plan
from pipeline.units import format_duration, format_rate

_TRUE_PARTS = (0.3, 0.5)  # of the level: what such a service would need is said
_STEPS = (timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
_ROUGH = 3  # of a unit: from there on the next smaller one is noise
_LONGEST = timedelta(days=365)


def certify(state: JudgeState, plan: Plan) -> Judgement:
    """Is every criterion with ``certify`` ruled out at 1/beta, over all the rollout's trials?"""
    wanted = [(c, c.certify) for c in plan.terms.criteria if c.certify is not None and not c.report_only]
    if not wanted:
        return Judgement(Verdict.PASS, "nothing to certify was asked for")
    each = tuple(_certified(state, plan, criterion.metric, level) for criterion, level in wanted)
    open_ones = [c for c in each if c.verdict is not Verdict.PASS]
    if open_ones:
        return Judgement(Verdict.INCONCLUSIVE, f"{open_ones[0].metric}: {open_ones[0].detail}", each)
    return Judgement(Verdict.PASS, "; ".join(f"{c.metric}: {c.detail}" for c in each), each)


def _certified(state: JudgeState, plan: Plan, metric: str, level: float) -> CriterionJudgement:
    seen = state.fresh.get(metric, Counts())
    n, x = seen.candidate_trials, seen.candidate_failures
    log_e = sequential.below_level(n, x, level)
    is_done = log_e >= -log(plan.terms.beta)
    needed = 0 if is_done else sequential.more_to_certify(n, x, level, plan.terms.beta)
    detail = (
        f"rate below {level:.4g} certified by {n} runs" if is_done else _missing(state, plan, metric, level)
    )
    verdict = Verdict.PASS if is_done else Verdict.INCONCLUSIVE
    return CriterionJudgement(
        metric, verdict, n, x, 0, 0, bound.e_value(log_e), 1 / plan.terms.beta, needed, detail
    )


def _missing(state: JudgeState, plan: Plan, metric: str, level: float) -> str:
    """How many runs are missing if all go well, if it goes on as so far, and how many other true rates would need."""
    seen, beta = state.fresh.get(metric, Counts()), plan.terms.beta
    n, x = seen.candidate_trials, seen.candidate_failures
    clean = sequential.more_to_certify(n, x, level, beta)
    words = f"about {clean} more clean runs{_time_of(state, plan, clean)}"
    if x:
        rate = x / max(n, x)  # a failure is a trial; a record may say otherwise
        more = sequential.median_to_certify(n, x, level, beta, rate)
        how = f"{more} more{_time_of(state, plan, more)}" if more else "it will hardly ever be certified"
        words += f", at the {format_rate(rate)} seen {how}"
    return f"{words}; {needed_at(level, beta)}"


def needed_at(level: float, beta: float) -> str:
    """What a service that is not without failures needs in all, in words."""
    rates = [part * level for part in _TRUE_PARTS]
    needs = [sequential.median_to_certify(0, 0, level, beta, rate) for rate in rates]
    return ", ".join(
        f"a true {format_rate(rate)} needs {need or 'too many'}"
        for rate, need in zip(rates, needs, strict=True)
    )


# -- how long runs take to come, at the traffic that the stage has met ------------------------------------------------


def _time_of(state: JudgeState, plan: Plan, runs: int) -> str:
    """In words with brackets, " (about 12m at this traffic)"; empty while nothing was met that would tell."""
    met = max((c.candidate_trials for c in state.stage.values()), default=0)
    return _words(state.stage_blocks * plan.terms.sampling.block, met, runs)


def time_to_compare(state: JudgeState, plan: Plan, runs: int) -> str:
    """The same, of runs that can be compared."""
    return _words(state.stage_blocks * plan.terms.sampling.block, state.comparable, runs)


def _words(counted: timedelta, met: int, runs: int) -> str:
    if not met or not counted:
        return ""
    if counted.total_seconds() * runs / met > _LONGEST.total_seconds():
        return " (more than a year at this traffic)"
    return f" (about {format_duration(_rough(counted * (runs / met)))} at this traffic)"


def _rough(length: timedelta) -> timedelta:
    step = next((step for step in reversed(_STEPS) if length >= _ROUGH * step), _STEPS[0])
    return max(step, round(length / step) * step)
