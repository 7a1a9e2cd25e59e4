"""The judge: limits, at full traffic and where stable tells nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.judging import bound, judge
from pipeline.judging.counts import Block
from pipeline.judging.judgement import Verdict
from pipeline.judging.probes import Round
from pipeline.judging.terms import Criterion
from tests.judged import AT, METRIC, a_plan, block, judged


def full(index: int, n: int, x: int, stragglers: int = 0) -> Block:
    return block(index, n, x, stragglers, stragglers, percent=100, epoch=4)


def test_at_full_traffic_the_limit_acts() -> None:
    made = a_plan()
    assert judge.judge_stage(judged(made, [full(0, 200, 1)]), made, AT[100]).verdict is Verdict.PASS
    assert judge.judge_stage(judged(made, [full(0, 200, 30)]), made, AT[100]).verdict is Verdict.FAIL


def test_at_full_traffic_what_was_held_against_the_limit_is_what_is_told() -> None:
    """Stable's figures are of another time: 75 of 1,110 against 30 of 1,000 were never compared."""
    made = a_plan(Criterion(METRIC, limit=0.05))
    before = [block(n, 100, 1 + n % 2, 100, 3) for n in range(10)]
    state = judge.new_stage(judged(made, before))
    state = judge.observe(state, made, full(0, 110, 60))
    said = judge.judge_stage(judge.observe_probes(state, made, Round(ok=5)), made, AT[100])
    shown = "stable showed 30/1000 while it ran beside"
    assert said.reason == f"{METRIC} past its limit of 5%: 60/110 failed; {shown}"
    assert said.verdict is Verdict.FAIL
    assert (said.blamed, said.criteria[0].detail) == (METRIC, "60/110 failed")


def test_at_full_traffic_a_candidate_like_stable_is_not_sent_back_though_past_the_limit() -> None:
    """Stable showed 5 % beside it; a limit of 1 % was a wish."""
    made = a_plan()
    before = [block(i, 100, 5, 900, 45) for i in range(10)]
    state = judged(made, [*before, *(full(i, 100, 5, stragglers=3) for i in range(20))])
    assert judge.judge_stage(state, made, AT[100]).verdict is not Verdict.FAIL
    assert 0.05 < state.limits[METRIC] < 0.08
    worse = judged(made, [*before, *(full(i, 100, 25) for i in range(20))])
    assert judge.judge_stage(worse, made, AT[100]).verdict is Verdict.FAIL


def test_what_stable_showed_is_the_limit_where_none_was_given() -> None:
    made = a_plan(Criterion(METRIC))
    before = [block(i, 10, 0, 190, 0) for i in range(10)]
    assert judge.judge_stage(judged(made, [*before, full(0, 100, 20)]), made, AT[100]).verdict is Verdict.FAIL
    alone = judged(made, [full(0, 100, 20)])  # nothing to compare with and no limit: not judged
    assert judge.judge_stage(alone, made, AT[100]).verdict is Verdict.PASS


@pytest.mark.parametrize("clean", [1, 20, 100])
def test_few_clean_runs_of_stable_raise_no_limit(clean: int) -> None:
    """They rule out so little that a candidate which always fails was held against 96 %."""
    made = a_plan()
    before = [block(0, 5, 0, clean, 0)]
    state = judged(made, [*before, full(0, 10, 10), full(1, 10, 10)])
    assert state.limits[METRIC] == 0.01
    assert judge.judge_stage(state, made, AT[100]).verdict is Verdict.FAIL


def test_a_limit_is_fixed_before_the_first_block_that_it_judges() -> None:
    made = a_plan()
    first = judged(made, [full(0, 10, 0, stragglers=50)])
    assert first.limits[METRIC] == 0.01
    assert judge.observe(first, made, full(1, 10, 0, stragglers=50)).limits == first.limits
    good = block(1, 10, 0, 50, 0, percent=100, epoch=4)
    assert (
        judge.observe(judge.observe(first, made, good), made, replace(good, index=2)).limits == first.limits
    )


@pytest.mark.parametrize("empty", [0, 1, 40])
def test_an_empty_block_neither_opens_nor_fixes_a_limit(empty: int) -> None:
    """Warm-up as long as a block emptied the first one: it fixed the limit, and stable's later runs raised none."""
    made = a_plan()
    before = [block(n, 100, 2, 900, 14) for n in range(10)]
    state = judged(made, [*before, *(full(n, 0, 0) for n in range(empty))])
    assert not state.limits
    state = judge.observe(state, made, full(empty, 100, 1))
    assert state.limits[METRIC] > 0.014
    assert not judged(made, [full(n, 0, 0) for n in range(3)]).limits


def test_a_limit_that_held_while_stable_was_silent_is_fixed_anew_at_full_traffic() -> None:
    made = a_plan()
    silent = [block(0, 10, 0, 0, 0)]
    state = judged(made, [*silent, *(block(n, 50, 2, 450, 20) for n in range(1, 10))])
    assert state.limits[METRIC] == 0.01
    assert judge.observe(state, made, full(0, 100, 4)).limits[METRIC] > 0.04


def test_day_and_night_at_full_traffic_call_a_human() -> None:
    """Stable showed 0.2 % by day; by night both fail at 0.6 %, and the candidate alone is there to be seen."""
    made = a_plan(Criterion(METRIC, limit=0.003))
    by_day = [block(n, 50, n % 10 == 0, 450, 1 if n % 10 else 0) for n in range(20)]
    state = judge.new_stage(judged(made, by_day))
    state = judge.observe_probes(state, made, Round(ok=5))
    verdicts = set()
    for n in range(100):
        state = judge.observe(state, made, full(n, 500, 3))
        verdicts.add(judge.judge_stage(state, made, AT[100]).verdict)
    assert Verdict.FAIL not in verdicts
    said = judge.judge_stage(state, made, AT[100])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert (
        said.reason
        == f"{METRIC} past its limit of 0.3%: 300/50000 failed; stable showed 18/9000 while it ran beside"
    )
    worse = state
    for n in range(100, 140):
        worse = judge.observe(worse, made, full(n, 500, 50))
    assert judge.judge_stage(worse, made, AT[100]).verdict is Verdict.FAIL


def test_what_a_night_may_bring_is_not_what_a_candidate_is_said_to_be_sent_back_for() -> None:
    made = a_plan(Criterion(METRIC, limit=0.003))
    by_day = [block(n, 50, n % 10 == 0, 450, 1 if n % 10 else 0) for n in range(20)]
    by_night = [full(n, 500, 3) for n in range(100)]
    state = judge.new_stage(judged(made, by_day))
    for each in by_night:
        state = judge.observe(state, made, each)
    compared = 10.0  # that is enough, and less than what lies against the limit unplayed
    assert bound.may_be_night(state, made, METRIC)
    assert bound.log_limited(state, METRIC) > compared + 3
    state = replace(state, compared={METRIC: tuple(compared for _ in state.compared[METRIC])})
    assert bound.latched(state, made).failed == f"{METRIC}: 302/51000 failed against 18/9000 on stable"
