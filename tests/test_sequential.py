"""The sequential tests: exact under the null by enumeration, equal to scipy's, monotone, and kept by Ville's bound."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise
from math import comb, exp, inf, isfinite, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom, nchypergeom_fisher

from pipeline.judging import sequential
from pipeline.judging.sequential import ODDS

unhurried = settings(deadline=None)


@pytest.mark.parametrize("n_c", range(1, 13))
def test_the_expected_ratio_is_one_when_both_are_alike(n_c: int) -> None:
    """Over every split of k failures between the arms, with the exact hypergeometric weights."""
    for n_b in range(1, 13):
        for k in range(1, n_c + n_b + 1):
            possible = range(max(0, k - n_b), min(k, n_c) + 1)
            weights = [Fraction(comb(n_c, i) * comb(n_b, k - i), comb(n_c + n_b, k)) for i in possible]
            ratios = [sequential.against_stable(n_c, i, n_b, k - i) for i in possible]
            for number in range(len(ODDS)):
                expected = sum(float(w) * exp(r[number]) for w, r in zip(weights, ratios, strict=True))
                assert expected == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("odds_ratio", [0.2, 0.5, 0.9])
def test_the_expected_ratio_is_below_one_when_the_candidate_is_better(odds_ratio: float) -> None:
    n_c, n_b, k = 7, 11, 6
    for number in range(len(ODDS)):
        mean = sum(
            nchypergeom_fisher.pmf(i, n_c + n_b, k, n_c, odds_ratio)
            * exp(sequential.against_stable(n_c, i, n_b, k - i)[number])
            for i in range(k + 1)
        )
        assert mean < 1


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    n_c, n_b = draw(st.integers(1, 400)), draw(st.integers(1, 4000))
    return n_c, draw(st.integers(0, n_c)), n_b, draw(st.integers(0, min(n_b, 300)))


@settings(deadline=None, max_examples=60)
@given(tables())
def test_the_ratio_is_that_of_scipys_distributions(table: tuple[int, int, int, int]) -> None:
    n_c, x_c, n_b, x_b = table
    k = x_c + x_b
    ours = sequential.against_stable(*table)
    central = hypergeom.logpmf(x_c, n_c + n_b, k, n_c)
    for w, ratio in list(zip(ODDS, ours, strict=True))[:5]:  # scipy's own precision ends with large odds
        theirs = nchypergeom_fisher.logpmf(x_c, n_c + n_b, k, n_c, w) - central
        if central > -200 and theirs > -200:
            assert ratio == pytest.approx(theirs, abs=1e-5, rel=1e-5)


@unhurried
@given(tables())
def test_a_failure_more_moves_the_bet_the_right_way(table: tuple[int, int, int, int]) -> None:
    n_c, x_c, n_b, x_b = table
    here = sequential.against_stable(*table)
    if x_c < n_c:
        worse = sequential.against_stable(n_c, x_c + 1, n_b, x_b)
        assert all(more >= less - 1e-9 for more, less in zip(worse, here, strict=True))
    if x_b < n_b:
        alike = sequential.against_stable(n_c, x_c, n_b, x_b + 1)
        assert all(less <= more + 1e-9 for less, more in zip(alike, here, strict=True))


@pytest.mark.parametrize("table", [(0, 0, 10, 3), (10, 3, 0, 0), (10, 0, 200, 0), (0, 0, 0, 0)])
def test_what_tells_nothing_changes_nothing(table: tuple[int, int, int, int]) -> None:
    assert sequential.against_stable(*table) == (0.0,) * len(ODDS)


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.3])
@pytest.mark.parametrize("n", range(1, 13))
def test_the_limit_test_expects_one_at_its_limit_and_less_below(n: int, limit: float) -> None:
    for rate, is_at_limit in ((limit, True), (limit / 3, False)):
        weights = [comb(n, x) * rate**x * (1 - rate) ** (n - x) for x in range(n + 1)]
        for number in range(len(sequential.limit_grid(limit))):
            ratios = [exp(sequential.against_limit(n, x, limit)[number]) for x in range(n + 1)]
            mean = sum(w * r for w, r in zip(weights, ratios, strict=True))
            assert mean == pytest.approx(1.0) if is_at_limit else mean < 1


def test_a_limit_of_zero_is_refuted_by_one_failure_and_never_by_none() -> None:
    assert max(sequential.against_limit(5, 1, 0.0)) == inf
    assert max(sequential.against_limit(500, 0, 0.0)) <= 0.0


def test_nothing_exceeds_a_limit_of_all() -> None:
    assert sequential.limit_grid(1.0) == ()


@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_certifying_expects_one_at_its_level_and_less_above(n: int, level: float) -> None:
    for rate, is_at_level in ((level, True), (min(0.9, level * 2), False)):
        mean = sum(
            comb(n, x) * rate**x * (1 - rate) ** (n - x) * exp(sequential.below_level(n, x, level))
            for x in range(n + 1)
        )
        assert mean == pytest.approx(1.0) if is_at_level else mean < 1


@pytest.mark.parametrize(("level", "trials"), [(0.01, 354), (0.001, 3556)])
def test_how_many_clean_trials_certify(level: float, trials: int) -> None:
    assert sequential.trials_to_certify(level, 0.05) == trials
    assert sequential.below_level(trials, 0, level) >= log(20) > sequential.below_level(trials - 1, 0, level)


@unhurried
@given(st.integers(0, 500), st.integers(0, 3), st.sampled_from([0.01, 0.05, 0.2]))
def test_what_is_still_needed_is_just_enough(n: int, x: int, level: float) -> None:
    more = sequential.more_to_certify(n, min(n, x), level, 0.05)
    assert sequential.below_level(n + more, min(n, x), level) >= log(20)
    assert more == 1 or sequential.below_level(n + more - 1, min(n, x), level) < log(20)


@pytest.mark.parametrize(("n", "x"), [(100, 0), (100, 3), (3556, 0), (2000, 40)])
def test_the_certified_level_is_the_smallest_that_is_ruled_out(n: int, x: int) -> None:
    level = sequential.certified_level(n, x, 0.05)
    assert sequential.below_level(n, x, level) >= log(20)
    assert sequential.below_level(n, x, level * 0.998) < log(20)
    assert level > x / n


@pytest.mark.parametrize(("n", "x"), [(0, 0), (5, 5), (1, 0)])
def test_too_few_trials_certify_nothing(n: int, x: int) -> None:
    assert sequential.certified_level(n, x, 0.05) > 0.9


def _most_evidence(rng: random.Random, rates: list[float], blocks: int = 40) -> float:
    """The highest log E that a peeker at every block ever sees; both arms fail alike, as each block's rate says."""
    bets = sequential.opening(len(ODDS))
    feed = log(sequential.HELD_BACK / blocks)
    highest = -inf
    for rate in rates:
        x_c = sum(rng.random() < rate for _ in range(5))
        x_b = sum(rng.random() < rate for _ in range(20))
        bets = sequential.step(bets, sequential.against_stable(5, x_c, 20, x_b), feed)
        highest = max(highest, sequential.log_mean(bets))
    return highest


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param([0.1] * 40, id="steady"),
        pytest.param([0.02 if block < 20 else 0.6 for block in range(40)], id="incident-on-both"),
        pytest.param([0.02 * block for block in range(40)], id="ramp"),
    ],
)
def test_a_peeker_is_deceived_no_more_often_than_the_bound_says(rates: list[float]) -> None:
    """Ville: P(ever E >= 20) <= 0.05, however often one looks."""
    rng = random.Random(7)
    streams = 500
    deceived = sum(_most_evidence(rng, rates) >= log(20) for _ in range(streams))
    assert deceived <= 0.05 * streams


