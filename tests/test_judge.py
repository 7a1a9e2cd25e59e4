"""The judge: verdicts and their order, what a block may change, replay, limits at 100 %, certification."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import exp, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import plan, record
from pipeline.judging import bound, clients, judge
from pipeline.judging.clients import Clients, Memory
from pipeline.judging.counts import Block, Counts
from pipeline.judging.judgement import Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.probes import Round
from pipeline.judging.terms import Criterion, Plan
from tests.fakes import START
from tests.rollouts import a_wish, stages
from tests.test_rollout import a_rollout

METRIC = "server_error_1011"
BOTH = (Criterion(METRIC, limit=0.01, certify=0.05), Criterion("agent_completed", limit=0.01))
AT = {0: 0, 5: 1, 25: 2, 100: 3}  # percent to stage of the plan

unhurried = settings(deadline=None)


def a_plan(*criteria: Criterion, alpha: float = 0.001) -> Plan:
    return plan.first(a_wish(stages=stages(0, 5, 25, 100), criteria=criteria or BOTH, alpha=alpha))


def block(index: int, *counts: int, percent: int = 5, epoch: int = 2, metric: str = METRIC) -> Block:
    """``counts``: candidate trials and failures, stable trials and failures; each trial is another client's."""
    return made_of(index, {metric: (Counts(*counts),)}, percent=percent, epoch=epoch)


def made_of(
    index: int, counts: Mapping[str, tuple[Counts, ...]], *, percent: int = 5, epoch: int = 2
) -> Block:
    whole = {metric: sum(tables, Counts()) for metric, tables in counts.items()}
    clients = max((c.candidate_trials for c in whole.values()), default=0)
    return Block(index, START, START, epoch, percent, counts, whole, clients)


def judged(made: Plan, blocks: Iterable[Block], *, probes_ok: int = 5) -> JudgeState:
    state = judge.observe_probes(judge.begin(made), made, Round(ok=probes_ok))
    for each in blocks:
        state = judge.observe(state, made, each)
    return state


def e_value(made: Plan, state: JudgeState) -> float:
    return judge.judge_stage(state, made, AT[5]).criteria[0].e_value


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


counts_of_blocks = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 3), st.integers(1, 200), st.integers(0, 5)).map(
        lambda c: (c[0], min(c[1], c[0]), c[2], min(c[3], c[2]))
    ),
    min_size=1,
    max_size=12,
)


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


