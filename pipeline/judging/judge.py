"""Is the candidate worse than the stable revision beside it? Is it good enough to promote?  PURE.

Theory of operation. Two questions, two tests (``sequential.py`` has the mathematics and its bounds).

*Roll back*: for each criterion a bet that the candidate fails more often than stable, block by block (``intake.py``), and
a limit where no stable runs beside it. All bets together reaching 1/alpha is a FAIL (``bound.py``), and the largest term
is blamed: at most alpha of all rollouts of a candidate that is not worse ever get there. Probes are counted apart and
never pooled with users; what they confirm has a share of the same bound (``probes.py``).

*Promote*: each criterion with ``certify`` must have its rate ruled out at 1/beta, over all the rollout's evidence
(``certification.py``).

Between them lies INCONCLUSIVE, which holds the weight: too few trials that could be compared, too few clients, no green
probe yet, an incident that both revisions share, or a limit passed at 100 % where nobody can say what stable would do.

``JudgeState`` is all that is remembered, small enough for the record. A block is taken in once: the same block again
(after a restart, or read twice) changes nothing, so any number of processes may replay.
"""

from __future__ import annotations

from math import log

from msgspec.structs import replace

from pipeline.judging import bound, probes, sequential
from pipeline.judging.certification import certify, time_to_compare
from pipeline.judging.clients import FULL
from pipeline.judging.counts import Counts
from pipeline.judging.intake import observe
from pipeline.judging.judgement import CriterionJudgement, Judgement, Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.metrics import UNASKED_METRICS
from pipeline.judging.terms import Criterion, Plan
from pipeline.units import format_rate

__all__ = ["begin", "certify", "counts_runs", "judge_stage", "new_stage", "observe", "observe_probes"]

_FAR_FEWER, _BY_CHANCE = 0.5, log(1e6)  # of what a share should bring; and how sure that must be
_CRASH_LOOP = 3  # exits of the candidate's containers in a stage, or in all of them, and none of stable's


def begin(plan: Plan) -> JudgeState:
    """Fresh bets on every criterion; those against a limit open when it is known."""
    return JudgeState(
        compared={c.metric: sequential.opening(len(sequential.ODDS)) for c in plan.terms.criteria}
    )


def new_stage(state: JudgeState) -> JudgeState:
    """The next stage counts its own trials and probes; the bets go on."""
    return replace(
        state,
        stage={},
        recent={},
        comparable=0,
        came=Counts(),
        stage_blocks=0,
        probes=probes.next_stage(state.probes),
    )


def observe_probes(state: JudgeState, plan: Plan, seen: probes.Round) -> JudgeState:
    """Take a probe round in. What it proved is told with how the conversations failed."""
    judged = bound.latched(replace(state, probes=probes.observe(state.probes, seen)), plan)
    if seen.cause and judged.failed and not (state.failed or judged.blamed):
        return replace(judged, failed=f"{judged.failed}: {seen.cause}")
    return judged


def judge_stage(state: JudgeState, plan: Plan, stage: int) -> Judgement:
    """May this stage pass? FAIL at 1/alpha, INCONCLUSIVE while evidence is missing."""
    percent = plan.terms.stages[stage].percent
    criteria = tuple(_criterion(state, plan, c, percent) for c in plan.terms.criteria) if percent else ()
    if state.failed:
        return Judgement(Verdict.FAIL, state.failed, criteria, state.blamed)
    unsure = _unsure(state, plan, percent)
    if unsure:
        return Judgement(Verdict.INCONCLUSIVE, unsure, criteria)
    return Judgement(Verdict.PASS, _passed(state, plan, percent), criteria)


def _passed(state: JudgeState, plan: Plan, percent: int) -> str:
    if not percent or not counts_runs(plan):
        return f"{state.probes.ok} probe conversations ok"
    if percent == 100:
        return f"{state.comparable} agent runs, not proved past their limits"
    return f"{state.comparable} agent runs, not proved worse than stable"


def _unsure(state: JudgeState, plan: Plan, percent: int) -> str:
    """Why this stage may not pass yet; empty when it may."""
    return (
        probes.unsure(state.probes, plan.terms.beta)
        or _crash_loop(state)
        or _too_many_out(state, percent)
        or (_common_incident(state, plan) if percent < 100 else _past_limit(state, plan))
        or _unserved(state, percent)
        or (_too_little(state, plan, percent) if percent and counts_runs(plan) else "")
    )


def counts_runs(plan: Plan) -> bool:
    """Whether users' runs are waited for: where nobody asks for a criterion of them there may be none."""
    return any(c.metric not in UNASKED_METRICS for c in plan.terms.criteria)