def test_half_of_each_bet_is_kept_for_late_faults() -> None:
    blocks = 100
    feed = log(sequential.HELD_BACK / blocks)
    bets = sequential.opening(len(ODDS))
    for _ in range(blocks):
        bets = sequential.step(bets, (0.0,) * len(ODDS), feed)
    assert [exp(bet) for bet in bets] == pytest.approx([1.0] * len(ODDS))
    assert sequential.step(bets, (0.0,) * len(ODDS), -inf) == bets


@pytest.mark.parametrize("horizon", [1, 7, 100])
def test_what_is_fed_for_ever_is_never_more_than_was_held_back(horizon: int) -> None:
    fed = [exp(sequential.feed(block, horizon)) for block in range(50 * horizon)]
    assert sum(fed) < sequential.HELD_BACK
    assert sum(fed) > 0.99 * sequential.HELD_BACK
    assert all(later <= earlier for earlier, later in pairwise(fed))
    assert min(fed) > 0


def test_a_fault_a_day_after_the_horizon_is_still_found_at_once() -> None:
    """The whole stake was lost by then: a bet that is never fed again would have to win it all back."""
    horizon = 110
    bets = tuple(-40.0 for _ in ODDS)
    for block in range(horizon + 24 * 120, horizon + 24 * 120 + 8):
        bets = sequential.step(
            bets, sequential.against_stable(10, 10, 190, 2), sequential.feed(block, horizon)
        )
    assert sequential.log_mean(bets) > log(1000)


