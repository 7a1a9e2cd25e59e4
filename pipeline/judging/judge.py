"""Is the candidate worse than the stable revision beside it? Is it good enough to promote?  PURE.

Theory of operation. Two questions, two tests (``sequential.py`` has the mathematics and its bounds).

*Roll back*: for each criterion a bet that the candidate fails more often than stable, block by block. Where no stable
runs beside it (at 100 %, or while stable has not shown a run), the bet is against a limit, fixed by the
first such block: the criterion's own, or the rate that stable's blocks certified, whichever is higher. The mean over criteria reaching 1/alpha is a FAIL, and the
largest term is blamed: at most alpha of all rollouts of a candidate that is not worse ever get there.

*Promote*: each criterion with ``certify`` must have its rate ruled out at 1/beta, over all the rollout's evidence.

Between them lies INCONCLUSIVE, which holds the weight: too few trials, no green probe yet, or an incident that both
revisions share. Probes are counted apart and never pooled with users: the first confirmed failure is a FAIL.

``JudgeState`` is all that is remembered, small enough for the record. A block is taken in once: the same block again
(after a restart, or read twice) changes nothing, so any number of processes may replay.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import exp, log

from pipeline.judging import evidence, sequential
from pipeline.judging.evidence import Block, Counts
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.sequential import trials_to_certify
from pipeline.judging.terms import Criterion, Plan

__all__ = ["CriterionJudgement", "JudgeState", "Judgement", "Verdict", "begin", "certify", "judge_stage", "new_stage",
           "observe", "observe_probes", "trials_to_certify"]  # fmt: skip

_CLEARLY = log(20)  # a common incident is one that both arms' limit tests show at 1 in 20


class Verdict(StrEnum):
    """Worst first."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - a verdict


@dataclass(frozen=True, slots=True)
class CriterionJudgement:
    """One criterion's share of a verdict. ``needed``: clean trials until it is decided, where that is known."""

    metric: str
    verdict: Verdict
    candidate_trials: int
    candidate_failures: int
    stable_trials: int
    stable_failures: int
    e_value: float
    threshold: float
    needed: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and why. ``blamed``: the metric that a FAIL rests on, which need not have failed alone; empty for probes."""

    verdict: Verdict
    reason: str
    criteria: tuple[CriterionJudgement, ...] = ()
    blamed: str = ""

    @property
    def rounded(self) -> Judgement:
        """With bets as they are written down: to four digits, and none so large that JSON could not hold it."""
        criteria = (replace(c, e_value=float(f"{min(c.e_value, 1e12):.4g}")) for c in self.criteria)
        return replace(self, criteria=tuple(criteria))

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "blamed": self.blamed,
            "criteria": [{**asdict(c), "verdict": c.verdict.value} for c in self.rounded.criteria],
        }


def begin(plan: Plan) -> JudgeState:
    """Fresh bets on every criterion; those against a limit open when it is known."""
    return JudgeState(
        compared={c.metric: sequential.opening(len(sequential.ODDS)) for c in plan.terms.criteria}
    )


def new_stage(state: JudgeState) -> JudgeState:
    """The next stage counts its own trials and probes; the bets go on."""
    return replace(state, stage={}, probes_ok=0)


def observe(state: JudgeState, plan: Plan, block: Block, *, in_stage: bool = True) -> JudgeState:
    """Take one closed block in; a block that was taken in before changes nothing.

    Args:
        in_stage: it began after the stage's traffic arrived; other blocks count for the rollout alone.
    """
    if (block.split_epoch, block.index) <= state.seen:
        return state
    feed = _feed(state, plan)  # the same for all: it depends on how many blocks there were before
    for criterion in plan.terms.criteria:
        tables = block.counts.get(criterion.metric)
        if tables is not None:
            counts = block.whole(criterion.metric)
            state = _count(state, criterion.metric, counts, in_stage=in_stage)
            if block.percent == 100 or not state.total[criterion.metric].stable_trials:
                state = _against_limit(state, plan, criterion, counts, feed)
            else:
                state = _against_stable(state, criterion.metric, tables, feed)
    seen = (block.split_epoch, block.index)
    state = replace(state, blocks=state.blocks + 1, seen=seen, clients=block.memory)
    return _latched(state, plan)


def _latched(state: JudgeState, plan: Plan) -> JudgeState:
    """The mean bet over criteria is held against 1/alpha: a FAIL stays one, whatever the blocks after it show.

    (The bound is on *ever* reaching it.)

    The counts are from then on those that decided: the stage's if all failures are of this stage, else the whole
    rollout's (the last blocks of the stage before, and those while traffic was moving, belong to no stage).
    """
    bets = [_log_metric(state, c.metric) for c in plan.terms.criteria]
    if state.failed or not bets or sequential.log_mean(bets) < -log(plan.terms.alpha):
        return state
    if any(
        c.candidate_failures != state.stage.get(m, Counts()).candidate_failures
        for m, c in state.total.items()
    ):
        state = replace(state, stage=state.total)
    blamed = max((_criterion(state, plan, c) for c in plan.terms.criteria), key=lambda c: c.e_value)
    return replace(state, failed=f"{blamed.metric}: {blamed.detail}", blamed=blamed.metric)


def _count(state: JudgeState, metric: str, counts: Counts, *, in_stage: bool) -> JudgeState:
    state = replace(state, total={**state.total, metric: state.total.get(metric, Counts()) + counts})
    if not in_stage or state.failed:
        return state
    return replace(state, stage={**state.stage, metric: state.stage.get(metric, Counts()) + counts})


def _against_stable(state: JudgeState, metric: str, tables: tuple[Counts, ...], feed: float) -> JudgeState:
    """Strata are tables of their own: given each one's failures, the ratios multiply."""
    each = (
        sequential.against_stable(
            c.candidate_trials, c.candidate_failures, c.stable_trials, c.stable_failures
        )
        for c in tables
    )
    ratios = tuple(map(sum, zip(*each, strict=True)))
    bets = sequential.step(state.compared[metric], ratios, feed)
    return replace(state, compared={**state.compared, metric: bets})


