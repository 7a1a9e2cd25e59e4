"""Gates: each criterion as it was judged when it was decided, and all of them together.  PURE.

The judge's state goes on after the decision (the roll-back opens another split, and a raise another stage, where nothing
was counted yet), so a rollout that is not under way is shown by ``last``, the judgement that the record kept.
"""

from __future__ import annotations

from math import log

from msgspec import Struct

from pipeline.core.rollout import Phase, Rollout
from pipeline.judging import judge
from pipeline.judging.judgement import CriterionJudgement, Judgement, Verdict
from pipeline.judging.metrics import METRICS
from pipeline.judging.terms import Criterion
from pipeline.units import format_duration, format_rate


class Gate(Struct, frozen=True):
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
        return min(1.0, max(0.0, log(max(self.e_value, 1.0)) / log(max(self.threshold, 1.1))))


class Combined(Struct, frozen=True):
    """What all criteria say together: the weighted mean of their bets, and what sends a candidate back."""

    e_value: float
    threshold: float
    reason: str


def judgement_of(rollout: Rollout) -> Judgement:
    """The judgement to show: of now while it is under way, else the last that was recorded; empty when there is none."""
    kept = rollout.last.judgement if rollout.last else None
    # a record that grew too long drops the bets
    is_whole = all(c.metric in rollout.judge.compared for c in rollout.plan.terms.criteria)
    if kept is not None and (rollout.phase is not Phase.ROLLING or not is_whole):
        return kept
    if not is_whole:
        return Judgement(Verdict.INCONCLUSIVE, "")
    return judge.judge_stage(rollout.judge, rollout.plan, rollout.stage_index)


def judged_over(rollout: Rollout) -> str:
    """What the counts of ``judgement_of`` are of, in words: right after a raise the stage before still speaks."""
    judgement = judgement_of(rollout)
    if judgement.verdict is Verdict.FAIL and rollout.judge.blamed:
        return "the blocks that decided"
    # A raise opens a stage that has counted nothing yet: what is shown was counted under the one before.
    is_empty = not any(c.candidate_trials for c in rollout.judge.stage.values())
    is_before = is_empty and any(c.candidate_trials for c in judgement.criteria) and rollout.stage_index > 0
    return f"the stage with {rollout.plan.terms.stages[rollout.stage_index - is_before].percent} %"


def gates_of(rollout: Rollout) -> tuple[tuple[Gate, ...], Combined]:
    """Every criterion as it was judged, in the order of the configuration, and all together."""
    judgement = judgement_of(rollout)
    bound = 1 / rollout.plan.terms.alpha
    together = sum(c.e_value * bound / c.threshold for c in judgement.criteria)
    combined = Combined(together, bound, judgement.reason)
    return tuple(
        _gate(rollout, judged, is_blamed=judged.metric == judgement.blamed) for judged in judgement.criteria
    ), combined


def certified_of(rollout: Rollout) -> tuple[Gate, ...]:
    """What was asked to be certified, over all the rollout's trials; empty before any user met the candidate."""
    if not rollout.reached:
        return ()
    return tuple(_gate(rollout, c, certify=True) for c in judge.certify(rollout.judge, rollout.plan).criteria)


def _gate(
    rollout: Rollout, judged: CriterionJudgement, *, certify: bool = False, is_blamed: bool = False
) -> Gate:
    criterion = next(
        (c for c in rollout.plan.terms.criteria if c.metric == judged.metric), Criterion(judged.metric)
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
    slower = f", slower than {format_duration(criterion.slower_than)}" if criterion.slower_than else ""
    limit = (
        "not worse than stable" if criterion.limit is None else f"{format_rate(criterion.limit)} or stable's"
    )
    return f"{limit}{slower}"
