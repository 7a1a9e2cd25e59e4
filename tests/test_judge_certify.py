"""The judge: what certifies a rate, and how long that takes."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.judging import judge
from pipeline.judging.counts import Counts
from pipeline.judging.judgement import Verdict
from pipeline.judging.terms import Criterion
from tests.judged import METRIC, a_plan, block, judged
from tests.test_judge_limits import full


def test_certification_is_over_the_whole_rollout() -> None:
    made = a_plan(Criterion(METRIC, certify=0.05), Criterion("agent_completed", limit=0.01))
    few = judge.new_stage(judged(made, [block(0, 50, 0, 450, 0)]))
    said = judge.certify(few, made)
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.criteria[0].candidate_trials == 50
    assert said.criteria[0].needed is not None
    enough = judge.observe(few, made, full(0, said.criteria[0].needed, 0))
    assert judge.certify(enough, made).verdict is Verdict.PASS
    short = judge.observe(few, made, full(0, said.criteria[0].needed - 1, 0))
    assert judge.certify(short, made).verdict is Verdict.INCONCLUSIVE


def test_certification_without_a_trial_or_with_a_bad_rate_is_never_given() -> None:
    made = a_plan()
    assert judge.certify(judge.begin(made), made).verdict is Verdict.INCONCLUSIVE
    bad = judged(made, [block(i, 100, 10, 900, 0) for i in range(10)])
    assert judge.certify(bad, made).verdict is Verdict.INCONCLUSIVE


def test_a_record_with_failures_and_no_trials_is_told_as_one_that_is_not_certified() -> None:
    """Anybody who may write the service may write the record."""
    made = a_plan()
    state = replace(judge.begin(made), fresh={METRIC: Counts(0, 5)})
    said = judge.certify(state, made)
    assert said.verdict is not Verdict.PASS
    assert "at the 100% seen" in said.reason


def test_nothing_to_certify_is_a_pass() -> None:
    made = a_plan(Criterion(METRIC, limit=0.01))
    assert judge.certify(judge.begin(made), made).verdict is Verdict.PASS


def test_certification_counts_each_client_once() -> None:
    """Capping failures, not trials, certified what a few clients held again and again."""
    made = a_plan(Criterion(METRIC, certify=0.05))
    again = [replace(block(n, 50, 0, 450, 0), fresh={METRIC: Counts(2, 0, 20, 0)}) for n in range(10)]
    said = judge.certify(judged(made, again), made)
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.criteria[0].candidate_trials == 20


def test_certification_says_how_long_it_takes_at_this_traffic_and_at_other_rates() -> None:
    made = a_plan(Criterion(METRIC, certify=0.01))
    state = judged(made, [block(n, 10, int(n == 7), 90, 0) for n in range(20)])  # a second each
    assert judge.certify(state, made).reason == (
        f"{METRIC}: about 447 more clean runs (about 45s at this traffic), at the 0.5% seen 1860 more "
        "(about 3m at this traffic); a true 0.3% needs 860, a true 0.5% needs 1905"
    )