def _against_limit(
    state: JudgeState, plan: Plan, criterion: Criterion, counts: Counts, feed: float
) -> JudgeState:
    metric = criterion.metric
    limit = state.limits[metric] if metric in state.limits else _limit_alone(state, plan, criterion, counts)
    if not sequential.limit_grid(limit):
        return state
    before = state.limited.get(metric) or sequential.opening(len(sequential.limit_grid(limit)))
    ratios = sequential.against_limit(counts.candidate_trials, counts.candidate_failures, limit)
    return replace(
        state,
        limits={**state.limits, metric: limit},
        limited={**state.limited, metric: sequential.step(before, ratios, feed)},
    )


def _limit_alone(state: JudgeState, plan: Plan, criterion: Criterion, counts: Counts) -> float:
    """What holds where no stable runs beside: the limit; if stable's runs before this block refute it, what they showed.

    Few runs of stable refute nothing, so they raise no limit. 1.0, which nothing can exceed, when there is neither.
    """
    total = state.total[criterion.metric]
    trials, failures = (
        total.stable_trials - counts.stable_trials,
        total.stable_failures - counts.stable_failures,
    )
    if criterion.limit is not None:
        excess = sequential.against_limit(trials, failures, criterion.limit)
        if not excess or sequential.log_mean(excess) < -log(plan.terms.beta):
            return criterion.limit
    shown = sequential.certified_level(trials, failures, plan.terms.beta)
    return shown if criterion.limit is None else max(criterion.limit, shown)


def _feed(state: JudgeState, plan: Plan) -> float:
    """log of what this block's bets are fed from the half held back."""
    blocks = evidence.horizon((stage.soak for stage in plan.terms.stages), plan.terms.sampling)
    return sequential.feed(state.blocks, blocks)


def observe_probes(state: JudgeState, *, ok: int, bad: int) -> JudgeState:
    """Take a probe round in. ``bad`` are failures that the control did not share."""
    return replace(state, probes_ok=state.probes_ok + ok, probes_bad=state.probes_bad + bad)


def judge_stage(state: JudgeState, plan: Plan, stage: int) -> Judgement:
    """May this stage pass? FAIL at 1/alpha, INCONCLUSIVE while evidence is missing."""
    percent = plan.terms.stages[stage].percent
    criteria = tuple(_criterion(state, plan, c) for c in plan.terms.criteria) if percent else ()
    if state.probes_bad:
        return Judgement(
            Verdict.FAIL, f"{state.probes_bad} probe conversations failed, confirmed against stable", criteria
        )
    if state.failed:
        return Judgement(Verdict.FAIL, state.failed, criteria, state.blamed)
    if not state.probes_ok:
        return Judgement(Verdict.INCONCLUSIVE, "no green probe round at this stage yet", criteria)
    if not percent:
        return Judgement(Verdict.PASS, f"{state.probes_ok} probe conversations ok", criteria)
    return _with_users(state, plan, criteria, percent)


