"""The judge: what moves its bets, and what blocks and strata they are made of."""

from __future__ import annotations

import json
import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core import record
from pipeline.judging import clients, judge
from pipeline.judging.counts import Counts
from pipeline.judging.judgement import Verdict
from pipeline.judging.probes import Round
from pipeline.judging.terms import Criterion
from tests.judged import AT, METRIC, a_plan, block, counts_of_blocks, e_value, judged, made_of, unhurried
from tests.test_judge_limits import full
from tests.test_rollout import a_rollout


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
