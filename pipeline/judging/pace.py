"""How long runs take to come, at the traffic that a stage has met.  PURE."""

from __future__ import annotations

from datetime import timedelta

from pipeline.judging.counts import Counts
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.terms import Plan
from pipeline.units import format_duration

_STEPS = (timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
_ROUGH = 3  # of a unit: from there on the next smaller one is noise
_LONGEST = timedelta(days=365)


def time_of(state: JudgeState, plan: Plan, runs: int) -> str:
    """In words with brackets, " (about 12m at this traffic)"; empty while nothing was met that would tell."""
    met = max((c.candidate_trials for c in state.stage.values()), default=0)
    return _words(state.stage_blocks * plan.terms.sampling.block, met, runs)


def time_to_compare(state: JudgeState, plan: Plan, runs: int) -> str:
    """The same, of runs that can be compared."""
    return _words(state.stage_blocks * plan.terms.sampling.block, state.comparable, runs)


def rate_of(counts: Counts) -> float:
    """The candidate's failures by its trials."""
    return counts.candidate_failures / counts.candidate_trials if counts.candidate_trials else 0.0


def _words(counted: timedelta, met: int, runs: int) -> str:
    if not met or not counted:
        return ""
    if counted.total_seconds() * runs / met > _LONGEST.total_seconds():
        return " (more than a year at this traffic)"
    return f" (about {format_duration(_rough(counted * (runs / met)))} at this traffic)"


def _rough(length: timedelta) -> timedelta:
    step = next((step for step in reversed(_STEPS) if length >= _ROUGH * step), _STEPS[0])
    return max(step, round(length / step) * step)