def _with_users(
    state: JudgeState, plan: Plan, criteria: tuple[CriterionJudgement, ...], percent: int
) -> Judgement:
    held = "stable" if percent < 100 else "its limits"
    trials = max((c.candidate_trials for c in state.stage.values()), default=0)
    common = [c.metric for c in plan.terms.criteria if _is_common(state, c)]
    if common:
        return Judgement(
            Verdict.INCONCLUSIVE, f"common incident: {', '.join(common)} past its limit on both", criteria
        )
    if plan.terms.criteria and trials < plan.terms.sampling.min_trials:
        reason = f"{trials} of {plan.terms.sampling.min_trials} agent runs at this stage"
        return Judgement(Verdict.INCONCLUSIVE, reason, criteria)
    loose = [c.metric for c in plan.terms.criteria if percent < 100 and _is_loose(state, c)]
    if loose:
        reason = f"nothing to hold {', '.join(loose)} against: no runs on stable at this stage, and no limit"
        return Judgement(Verdict.INCONCLUSIVE, reason, criteria)
    return Judgement(Verdict.PASS, f"{trials} agent runs, not worse than {held}", criteria)


def _is_loose(state: JudgeState, criterion: Criterion) -> bool:
    """It was counted in this stage and compared with nothing: that is no pass."""
    counts = state.stage.get(criterion.metric)
    return counts is not None and not counts.stable_trials and criterion.metric not in state.limited


def _is_common(state: JudgeState, criterion: Criterion) -> bool:
    """Both arms are clearly past the limit in this stage: rolling back would help nobody."""
    counts = state.stage.get(criterion.metric)
    if counts is None or not criterion.limit or not counts.stable_trials:
        return False
    arms = (
        (counts.candidate_trials, counts.candidate_failures),
        (counts.stable_trials, counts.stable_failures),
    )
    return all(
        sequential.log_mean(sequential.against_limit(n, x, criterion.limit)) >= _CLEARLY for n, x in arms
    )


def _log_metric(state: JudgeState, metric: str) -> float:
    """A metric's bet: half on the comparison, half on the limit; what is not played lies untouched."""
    limited = state.limited.get(metric) or sequential.opening(1)
    return sequential.log_mean((sequential.log_mean(state.compared[metric]), sequential.log_mean(limited)))


def _criterion(state: JudgeState, plan: Plan, criterion: Criterion) -> CriterionJudgement:
    counts = state.stage.get(criterion.metric, Counts())
    log_e = _log_metric(state, criterion.metric)
    # At this bet one criterion alone brings the mean of them all to 1/alpha.
    threshold = len(plan.terms.criteria) / plan.terms.alpha
    few = counts.candidate_trials < plan.terms.sampling.min_trials
    is_bad = log_e >= log(threshold)
    verdict = Verdict.FAIL if is_bad else Verdict.INCONCLUSIVE if few else Verdict.PASS
    return CriterionJudgement(
        metric=criterion.metric,
        verdict=verdict,
        candidate_trials=counts.candidate_trials,
        candidate_failures=counts.candidate_failures,
        stable_trials=counts.stable_trials,
        stable_failures=counts.stable_failures,
        e_value=exp(min(log_e, 700)),  # beyond that a float overflows
        threshold=threshold,
        needed=plan.terms.sampling.min_trials - counts.candidate_trials if few else None,
        detail=_figures(counts),
    )


def _figures(c: Counts) -> str:
    beside = f" against {c.stable_failures}/{c.stable_trials} on stable" if c.stable_trials else ""
    return f"{c.candidate_failures}/{c.candidate_trials} failed{beside}"


def certify(state: JudgeState, plan: Plan) -> Judgement:
    """Is every criterion with ``certify`` ruled out at 1/beta, over all the rollout's trials?"""
    wanted = [(c, c.certify) for c in plan.terms.criteria if c.certify is not None]
    if not wanted:
        return Judgement(Verdict.PASS, "nothing to certify was asked for")
    each = tuple(_certified(state, plan, criterion.metric, level) for criterion, level in wanted)
    open_ones = [c for c in each if c.verdict is not Verdict.PASS]
    if open_ones:
        return Judgement(Verdict.INCONCLUSIVE, f"{open_ones[0].metric}: {open_ones[0].detail}", each)
    return Judgement(Verdict.PASS, "; ".join(f"{c.metric}: {c.detail}" for c in each), each)


def _certified(state: JudgeState, plan: Plan, metric: str, level: float) -> CriterionJudgement:
    total = state.total.get(metric, Counts())
    n, x = total.candidate_trials, total.candidate_failures
    log_e = sequential.below_level(n, x, level)
    is_done = log_e >= -log(plan.terms.beta)
    needed = 0 if is_done else sequential.more_to_certify(n, x, level, plan.terms.beta)
    detail = f"rate below {level:.4g} certified by {n} runs" if is_done else f"about {needed} more clean runs"
    verdict = Verdict.PASS if is_done else Verdict.INCONCLUSIVE
    return CriterionJudgement(
        metric, verdict, n, x, 0, 0, exp(min(log_e, 700)), 1 / plan.terms.beta, needed, detail
    )