def _crash_loop(state: JudgeState) -> str:
    """Containers that exit again and again, which no conversation need have met: in this stage, or over short ones."""
    counted = (each.get("container_exits", Counts()) for each in (state.stage, state.total))
    loops = [c for c in counted if c.candidate_failures >= _CRASH_LOOP and not c.stable_failures]
    if not loops:
        return ""
    exits = loops[0]
    return (
        f"{exits.candidate_failures} times a container of the candidate exited unasked, and none of stable's"
    )


def _too_many_out(state: JudgeState, percent: int) -> str:
    """So many clients failed that whoever fails next would hardly be seen: what passed before says nothing of now."""
    share = state.clients.left_out
    if not percent or share < FULL:
        return ""
    return (
        f"too many clients failed since the traffic was split: {share:.0%} of all runs are left out with theirs, and what "
        "fails next would hardly be seen"
    )


def _common_incident(state: JudgeState, plan: Plan) -> str:
    """Both arms are clearly past a limit in what came last: rolling back would help nobody."""
    lately = {
        c: sum(state.recent.get(c.metric, ()), Counts()) for c in plan.terms.criteria if not c.report_only
    }
    common = [
        f"{criterion.metric} past its limit of {format_rate(criterion.limit or 0)} on both: {bound.figures(counts)}"
        for criterion, counts in lately.items()
        if _is_common(counts, criterion.limit)
    ]
    return f"common incident: {'; '.join(common)}" if common else ""


def _is_common(counts: Counts, limit: float | None) -> bool:
    if not limit or not counts.stable_trials:
        return False
    arms = (
        (counts.candidate_trials, counts.candidate_failures),
        (counts.stable_trials, counts.stable_failures),
    )
    return all(sequential.log_mean(sequential.against_limit(n, x, limit)) >= bound.CLEARLY for n, x in arms)


def _past_limit(state: JudgeState, plan: Plan) -> str:
    """Alone at 100 %: more failures than the limit allows, and no proof that stable would have fewer now."""
    for criterion in plan.terms.criteria:
        metric = criterion.metric
        if criterion.report_only or bound.log_limited(state, metric) < bound.CLEARLY:
            continue
        return bound.past_limit(state, metric)
    return ""


def _unserved(state: JudgeState, percent: int) -> str:
    """Far fewer new clients came to the candidate than its share, whether their connections or their runs stay away.

    A test of the share that may be looked at as often as one likes, at a level at which nobody is called for chance.
    """
    came, share = state.came.candidate_trials, percent / 100
    everybody = came + state.came.stable_trials
    if not 0 < share < 1 or came >= _FAR_FEWER * share * everybody:
        return ""
    if sequential.below_level(everybody, came, share) < _BY_CHANCE:
        return ""
    return (
        f"{came} of {everybody} new clients asked the candidate for a run, where {percent}% of connections should have "
        f"brought {share * everybody:.0f}: they do not reach it, end before a run begins, or its log tells nothing of them"
    )


def _too_little(state: JudgeState, plan: Plan, percent: int) -> str:
    """Too few runs that could be compared, or of too few clients; at 100 % every run of the candidate counts."""
    sampling, runs, clients = plan.terms.sampling, state.comparable, state.epoch_clients
    if runs < sampling.min_trials:
        more = time_to_compare(state, plan, sampling.min_trials - runs)
        return f"{runs} of {sampling.min_trials} agent runs at this stage{more or _without_partner(state, percent)}"
    if percent < 100 and clients < sampling.min_clients:
        held = "a service with so few users is held for a human"
        return f"{runs} runs from {clients} of {sampling.min_clients} clients: {held}"
    return ""


def _without_partner(state: JudgeState, percent: int) -> str:
    met = max((c.candidate_trials for c in state.stage.values()), default=0)
    if percent == 100 or not met:
        return ""
    return f": nothing to hold the candidate's {met} against, none on stable beside them"


def _criterion(state: JudgeState, plan: Plan, criterion: Criterion, percent: int) -> CriterionJudgement:
    counts, is_betted = state.stage.get(criterion.metric, Counts()), bound.is_betted(criterion, percent)
    log_e = bound.log_metric(state, plan, criterion)
    threshold = bound.threshold(plan, criterion)
    missing = plan.terms.sampling.min_trials - state.comparable if counts_runs(plan) else 0
    is_bad = is_betted and log_e >= log(threshold)
    verdict = Verdict.FAIL if is_bad else Verdict.INCONCLUSIVE if missing > 0 else Verdict.PASS
    return CriterionJudgement(
        metric=criterion.metric,
        verdict=verdict,
        candidate_trials=counts.candidate_trials,
        candidate_failures=counts.candidate_failures,
        stable_trials=counts.stable_trials,
        stable_failures=counts.stable_failures,
        e_value=0.0 if criterion.report_only else bound.e_value(log_e),
        threshold=threshold,
        needed=missing if missing > 0 else None,
        detail=bound.figures(counts) + ("" if is_betted else ", shown only"),
    )
