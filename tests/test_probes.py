"""What probes prove and what they leave in doubt: a bound on false findings, and how soon a bad candidate is found."""

from __future__ import annotations

import random
from math import exp, inf, log, log1p, nan

import pytest
from msgspec.structs import replace

from pipeline.core import codec, plan
from pipeline.judging import bound, probes, sequential
from pipeline.judging.counts import Counts
from pipeline.judging.probes import Probes, Round
from tests.rollouts import a_wish

ALPHA, BETA = 0.001, 0.05
FIVES = Counts(5, 5, 5, 0)


def after(*blocks: Counts) -> Probes:
    return probes.observe(Probes(), Round(confirming=blocks))


def is_proved(state: Probes, alpha: float = ALPHA) -> bool:
    return bound.is_proved_by_probes(state, plan.first(a_wish(alpha=alpha)))


def test_two_rounds_of_five_against_none_decide_and_one_does_not() -> None:
    once, twice = after(FIVES), after(FIVES, FIVES)
    assert exp(once.log_e) == pytest.approx(92.4, abs=0.1)
    assert exp(twice.log_e) == pytest.approx(18_433, abs=1)
    assert not is_proved(once)
    assert is_proved(twice)
    assert twice.words == "10 of 10 probe conversations failed, against 0 of 10 on stable"


def test_it_is_a_tenth_of_alpha_that_decides() -> None:
    assert exp(after(FIVES, FIVES).log_e) == pytest.approx(18_433, abs=1)
    assert is_proved(after(FIVES, FIVES), 1 / 1_843)
    assert not is_proved(after(FIVES, FIVES), 1 / 1_844)


def test_no_order_of_rounds_and_no_way_to_group_them_matters() -> None:
    blocks = [FIVES, Counts(5, 1, 5, 2), Counts(5, 0, 5, 1), Counts(5, 2, 5, 0)]
    one = after(*blocks)
    other = Probes()
    for each in reversed(blocks):
        other = probes.observe(other, Round(confirming=(each,)))
    assert other.log_e == pytest.approx(one.log_e)
    assert other.confirming == one.confirming


def test_the_expected_ratio_is_at_most_one_where_both_fail_as_often() -> None:
    """By enumeration: what a block multiplies the bet by, on average, given how many failed."""
    for k in range(11):
        share = {
            x: exp(sequential.log_sum([_choose(5, x) + _choose(5, k - x) - _choose(10, k)]))
            for x in range(max(0, k - 5), min(5, k) + 1)
        }
        assert sum(share.values()) == pytest.approx(1)
        for number in range(len(sequential.ODDS)):
            ratios = (p * exp(sequential.against_stable(5, x, 5, k - x)[number]) for x, p in share.items())
            assert sum(ratios) == pytest.approx(1)


def _choose(n: int, k: int) -> float:
    return sum(log(n - i) - log(i + 1) for i in range(k))


def test_where_there_is_no_stable_the_limit_acts() -> None:
    assert is_proved(after(Counts(5, 5), Counts(5, 5)))
    assert after(Counts(5, 5)).words == "5 of 5 probe conversations failed, against a limit of 10%"
    assert not is_proved(after(Counts(5, 1)))
    assert not is_proved(after(*[Counts(5, 0)] * 50))


@pytest.mark.parametrize("flake", [0.0001, 0.001, 0.01, 0.1])
def test_healthy_rollouts_go_back_within_a_tenth_of_alpha(flake: float) -> None:
    """Whole default rollouts, 56 minutes with 5 conversations every 10 s, and the network as bad for both."""
    rollouts, rounds = (3_000, 336) if flake < 0.1 else (300, 336)
    rng = random.Random(f"flaky {flake}")
    failed = sum(is_proved(_rollout(rng, rounds, flake, flake)) for _ in range(rollouts))
    assert failed <= 1  # 0.3 are allowed on average


def _rollout(rng: random.Random, rounds: int, candidate: float, stable: float, sessions: int = 5) -> Probes:
    """As ``course.py`` asks: from one failing round to the next is skipped at once."""
    state, left = Probes(), rounds
    fails = 1 - (1 - candidate) ** sessions
    while not is_proved(state):
        left -= 1 + int(log(1 - rng.random()) / log1p(-fails)) if fails < 1 else 1
        if left < 0:
            break
        blocks: list[Counts] = []
        while len(blocks) < 2 and (not blocks or blocks[-1].candidate_failures > blocks[-1].stable_failures):
            x = sum(rng.random() < candidate for _ in range(5))
            blocks.append(Counts(5, x, 5, sum(rng.random() < stable for _ in range(5))))
        state = probes.observe(state, Round(confirming=tuple(blocks)))
    return state


def test_a_candidate_that_fails_one_in_five_is_found() -> None:
    rng = random.Random("one in five")
    asked = []
    for _ in range(300):
        found = _rollout(rng, 2_000, 0.2, 0.0)
        assert is_proved(found)
        asked.append(found.confirming.candidate_trials)
    asked.sort()
    assert asked[150] <= 75  # conversations with each: fifteen rounds of five
    assert asked[285] <= 115


def test_a_failure_is_doubted_until_one_in_five_is_ruled_out() -> None:
    state = probes.observe(Probes(), Round(4, 1, (Counts(5, 0, 5, 0),)))
    assert "1 of 5 probe conversations failed (0 of 5 on stable): 25 more" in probes.unsure(state, BETA)
    for left in range(probes.doubt(state, BETA), 0, -1):
        assert probes.doubt(state, BETA) == left
        state = probes.observe(state, Round(ok=1))
    assert not probes.unsure(state, BETA)
    assert state.ok == 29


def test_one_that_fails_one_in_five_is_not_cleared() -> None:
    """At 1/beta for ever, over all the moments at which it could be."""
    rng, cleared = random.Random(7), 0
    for _ in range(200):
        state = probes.observe(Probes(), Round(0, 1))
        for _ in range(200):
            state = (
                replace(state, ok=state.ok + 1) if rng.random() > 0.2 else replace(state, bad=state.bad + 1)
            )
            if not probes.unsure(state, BETA):
                cleared += 1
                break
    assert cleared <= 10


def test_a_stage_starts_without_doubt_and_without_a_green_round() -> None:
    state = probes.next_stage(probes.observe(Probes(), Round(9, 1, (Counts(5, 1, 5, 0),))))
    assert (state.ok, state.bad, state.confirming) == (0, 0, Counts(5, 1, 5, 0))
    assert probes.unsure(state, BETA) == "no green probe round at this stage yet"


def test_it_is_written_and_read_to_the_last_bit() -> None:
    state = after(FIVES, Counts(5, 1, 5, 0), Counts(5, 1))
    assert codec.made(Probes, codec.plain(state)) == state
    assert codec.plain(Probes()) == {}


@pytest.mark.parametrize("bets", [(), (0.0,) * 7, (0.0,) * 8 + (nan,)])
def test_bets_that_are_not_ours_do_not_fit(bets: tuple[float, ...]) -> None:
    assert probes.fits(after(FIVES))
    assert not probes.fits(replace(Probes(), compared=bets))
    assert not probes.fits(replace(Probes(), limited=bets))
    assert probes.fits(replace(Probes(), compared=(-inf,) * 9))


@pytest.mark.parametrize(
    "state",
    [
        Probes(ok=-1),
        Probes(bad=10**300),
        Probes(confirming=Counts(5, 6)),
        Probes(confirming=Counts(5, 0, 1, 2)),
    ],
)
def test_counts_that_cannot_be_do_not_fit(state: Probes) -> None:
    assert not probes.fits(state)
