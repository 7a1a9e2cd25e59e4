"""The judge: what probes prove, and when they have a say."""

from __future__ import annotations

import random
from math import exp

import pytest

from pipeline.judging import judge
from pipeline.judging.counts import Counts
from pipeline.judging.judgement import Verdict
from pipeline.judging.probes import Round
from tests.judged import AT, a_plan, block, judged


def test_stage_zero_asks_the_probes_alone() -> None:
    made = a_plan()
    assert judge.judge_stage(judge.begin(made), made, 0).verdict is Verdict.INCONCLUSIVE
    assert judge.judge_stage(judged(made, []), made, 0).verdict is Verdict.PASS


def test_what_probes_proved_is_a_fail_at_any_stage_and_is_never_forgotten() -> None:
    made = a_plan()
    proved = Round(5, 10, (Counts(5, 5, 5, 0), Counts(5, 5, 5, 0)))
    state = judge.observe_probes(judged(made, [block(0, 100, 0, 900, 0)]), made, proved)
    for stage in range(4):
        said = judge.judge_stage(judge.new_stage(state), made, stage)
        assert (said.verdict, said.blamed) == (Verdict.FAIL, "")
        assert said.reason == "10 of 10 probe conversations failed, against 0 of 10 on stable"


def test_a_probe_that_failed_once_holds_its_stage_and_no_other() -> None:
    made = a_plan()
    state = judge.observe_probes(judged(made, []), made, Round(4, 1, (Counts(5, 0, 5, 0),)))
    said = judge.judge_stage(state, made, AT[0])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "1 of 10 probe conversations failed (0 of 5 on stable): 20 more" in said.reason
    after = judge.observe_probes(judge.new_stage(state), made, Round(ok=5))
    assert judge.judge_stage(after, made, AT[0]).verdict is Verdict.PASS


def test_a_new_stage_counts_its_own_trials_and_probes_and_keeps_the_bets() -> None:
    made = a_plan()
    before = judged(made, [block(0, 40, 1, 360, 0)])
    after = judge.new_stage(before)
    assert after.compared == before.compared
    assert "no green probe" in judge.judge_stage(after, made, AT[25]).reason
    again = judge.observe_probes(after, made, Round(ok=1))
    assert "0 of 10" in judge.judge_stage(again, made, AT[25]).reason


def test_probes_have_a_tenth_of_the_bound_and_two_confirmed_rounds_decide() -> None:
    made = a_plan()
    once = judge.observe_probes(judged(made, []), made, Round(confirming=(Counts(5, 5, 5, 0),)))
    assert not once.failed
    twice = judge.observe_probes(once, made, Round(confirming=(Counts(5, 5, 5, 0),)))
    said = judge.judge_stage(twice, made, 0)
    assert said.verdict is Verdict.FAIL
    assert said.reason == "10 of 10 probe conversations failed, against 0 of 10 on stable"
    assert exp(twice.probes.log_e) == pytest.approx(18_433, rel=1e-4)
    both = judged(made, [])
    for _ in range(50):
        both = judge.observe_probes(both, made, Round(confirming=(Counts(5, 5, 5, 5),)))
    assert not both.failed
    assert judge.judge_stage(both, made, 0).verdict is Verdict.PASS


def test_without_a_stable_revision_probes_are_held_against_a_limit() -> None:
    made = a_plan()
    state, rounds = judged(made, []), 0
    while not state.failed:
        state, rounds = judge.observe_probes(state, made, Round(confirming=(Counts(5, 5),))), rounds + 1
    assert rounds == 2
    flaky = judged(made, [])
    for n in range(300):
        flaky = judge.observe_probes(flaky, made, Round(confirming=(Counts(5, int(n % 4 == 0)),)))
    assert not flaky.failed


def test_flaky_probes_send_nothing_back() -> None:
    """A flake rate of 1 % on both sent every default rollout back when the first confirmed failure decided."""
    made, rng, sent_back = a_plan(), random.Random(3), 0
    for _ in range(300):
        state = judged(made, [])
        for _ in range(330):  # a default rollout's rounds
            if any(rng.random() < 0.01 for _ in range(5)):
                bad = [sum(rng.random() < 0.01 for _ in range(5)) for _ in (0, 1)]
                state = judge.observe_probes(state, made, Round(confirming=(Counts(5, bad[0], 5, bad[1]),)))
        sent_back += bool(state.failed)
    assert sent_back == 0