@unhurried
@given(counts_of_blocks, st.data())
def test_one_failure_more_moves_the_evidence_the_right_way(
    counts: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    made = a_plan(Criterion(METRIC))
    where = data.draw(st.integers(0, len(counts) - 1))
    here = e_value(made, judged(made, [block(i, *c) for i, c in enumerate(counts)]))
    n_c, x_c, n_b, x_b = counts[where]
    if x_c < n_c:
        worse = [*counts[:where], (n_c, x_c + 1, n_b, x_b), *counts[where + 1 :]]
        assert e_value(made, judged(made, [block(i, *c) for i, c in enumerate(worse)])) >= here * (1 - 1e-9)
    if x_b < n_b:
        alike = [*counts[:where], (n_c, x_c, n_b, x_b + 1), *counts[where + 1 :]]
        assert e_value(made, judged(made, [block(i, *c) for i, c in enumerate(alike)])) <= here * (1 + 1e-9)


@unhurried
@given(counts_of_blocks, st.data())
def test_replay_and_restart_change_nothing(
    counts: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    """Any process may read the same blocks again, in part or whole, from a state that went through the record."""
    made = a_plan()
    blocks = [block(i, *c) for i, c in enumerate(counts)]
    straight = judged(made, blocks)
    cut = data.draw(st.integers(0, len(blocks)))
    written = record.encode(replace(a_rollout(), plan=made, judge=judged(made, blocks[:cut])))
    state = record.decode(written).judge
    for each in blocks[data.draw(st.integers(0, cut)) :]:
        state = judge.observe(state, made, each)
    assert state == straight
    assert judge.observe(state, made, blocks[0]) == straight


def test_blocks_without_failures_never_raise_the_evidence_above_what_was_staked() -> None:
    made = a_plan()
    state = judge.begin(made)
    for index in range(500):
        state = judge.observe(state, made, block(index, 5, 0, 95, 0))
        assert e_value(made, state) <= 1 + 1e-9


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


def test_a_run_is_one_run_however_many_criteria_count_it() -> None:
    made = a_plan()
    counts = {criterion.metric: (Counts(9, 0, 171, 0),) for criterion in made.terms.criteria}
    said = judge.judge_stage(judged(made, [made_of(0, counts)]), made, AT[5])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "9 of 10 agent runs" in said.reason


def test_of_many_criteria_each_has_its_share_of_the_bound() -> None:
    """Twelve metrics are no twelve chances of a false roll-back: what would convict one alone does not."""
    counts = (Counts(10, 4, 190, 1),)
    alone = a_plan(Criterion(METRIC))
    assert judge.judge_stage(judged(alone, [block(0, 10, 4, 190, 1)]), alone, AT[5]).verdict is Verdict.FAIL
    names = [METRIC, *(f"metric-{n}" for n in range(11))]
    many = a_plan(*map(Criterion, names))
    clean = (Counts(10, 0, 190, 0),)
    seen = made_of(0, {name: counts if name == METRIC else clean for name in names})
    assert judge.judge_stage(judged(many, [seen]), many, AT[5]).verdict is not Verdict.FAIL


def test_the_largest_term_is_blamed() -> None:
    made = a_plan()
    counts = {METRIC: (Counts(20, 0, 180, 0),), "agent_completed": (Counts(20, 15, 180, 0),)}
    said = judge.judge_stage(judged(made, [made_of(0, counts)]), made, AT[5])
    assert said.verdict is Verdict.FAIL
    assert said.reason.startswith("agent_completed: 15/20")


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


def test_nothing_to_certify_is_a_pass() -> None:
    made = a_plan(Criterion(METRIC, limit=0.01))
    assert judge.certify(judge.begin(made), made).verdict is Verdict.PASS


def test_a_judgement_is_json_even_when_the_evidence_is_beyond_numbers() -> None:
    made = a_plan(Criterion(METRIC, limit=0.0))
    state = judged(made, [full(0, 5, 5)])
    assert inf in state.limited[METRIC]
    said = judge.judge_stage(state, made, AT[100])
    assert said.verdict is Verdict.FAIL
    assert json.loads(json.dumps(said.to_json(), allow_nan=False))["verdict"] == "fail"
    kept = record.decode(record.encode(replace(a_rollout(), plan=made, judge=state)))
    assert kept.judge == state


def test_twelve_metrics_fit_the_record() -> None:
    names = [f"metric-{n}" for n in range(12)]
    made = a_plan(*(Criterion(name, limit=0.001, certify=0.01) for name in names))
    counts = {name: (Counts(37, 1, 703, 2), Counts(0, 0, 40, 1)) for name in names}
    full_tables = clients.grown(3)
    state = judged(made, [made_of(i, counts) for i in range(50)])
    last = replace(made_of(0, counts, percent=100, epoch=3), memory=full_tables)
    state = judge.observe(judge.new_stage(state), made, last)
    body = json.loads(record.encode(replace(a_rollout(), plan=made, judge=state)))
    assert len(json.dumps(body["judge"], separators=(",", ":"))) <= 8 * 1024


def test_blocks_merge_until_both_arms_have_a_trial() -> None:
    """A small service: one run a block. Alone they teach nothing, and 200 of 200 failing runs were a pass."""
    made = a_plan(Criterion(METRIC))
    state = judged(made, [])
    for index in range(200):
        alone = (1, 1, 0, 0) if index % 2 else (0, 0, 1, 0)
        state = judge.observe(state, made, block(index, *alone))
        if state.failed:
            break
    assert judge.judge_stage(state, made, AT[5]).verdict is Verdict.FAIL
    assert state.total[METRIC].candidate_trials <= 20
    assert not state.pending


def test_merged_blocks_are_the_bets_of_their_sum() -> None:
    made = a_plan(Criterion(METRIC))
    parts = judged(made, [block(0, 3, 1, 0, 0), block(1, 0, 0, 40, 2), block(2, 0, 0, 0, 0)])
    whole = judged(made, [block(0, 0, 0, 0, 0), block(1, 3, 1, 40, 2), block(2, 0, 0, 0, 0)])
    assert parts.compared == whole.compared
    assert parts.comparable == whole.comparable == 3


def test_a_stratum_waits_for_its_own_partner_and_a_new_split_gives_it_up() -> None:
    made = a_plan(Criterion(METRIC))
    tables = {METRIC: (Counts(0, 0, 30, 0), Counts(2, 2, 0, 0))}
    state = judged(made, [made_of(0, tables)])
    assert state.comparable == 0
    assert state.compared == judged(made, [block(0, 0, 0, 0, 0)]).compared
    later = judge.observe(state, made, made_of(1, {METRIC: (Counts(), Counts(0, 0, 20, 0))}))
    assert later.comparable == 2
    assert e_value(made, later) > 10 * e_value(made, state)
    moved = judge.observe(state, made, made_of(0, {METRIC: (Counts(), Counts(0, 0, 20, 0))}, epoch=3))
    assert moved.comparable == 0
    assert moved.pending[METRIC] == (Counts(), Counts(0, 0, 20, 0))


def test_strata_are_not_pooled() -> None:
    """Stable's old sockets are the healthy survivors: beside them the candidate's new ones look broken."""
    made = a_plan(Criterion(METRIC))
    survivors, anew = Counts(0, 0, 900, 0), Counts(25, 5, 75, 15)
    apart = judged(made, [made_of(n, {METRIC: (survivors, anew)}) for n in range(20)])
    pooled = judged(made, [made_of(n, {METRIC: (survivors + anew,)}) for n in range(20)])
    assert not apart.failed
    assert pooled.failed


def test_runs_without_a_partner_are_no_pass_however_many() -> None:
    """1,069 of 1,069 failed and the stage passed: stable's lines stayed away."""
    made = a_plan(Criterion(METRIC))
    state = judged(made, [block(n, 30, 30, 0, 0) for n in range(36)])
    said = judge.judge_stage(state, made, AT[5])
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "nothing to hold the candidate's 1080 against" in said.reason
    old = made_of(40, {METRIC: (Counts(), Counts(0, 0, 50, 0), Counts(500, 0, 0, 0))})
    assert judge.judge_stage(judge.observe(state, made, old), made, AT[5]).verdict is Verdict.INCONCLUSIVE


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


def test_what_is_only_reported_decides_nothing_and_takes_no_share() -> None:
    alone = a_plan(Criterion(METRIC))
    beside = a_plan(Criterion(METRIC), Criterion("agent_completed", report_only=True, certify=0.01))
    bad = (Counts(20, 20, 180, 0),)
    state = judged(
        beside, [made_of(n, {METRIC: (Counts(20, 0, 180, 0),), "agent_completed": bad}) for n in range(9)]
    )
    assert judge.judge_stage(state, beside, AT[5]).verdict is Verdict.PASS
    assert judge.certify(state, beside).verdict is Verdict.PASS
    thresholds = [judge.judge_stage(judge.begin(p), p, AT[5]).criteria[0].threshold for p in (alone, beside)]
    assert thresholds[0] == thresholds[1]


def test_a_weight_is_a_share_of_the_bound() -> None:
    made = a_plan(Criterion(METRIC, weight=3.0), Criterion("agent_completed"))
    heavy, light = judge.judge_stage(judge.begin(made), made, AT[5]).criteria
    assert light.threshold == pytest.approx(3 * heavy.threshold)
    assert 1 / heavy.threshold + 1 / light.threshold == pytest.approx(0.9 * made.terms.alpha)


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


def test_too_few_runs_are_told_with_the_time_that_more_take() -> None:
    made = a_plan(Criterion(METRIC))
    said = judge.judge_stage(
        judged(made, [block(n, int(n % 60 == 0), 0, 19, 0) for n in range(120)]), made, AT[5]
    )
    assert said.reason == "2 of 10 agent runs at this stage (about 8m at this traffic)"


def test_by_simulation_alpha_bounds_all_bets_together() -> None:
    """Ville: looked at after each block, probes and three criteria together, at 1 in 20 and 1 in 100."""
    for alpha in (0.05, 0.01):
        made = a_plan(*map(Criterion, ("agent_completed", METRIC, "abnormal_1006")), alpha=alpha)
        sent_back, rollouts = 0, 300
        for seed in range(rollouts):
            rng, state = random.Random(f"{alpha}/{seed}"), judge.begin(made)
            for n in range(60):
                tables = {}
                for criterion in made.terms.criteria:
                    x_c, x_b = (sum(rng.random() < 0.1 for _ in range(m)) for m in (4, 12))
                    tables[criterion.metric] = (Counts(4, x_c, 12, x_b),)
                state = judge.observe(state, made, made_of(n, tables))
                if rng.random() < 0.2:
                    bad = [sum(rng.random() < 0.3 for _ in range(5)) for _ in (0, 1)]
                    state = judge.observe_probes(
                        state, made, Round(confirming=(Counts(5, bad[0], 5, bad[1]),))
                    )
            sent_back += bool(state.failed)
        assert sent_back <= alpha * rollouts
