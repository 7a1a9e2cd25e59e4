"""The judge: verdicts and their order, what a block may change, replay, limits at 100 %, certification."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from pipeline.judging import judge
from pipeline.judging.clients import Clients, Memory
from pipeline.judging.counts import Block, Counts
from pipeline.judging.judgement import Verdict
from pipeline.judging.probes import Round
from pipeline.judging.terms import Criterion
from tests.judged import AT, METRIC, a_plan, block, judged
from tests.rollouts import stages
from tests.test_judge_limits import full

GOOD_AND_BAD = [
    pytest.param([(100, 0, 900, 0)], 5, Verdict.PASS, "100 agent runs", id="clean"),
    pytest.param(
        [(100, 1, 900, 9)], 5, Verdict.PASS, "not proved worse", id="as-bad-as-stable-which-is-little"
    ),
    pytest.param(
        [(10, 8, 190, 0)], 5, Verdict.FAIL, "server_error_1011: 8/10 failed against 0/190", id="bad"
    ),
    pytest.param([(1, 1, 19, 0)] * 6, 5, Verdict.FAIL, "4/4 failed against 0/76", id="every-run-fails"),
    pytest.param([(50, 20, 950, 380)], 5, Verdict.INCONCLUSIVE, "common incident", id="common-incident"),
    pytest.param([], 5, Verdict.INCONCLUSIVE, "0 of 10", id="no-blocks"),
    pytest.param([(0, 0, 900, 0)], 5, Verdict.INCONCLUSIVE, "0 of 10", id="no-candidate-traffic"),
    pytest.param([(0, 0, 0, 0)] * 50, 5, Verdict.INCONCLUSIVE, "0 of 10", id="nobody-at-all"),
    pytest.param([(9, 0, 171, 0)], 5, Verdict.INCONCLUSIVE, "9 of 10", id="too-few"),
    pytest.param([(10, 0, 190, 0)], 5, Verdict.PASS, "10 agent runs", id="just-enough"),
    pytest.param([(30, 0, 970, 380)], 5, Verdict.PASS, "not proved worse", id="a-fix-for-a-broken-stable"),
    pytest.param([(100, 0, 900, 0)], 0, Verdict.INCONCLUSIVE, "no green probe", id="no-probe"),
    pytest.param(
        [(30, 20, 0, 0)], 5, Verdict.FAIL, "20/30 failed", id="stable-tells-nothing-so-the-limit-acts"
    ),
    pytest.param(
        [(30, 0, 0, 0)],
        5,
        Verdict.INCONCLUSIVE,
        "nothing to hold the candidate's 30 against",
        id="stable-tells-nothing",
    ),
]


@pytest.mark.parametrize(("counts", "probes_ok", "verdict", "words"), GOOD_AND_BAD)
def test_verdicts(counts: list[tuple[int, ...]], probes_ok: int, verdict: Verdict, words: str) -> None:
    made = a_plan()
    blocks = [block(index, *each) for index, each in enumerate(counts)]
    said = judge.judge_stage(judged(made, blocks, probes_ok=probes_ok), made, AT[5])
    assert said.verdict is verdict
    assert words in said.reason


def full_of_failures(share: float, epoch: int = 2) -> Clients:
    memory, rng = Memory(Clients(), epoch), random.Random(7)
    while memory.kept().left_out < share:
        for _ in range(200):
            memory.failed(f"{rng.getrandbits(64):016x}", METRIC)
    return memory.kept()


def test_a_stage_is_held_once_so_many_failed_that_the_next_ones_would_hardly_be_seen() -> None:
    """What made it pass was counted before the incident; after it hardly anybody is judged."""
    made = a_plan()
    good = block(0, 100, 0, 900, 0)
    after = judged(made, [good, replace(block(1, 0, 0, 0, 0), memory=full_of_failures(0.8))])
    said = judge.judge_stage(after, made, AT[5])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "80% of all runs are left out" in said.reason
    some = judged(made, [good, replace(block(1, 0, 0, 0, 0), memory=full_of_failures(0.5))])
    assert judge.judge_stage(some, made, AT[5]).verdict is Verdict.PASS
    failing = judge.observe(after, made, replace(block(2, 30, 30, 300, 0), memory=after.clients))
    assert judge.judge_stage(failing, made, AT[5]).verdict is Verdict.FAIL
    next_stage = judge.observe(judge.new_stage(after), made, block(0, 100, 0, 300, 0, percent=25, epoch=3))
    assert "left out" not in judge.judge_stage(next_stage, made, AT[25]).reason


def came(index: int, candidate: int, stable: int, *, percent: int = 25) -> Block:
    return replace(
        block(index, candidate, 0, stable, 0, percent=percent), came=Counts(candidate_trials=candidate, stable_trials=stable)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("percent", "candidate", "stable"), [(25, 13, 487), (25, 0, 60), (5, 12, 2388), (50, 20, 80)]
)
def test_far_fewer_clients_than_the_share_hold_the_stage_in_words(
    percent: int, candidate: int, stable: int
) -> None:
    made = a_plan(Criterion(METRIC))
    made = replace(made, terms=replace(made.terms, stages=stages(0, percent, 100)))
    said = judge.judge_stage(judged(made, [came(0, candidate, stable, percent=percent)]), made, 1)
    assert said.verdict is Verdict.INCONCLUSIVE
    assert f"{candidate} of {candidate + stable} new clients asked the candidate for a run" in said.reason
    assert said.reason.endswith(
        "or its log tells nothing of them"
    )  # lines without the nonce, or no telemetry at all
    later = judge.new_stage(judged(made, [came(0, candidate, stable, percent=percent)]))
    assert "new clients" not in judge.judge_stage(later, made, 1).reason


@pytest.mark.parametrize(
    ("percent", "candidate", "stable"),
    [(25, 0, 30), (25, 40, 160), (25, 14, 86), (5, 0, 100), (5, 300, 9700), (50, 300, 700)],
    ids=[
        "few",
        "a fifth",
        "a few more",
        "none of a hundred at 5%",
        "more than half",
        "much less than half of all",
    ],
)
def test_a_few_clients_fewer_than_the_share_hold_nothing(percent: int, candidate: int, stable: int) -> None:
    made = a_plan(Criterion(METRIC))
    made = replace(made, terms=replace(made.terms, stages=stages(0, percent, 100)))
    said = judge.judge_stage(judged(made, [came(0, candidate, stable, percent=percent)]), made, 1)
    assert "new clients" not in said.reason


def test_a_fair_split_is_called_unfair_by_nobody_who_looks_all_the_time() -> None:
    made, rng = a_plan(Criterion(METRIC)), random.Random(5)
    for share in (5, 25):
        for _ in range(40):
            state = judge.begin(made)
            for index in range(60):
                new = sum(rng.random() < share / 100 for _ in range(20))
                state = judge.observe(state, made, came(index, new, 20 - new, percent=share))
                assert "new clients" not in judge.judge_stage(state, made, AT[share]).reason


def test_a_fail_stays_one_whatever_comes_after_it() -> None:
    made = a_plan()
    bad, good = [block(0, 10, 8, 190, 0)], [block(i, 200, 0, 3800, 40) for i in range(1, 200)]
    said = judge.judge_stage(judged(made, [*bad, *good]), made, AT[5])
    assert said.verdict is Verdict.FAIL
    assert "8/10" in said.reason


def test_with_nothing_to_compare_with_there_is_no_pass() -> None:
    made = a_plan(Criterion(METRIC))
    said = judge.judge_stage(judged(made, [block(0, 30, 0, 0, 0)]), made, AT[5])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "nothing to hold the candidate's 30 against" in said.reason
    later = judge.new_stage(judged(made, [block(0, 30, 0, 500, 0)]))
    later = judge.observe_probes(later, made, Round(ok=1))
    silent = judge.observe(later, made, block(0, 30, 0, 0, 0, percent=25, epoch=3))
    assert judge.judge_stage(silent, made, AT[25]).verdict is Verdict.INCONCLUSIVE


def test_a_late_block_of_the_stage_before_counts_for_the_rollout_alone() -> None:
    made = a_plan()
    state = judge.new_stage(judged(made, [block(0, 40, 0, 360, 0, epoch=2)]))
    late = judge.observe(state, made, block(1, 40, 0, 360, 0, epoch=2), in_stage=False)
    assert late.total[METRIC].candidate_trials == 80
    assert METRIC not in late.stage
    assert judge.observe(late, made, block(0, 7, 0, 63, 0, epoch=3)).stage[METRIC].candidate_trials == 7


def test_the_figures_of_a_fail_stay_those_that_decided() -> None:
    made = a_plan()
    failed = judged(made, [block(0, 12, 11, 120, 0)])
    later = judge.observe(failed, made, block(1, 40, 0, 400, 0))
    assert judge.judge_stage(failed, made, AT[25]).verdict is Verdict.FAIL
    then, now = (judge.judge_stage(state, made, AT[25]) for state in (failed, later))
    assert (now.reason, now.criteria[0].detail) == (then.reason, then.criteria[0].detail)
    assert then.criteria[0].detail == "11/12 failed against 0/120 on stable"


def test_a_stage_that_has_just_begun_is_failed_with_the_figures_that_decided() -> None:
    made = a_plan()
    state = judge.new_stage(judged(made, [block(0, 40, 2, 400, 0)]))
    state = judge.observe(state, made, block(1, 12, 11, 120, 0), in_stage=False)
    state = judge.observe_probes(state, made, Round(ok=5))
    said = judge.judge_stage(state, made, 2)
    assert said.verdict is Verdict.FAIL
    assert said.reason == f"{METRIC}: 13/52 failed against 0/520 on stable"
    assert (said.criteria[0].candidate_failures, said.criteria[0].candidate_trials) == (13, 52)


def test_failures_before_the_stage_began_are_among_the_figures_that_decided() -> None:
    """Users whom a moving split sent to the candidate belong to no stage."""
    made = a_plan()
    state = judge.new_stage(judged(made, [block(0, 40, 0, 400, 0)]))
    state = judge.observe(state, made, block(1, 20, 2, 200, 0), in_stage=False)
    state = judge.observe(state, made, block(2, 10, 4, 100, 0))
    assert judge.judge_stage(judge.observe_probes(state, made, Round(ok=5)), made, 2).reason == (
        f"{METRIC}: 6/70 failed against 0/700 on stable"
    )


def test_a_common_incident_of_any_shape_sends_nothing_back() -> None:
    """Day, night, and an hour at 60 %: both arms alike, 200 rollouts, none is sent back."""
    made = a_plan()
    for seed in range(200):
        rng = random.Random(seed)
        state = judge.observe_probes(judge.begin(made), made, Round(ok=1))
        for index in range(30):
            rate = 0.6 if 10 <= index < 20 else 0.01
            x_c, x_b = (sum(rng.random() < rate for _ in range(n)) for n in (5, 95))
            state = judge.observe(state, made, block(index, 5, x_c, 95, x_b))
            assert judge.judge_stage(state, made, AT[5]).verdict is not Verdict.FAIL


def test_a_better_candidate_beside_a_broken_stable_is_not_sent_back() -> None:
    made = a_plan()
    state = judged(made, [block(i, 5, 1, 95, 60) for i in range(30)])
    assert judge.judge_stage(state, made, AT[5]).verdict is not Verdict.FAIL


def test_a_stage_needs_ten_clients_on_the_candidate() -> None:
    made = a_plan(Criterion(METRIC))
    few = replace(block(0, 40, 0, 400, 0), clients=3)
    said = judge.judge_stage(judged(made, [few]), made, AT[5])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.reason == "40 runs from 3 of 10 clients: a service with so few users is held for a human"
    more = replace(block(1, 40, 0, 400, 0), clients=7)
    assert judge.judge_stage(judged(made, [few, more]), made, AT[5]).verdict is Verdict.PASS
    anew = replace(block(0, 40, 0, 400, 0, epoch=3), clients=7)
    assert judge.judge_stage(judged(made, [few, anew]), made, AT[5]).verdict is Verdict.INCONCLUSIVE
    alone = replace(full(0, 400, 0), clients=3)  # at 100 % its limits are asked alone
    assert judge.judge_stage(judged(made, [alone]), made, AT[100]).verdict is Verdict.PASS


def test_a_common_incident_holds_no_longer_than_it_lasts() -> None:
    """Two minutes of it held a stage for 42."""
    made = a_plan(Criterion(METRIC, limit=0.01))
    state = judged(made, [block(n, 2, 0, 38, 0) for n in range(10)])
    for n in range(10, 14):
        state = judge.observe(state, made, block(n, 2, 2, 38, 38))
    told = f"common incident: {METRIC} past its limit of 1% on both: 8/28 failed against 152/532 on stable"
    assert judge.judge_stage(state, made, AT[5]).reason == told
    held = 0
    while judge.judge_stage(state, made, AT[5]).verdict is not Verdict.PASS:
        held += 1
        state = judge.observe(state, made, block(13 + held, 2, 0, 38, 0))
    assert held <= 20  # ten minutes, with four runs of the candidate a minute


def test_first_event_alone_can_promote() -> None:
    """Below a quarter of the traffic it decides nothing, and its runs count."""
    made = a_plan(Criterion("first_event"))
    slow = judged(made, [block(n, 20, 20, 180, 0, metric="first_event") for n in range(5)])
    said = judge.judge_stage(slow, made, AT[5])
    assert said.verdict is Verdict.PASS
    assert said.criteria[0].verdict is Verdict.PASS
    assert said.criteria[0].detail.endswith(", shown only")
    quarter = judged(made, [block(n, 20, 20, 60, 0, metric="first_event", percent=25) for n in range(5)])
    assert judge.judge_stage(quarter, made, AT[25]).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("exits", "stables", "verdict"), [(2, 0, "pass"), (3, 0, "inconclusive"), (3, 1, "pass")]
)
def test_a_crash_loop_of_the_candidate_alone_is_not_promoted(exits: int, stables: int, verdict: str) -> None:
    """With probes alone, too: no conversation need have met it."""
    made = a_plan(Criterion("container_exits", weight=0.25))
    blocks = [
        block(n, 1, int(n < exits), 1, int(n < stables), metric="container_exits", percent=100)
        for n in range(9)
    ]
    said = judge.judge_stage(judged(made, blocks), made, AT[100])
    assert said.verdict.value == verdict
    if verdict == "inconclusive":
        assert said.reason == "3 times a container of the candidate exited unasked, and none of stable's"


def test_too_few_runs_are_told_with_the_time_that_more_take() -> None:
    made = a_plan(Criterion(METRIC))
    said = judge.judge_stage(
        judged(made, [block(n, int(n % 60 == 0), 0, 19, 0) for n in range(120)]), made, AT[5]
    )
    assert said.reason == "2 of 10 agent runs at this stage (about 8m at this traffic)"