@pytest.mark.parametrize(("rate", "median"), [(0.0, 354), (0.003, 860), (0.005, 1920)])
def test_how_many_runs_certify_at_a_rate(rate: float, median: int) -> None:
    """Beside medians of drawn streams."""
    assert sequential.median_to_certify(0, 0, 0.01, 0.05, rate) == pytest.approx(median, rel=0.1)
    part = sequential.median_to_certify(0, 0, 0.001, 0.05, rate / 10)
    assert part == pytest.approx(10 * median, rel=0.1)


def test_at_the_level_itself_no_number_of_runs_certifies() -> None:
    assert sequential.median_to_certify(0, 0, 0.01, 0.05, 0.01) is None
    assert sequential.median_to_certify(500, 20, 0.01, 0.05, 0.012) is None


@pytest.mark.parametrize("table", [(150, 15, 2850, 285), (150, 150, 2850, 0), (5000, 5000, 95_000, 5000)])
def test_a_large_block_is_as_exact_as_a_small_one(table: tuple[int, int, int, int]) -> None:
    """Beside sums of whole numbers, which know no rounding."""
    n_c, x_c, n_b, x_b = table
    k = x_c + x_b
    if n_c > 1000:
        assert all(map(isfinite, sequential.against_stable(*table)))
        return
    ways = [comb(n_c, i) * comb(n_b, k - i) for i in range(max(0, k - n_b), min(k, n_c) + 1)]
    for w, ratio in zip(
        (Fraction(w).limit_denominator(10) for w in ODDS), sequential.against_stable(*table), strict=True
    ):
        whole = sum(way * w**i for i, way in enumerate(ways, max(0, k - n_b)))
        exact = Fraction(w**x_c * sum(ways), 1) / whole
        assert ratio == pytest.approx(log(exact.numerator) - log(exact.denominator), abs=1e-8)


def test_logarithms_are_written_short_and_their_errors_cancel() -> None:
    bets = sequential.opening(len(ODDS))
    assert all(len(str(bet)) <= 10 for bet in bets)
    exact = list(bets)
    for n in range(3000):
        ratios = sequential.against_stable(5, n % 3 == 0, 95, n % 2)
        exact = [bet + ratio for bet, ratio in zip(exact, ratios, strict=True)]
        bets = sequential.step(bets, ratios, -inf)
    assert bets == pytest.approx(exact, abs=1e-3)
    assert all(len(str(bet)) <= len("-12345.1234567") for bet in bets)


@pytest.mark.parametrize(("n", "x"), [(20, 0), (1000, 2), (9000, 450), (50, 20)])
@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_the_highest_rate_is_one_that_would_hardly_show_so_few(n: int, x: int, alpha: float) -> None:
    rate = sequential.highest_rate(n, x, alpha)
    assert binom.cdf(x, n, rate) <= alpha * 1.01
    assert binom.cdf(x, n, rate * 0.8) > alpha  # and not much higher than need be
    assert sequential.highest_rate(n, n, alpha) == sequential.highest_rate(0, 0, alpha) == 1.0
