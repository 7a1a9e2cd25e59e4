"""Is the candidate worse than the stable revision beside it? Is it good enough to promote?  PURE.

Theory of operation. Two questions, two tests (``sequential.py`` has the mathematics and its bounds).

*Roll back*: for each criterion a bet that the candidate fails more often than stable, block by block. Where no stable
runs beside it (100 %), the bet is against the criterion's limit. The mean over criteria reaching 1/alpha is a FAIL, and
the largest term is blamed: at most alpha of all rollouts of a candidate that is not worse ever get there.

*Promote*: each criterion with ``certify`` must have its rate ruled out at 1/beta, over all the rollout's evidence.

Between them lies INCONCLUSIVE, which holds the weight: too few trials, no green probe yet, or an incident that both
revisions share. Probes are counted apart and never pooled with users: the first confirmed failure is a FAIL.

``JudgeState`` is all that is remembered, small enough for the record. A block is taken in once: the same block again
(after a restart, or read twice) changes nothing, so any number of processes may replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from math import exp, inf, log

from pipeline import evidence, sequential
from pipeline.evidence import Block, Counts
from pipeline.model import Criterion, Plan
from pipeline.sequential import trials_to_certify

__all__ = ["CriterionJudgement", "JudgeState", "Judgement", "Verdict", "begin", "certify", "judge_stage", "new_stage",
           "observe", "observe_probes", "trials_to_certify", "worst"]  # fmt: skip

_CLEARLY = log(20)  # a common incident is one that both arms' limit tests show at 1 in 20


class Verdict(StrEnum):
    """Worst first."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - a verdict


_ORDER = list(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL > INCONCLUSIVE > PASS. No verdict at all is INCONCLUSIVE."""
    return min(verdicts, key=_ORDER.index, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What the judge remembers, by metric. Logarithms of bets; judged trials of the rollout and of the stage."""

    compared: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limited: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    total: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # candidate trials, failures
    stage: Mapping[str, Counts] = field(default_factory=dict)
    blocks: int = 0
    seen: tuple[int, int] = (-1, -1)  # split epoch and index of the last block taken in
    probes_ok: int = 0  # of this stage
    probes_bad: int = 0  # confirmed failures, of the whole rollout

    def seen_until(self, split_epoch: int) -> int:
        """Index of the last block of this epoch that was taken in, -1 when none was."""
        return self.seen[1] if self.seen[0] == split_epoch else -1


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
    needed: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    reason: str
    criteria: tuple[CriterionJudgement, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values; numbers that JSON cannot hold are capped."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "criteria": [
                {**asdict(c), "verdict": c.verdict.value, "e_value": float(f"{min(c.e_value, 1e12):.4g}")}
                for c in self.criteria
            ],
        }


def begin(plan: Plan) -> JudgeState:
    """Fresh bets on every criterion."""
    return JudgeState(
        compared={c.metric: sequential.opening(len(sequential.ODDS)) for c in plan.criteria},
        limited={
            c.metric: sequential.opening(len(sequential.limit_grid(c.limit)))
            for c in plan.criteria
            if c.limit is not None
        },
    )


def new_stage(state: JudgeState) -> JudgeState:
    """The next stage counts its own trials and probes; the bets go on."""
    return replace(state, stage={}, probes_ok=0)


def observe(state: JudgeState, plan: Plan, block: Block) -> JudgeState:
    """Take one closed block in; a block that was taken in before changes nothing."""
    if (block.split_epoch, block.index) <= state.seen:
        return state
    feed = _feed(state, plan)
    compared, limited = dict(state.compared), dict(state.limited)
    total, stage = dict(state.total), dict(state.stage)
    for criterion in plan.criteria:
        counts = block.counts.get(criterion.metric)
        if counts is None:
            continue
        metric = criterion.metric
        n, x = counts.candidate_trials, counts.candidate_failures
        if counts.stable_trials and block.percent < 100:
            ratios = sequential.against_stable(n, x, counts.stable_trials, counts.stable_failures)
            compared[metric] = sequential.step(compared[metric], ratios, feed)
        elif criterion.limit is not None and block.percent == 100:
            ratios = sequential.against_limit(n, x, criterion.limit)
            limited[metric] = sequential.step(limited[metric], ratios, feed)
        total[metric] = (total.get(metric, (0, 0))[0] + n, total.get(metric, (0, 0))[1] + x)
        stage[metric] = _add(stage.get(metric, Counts()), counts)
    return replace(
        state,
        compared=compared,
        limited=limited,
        total=total,
        stage=stage,
        blocks=state.blocks + 1,
        seen=(block.split_epoch, block.index),
    )


def _feed(state: JudgeState, plan: Plan) -> float:
    """log of what this block's bets are fed from the half held back; nothing after the horizon."""
    blocks = evidence.horizon((stage.soak for stage in plan.stages), plan.sampling)
    return log(sequential.HELD_BACK / blocks) if state.blocks < blocks else -inf


def _add(one: Counts, other: Counts) -> Counts:
    return Counts(
        one.candidate_trials + other.candidate_trials,
        one.candidate_failures + other.candidate_failures,
        one.stable_trials + other.stable_trials,
        one.stable_failures + other.stable_failures,
    )


def observe_probes(state: JudgeState, *, ok: int, bad: int) -> JudgeState:
    """Take a probe round in. ``bad`` are failures that the control did not share."""
    return replace(state, probes_ok=state.probes_ok + ok, probes_bad=state.probes_bad + bad)


