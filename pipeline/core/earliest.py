"""When a rollout can be promoted at the earliest, at the traffic that the service has.  PURE.

A stage is left no sooner than its soak ends, and not before users have brought the runs that it needs: after the warm-up,
in whole blocks, each judged once its last run had its time and its lines may have come. The last stage waits for the
certification as well, whose runs are those of all stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import ceil

from msgspec import Struct

from pipeline.judging.judge import counts_runs
from pipeline.judging.terms import Plan, Stage


class Leg(Struct, frozen=True):
    """One stage: how long it takes at least, and the runs on the candidate that it takes that long for.

    Args:
        runs: 0 where its soak is longer than they take.
    """

    percent: int
    takes: timedelta
    runs: int = 0


def legs(plan: Plan, rate: float | None, certification: Mapping[str, int]) -> tuple[Leg, ...]:
    """Every stage in order.

    Args:
        rate: users' runs per second on the whole service; None: not known, and then it is not what is waited for.
        certification: clean runs that each certified criterion needs.
    """
    made: list[Leg] = []
    certified = 0.0
    most = max(certification.values(), default=0)
    for number, stage in enumerate(plan.terms.stages):
        is_last = number == len(plan.terms.stages) - 1
        needed = plan.terms.sampling.min_trials
        if is_last:
            needed = max(needed, ceil(most - certified))
        leg = _leg(plan, stage, rate, needed)
        certified += _judged(plan, leg, rate)
        made.append(leg)
    return tuple(made)


def _leg(plan: Plan, stage: Stage, rate: float | None, runs: int) -> Leg:
    if not stage.percent or not counts_runs(plan):
        return Leg(stage.percent, stage.soak)
    sampling = plan.terms.sampling
    per_second = rate * stage.percent / 100 if rate else None
    blocks = ceil(runs / (per_second * sampling.block.total_seconds())) if per_second else 1
    takes = sampling.warm_up + blocks * sampling.block + sampling.within + sampling.lateness
    return Leg(stage.percent, takes, runs) if takes > stage.soak else Leg(stage.percent, stage.soak)


def _judged(plan: Plan, leg: Leg, rate: float | None) -> float:
    """Runs on the candidate that are judged while the stage lasts."""
    sampling = plan.terms.sampling
    unjudged = sampling.warm_up + sampling.within + sampling.lateness
    seconds = max(0.0, (leg.takes - unjudged).total_seconds())
    return seconds * (rate or 0.0) * leg.percent / 100