def judge_stage(state: JudgeState, plan: Plan, stage: int) -> Judgement:
    """May this stage pass? FAIL at 1/alpha, INCONCLUSIVE while evidence is missing."""
    percent = plan.stages[stage].percent
    criteria = tuple(_criterion(state, plan, c) for c in plan.criteria) if percent else ()
    if state.probes_bad:
        return Judgement(
            Verdict.FAIL, f"{state.probes_bad} probe conversations failed, confirmed against stable", criteria
        )
    total = _log_e(state, plan)
    if total >= -log(plan.alpha):
        blamed = max(criteria or [_criterion(state, plan, c) for c in plan.criteria], key=lambda c: c.e_value)
        return Judgement(Verdict.FAIL, f"{blamed.metric}: {_figures(blamed)}", criteria)
    if not state.probes_ok:
        return Judgement(Verdict.INCONCLUSIVE, "no green probe round at this stage yet", criteria)
    if not percent:
        return Judgement(Verdict.PASS, f"{state.probes_ok} probe conversations ok", criteria)
    return _with_users(state, plan, criteria)


def _with_users(state: JudgeState, plan: Plan, criteria: tuple[CriterionJudgement, ...]) -> Judgement:
    trials = max((c.candidate_trials for c in state.stage.values()), default=0)
    common = [c.metric for c in plan.criteria if _is_common(state, c)]
    if common:
        return Judgement(
            Verdict.INCONCLUSIVE, f"common incident: {', '.join(common)} past its limit on both", criteria
        )
    if plan.criteria and trials < plan.sampling.min_trials:
        reason = f"{trials} of {plan.sampling.min_trials} agent runs at this stage"
        return Judgement(Verdict.INCONCLUSIVE, reason, criteria)
    return Judgement(Verdict.PASS, f"{trials} agent runs, not worse than stable", criteria)


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


def _log_e(state: JudgeState, plan: Plan) -> float:
    """log of the mean bet over criteria: the one number that is held against 1/alpha."""
    terms = [_log_metric(state, c.metric) for c in plan.criteria]
    return sequential.log_mean(terms) if terms else 0.0


def _log_metric(state: JudgeState, metric: str) -> float:
    """A metric's bet: half on the comparison, half on the limit where it has one."""
    parts = [sequential.log_mean(state.compared[metric])]
    if metric in state.limited:
        parts.append(sequential.log_mean(state.limited[metric]))
    return sequential.log_mean(parts)


def _criterion(state: JudgeState, plan: Plan, criterion: Criterion) -> CriterionJudgement:
    counts = state.stage.get(criterion.metric, Counts())
    log_e = _log_metric(state, criterion.metric)
    threshold = len(plan.criteria) / plan.alpha
    few = counts.candidate_trials < plan.sampling.min_trials
    is_bad = log_e >= log(threshold)
    verdict = Verdict.FAIL if is_bad else Verdict.INCONCLUSIVE if few else Verdict.PASS
    made = CriterionJudgement(
        metric=criterion.metric,
        verdict=verdict,
        candidate_trials=counts.candidate_trials,
        candidate_failures=counts.candidate_failures,
        stable_trials=counts.stable_trials,
        stable_failures=counts.stable_failures,
        e_value=exp(min(log_e, 700)),
        threshold=threshold,
        needed=plan.sampling.min_trials - counts.candidate_trials if few else None,
    )
    return replace(made, detail=_figures(made))


def _figures(c: CriterionJudgement) -> str:
    beside = f" against {c.stable_failures}/{c.stable_trials} on stable" if c.stable_trials else ""
    return f"{c.candidate_failures}/{c.candidate_trials} failed{beside}"


def certify(state: JudgeState, plan: Plan) -> Judgement:
    """Is every criterion with ``certify`` ruled out at 1/beta, over all the rollout's trials?"""
    wanted = [(c, c.certify) for c in plan.criteria if c.certify is not None]
    if not wanted:
        return Judgement(Verdict.PASS, "nothing to certify was asked for")
    each = tuple(_certified(state, plan, criterion.metric, level) for criterion, level in wanted)
    open_ones = [c for c in each if c.verdict is not Verdict.PASS]
    if open_ones:
        return Judgement(Verdict.INCONCLUSIVE, f"{open_ones[0].metric}: {open_ones[0].detail}", each)
    return Judgement(Verdict.PASS, "; ".join(f"{c.metric}: {c.detail}" for c in each), each)


def _certified(state: JudgeState, plan: Plan, metric: str, level: float) -> CriterionJudgement:
    n, x = state.total.get(metric, (0, 0))
    log_e = sequential.below_level(n, x, level)
    is_done = log_e >= -log(plan.beta)
    needed = 0 if is_done else _more_clean(n, x, level, plan.beta)
    detail = f"rate below {level:.4g} certified by {n} runs" if is_done else f"about {needed} more clean runs"
    verdict = Verdict.PASS if is_done else Verdict.INCONCLUSIVE
    return CriterionJudgement(
        metric, verdict, n, x, 0, 0, exp(min(log_e, 700)), 1 / plan.beta, needed, detail
    )


def _more_clean(n: int, x: int, level: float, beta: float) -> int:
    """Clean trials still missing, by doubling and halving."""
    wanted = -log(beta)
    high = 1
    while sequential.below_level(n + high, x, level) < wanted:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if sequential.below_level(n + middle, x, level) >= wanted else (middle, high)
        )
    return high
