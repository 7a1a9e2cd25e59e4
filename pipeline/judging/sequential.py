"""Sequential tests that may be looked at as often as one likes.  PURE.

Theory of operation. Each block of evidence multiplies a *likelihood ratio* into a bet that started at 1. Under the null
hypothesis the expected ratio is at most 1, so the bet is a non-negative supermartingale and
P(bet ever reaches 1/alpha) <= alpha, whatever the number and moment of looks (Ville 1939). A mean of such bets, over
effect sizes or metrics, is one again.

Comparison (``against_stable``). H0: in every block the candidate fails no more often than stable beside it. Given
k = x_c + x_b failures, x_c is hypergeometric under H0; against an odds ratio w:

    LR_w = w^x_c / sum_i [ C(n_c,i) C(n_b,k-i) / C(n_c+n_b,k) ] w^i

Conditioning on k makes the bound exact for unequal shares, ramps, day and night, and incidents that hit both.

Limit (``against_limit``). H0: the failure rate is at most L. Against q > L: LR_q = (q/L)^x ((1-q)/(1-L))^(n-x).
Mirrored (``below_level``), H0: the rate is at least L, against q < L: what certifies.

Late faults: a part of each bet is held back and fed in, S <- (S + g) LR, so that a fault at hour 30 does not have to win
back thirty hours of losses: evenly over the horizon of blocks, and what is kept for the time after it ever less, so that
the sum of all that is ever fed stays below what was held back (``feed``).

Everything is kept as logarithms, rounded so that a record holds many (``rounded``). Sources: Wald 1945; Turner, Ly &
Gruenwald (arXiv 2106.02693); Shin, Ramdas & Rinaldo (e-detectors).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p

ODDS = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e6)
_TIMES_LIMIT = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
_ABSOLUTE = (0.2, 0.5, 0.999)
_BELOW = (0.0, 0.1, 0.25, 0.5)
_LOG_ODDS = tuple(map(log, ODDS))
HELD_BACK = 0.4
_AFTER = 0.08  # of a bet, out of what is held back: for the time after the horizon
_NEGLIGIBLE = 1e-11  # of a sum: terms below it are left out
_DIGITS = 7  # of a logarithm, after the point
_PART, _MANY = 0.05, 60  # failures' worth of trials at a level: in one step, and after which nobody waits
_FINE = 1e-3  # relative width at which a certified level is known well enough

Bets = tuple[float, ...]  # logarithms, one per effect size


def log_sum(logs: Sequence[float]) -> float:
    """log of the sum of exponentials, without overflow."""
    top = max(logs)
    if top in (-inf, inf):
        return top
    return top + log(sum([exp(value - top) for value in logs]))


def _log_add(a: float, b: float) -> float:
    """``log_sum`` of two, which is what each bet does at each block."""
    low, top = (a, b) if a < b else (b, a)
    return top if top in (-inf, inf) else top + log(1.0 + exp(low - top))


@lru_cache(maxsize=4096)  # most bets are asked for at each look, and few were played since the one before
def log_mean(logs: Bets) -> float:
    return log_sum(logs) - log(len(logs))


def opening(size: int) -> Bets:
    """Fresh bets: what is at stake; the rest is held back for late faults."""
    return (rounded(log(1 - HELD_BACK)),) * size


def feed(block: int, horizon: int) -> float:
    """log of what a bet is fed at a block, out of what was held back.

    Args:
        block: how many there were before it.
        horizon: blocks that are expected; after them it is fed ever less.
    """
    if block < horizon:
        return log((HELD_BACK - _AFTER) / horizon)
    return log(_AFTER * horizon / (block * (block + 1.0)))  # these sum to _AFTER


def step(bets: Bets, ratios: Sequence[float], log_feed: float) -> Bets:
    """One block: feed a little of what was held back (its log), then multiply the ratios in."""
    return tuple([rounded(_log_add(bet, log_feed) + ratio) for bet, ratio in zip(bets, ratios, strict=True)])


def rounded(value: float) -> float:
    """To the nearest, so that errors of many blocks cancel; infinite ones stay what they are."""
    return round(value, _DIGITS)


@lru_cache(maxsize=4096)
def against_stable(n_c: int, x_c: int, n_b: int, x_b: int) -> Bets:
    """log LR_w for each odds ratio of ``ODDS``: candidate x_c of n_c failed, stable x_b of n_b.

    The normalising sum is taken outwards from its largest term, where neighbours differ by a known factor, until terms
    are negligible: no exponentials, and no number that overflows.
    """
    k = x_c + x_b
    if not (n_c and n_b and k):
        return (0.0,) * len(ODDS)
    low, high, spare = max(0, k - n_b), min(k, n_c), n_b - k
    # falls[j]: how many times the term before (i = low + j) is larger than the one after it, at odds of 1. It rises.
    falls = [i * (spare + i) / ((n_c - i + 1) * (k - i + 1)) for i in range(low + 1, high + 1)]
    n = n_c + n_b
    whole = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - lgamma(n_c + 1) - lgamma(n_b + 1)
    ratios = []
    for w, log_w in zip(ODDS, _LOG_ODDS, strict=True):
        top = bisect_right(falls, w)
        i = low + top
        largest = -lgamma(i + 1) - lgamma(n_c - i + 1) - lgamma(k - i + 1) - lgamma(spare + i + 1)
        ratios.append(whole - largest + (x_c - i) * log_w - log(_sum_around(falls, top, w)))
    return tuple(ratios)


def _sum_around(falls: Sequence[float], top: int, w: float) -> float:
    """The sum of all terms by the largest one, which stands after ``top`` others."""
    total = term = 1.0
    for fall in falls[top:]:
        term *= w / fall
        total += term
        if term < _NEGLIGIBLE:
            break
    term = 1.0
    for fall in reversed(falls[:top]):
        term *= fall / w
        total += term
        if term < _NEGLIGIBLE:
            break
    return total


@lru_cache(maxsize=64)
def limit_grid(limit: float) -> Bets:
    """The rates above a limit that the limit test bets on."""
    grid = [limit * times for times in _TIMES_LIMIT if limit * times < 1] + [
        q for q in _ABSOLUTE if q > limit
    ]
    return tuple(sorted(set(grid)))


@lru_cache(maxsize=4096)
def against_limit(n: int, x: int, limit: float) -> Bets:
    """log LR_q for each rate of ``limit_grid``: x of n failed. A limit of 0 is refuted by one failure."""
    return tuple(_log_ratio(n, x, q, limit) for q in limit_grid(limit))


@lru_cache(maxsize=4096)
def below_level(n: int, x: int, level: float) -> float:
    """log E' that the failure rate is below ``level``: the mean over rates below it. Grows with clean trials."""
    return log_mean(tuple(_log_ratio(n, x, level * part, level) for part in _BELOW))


def _log_ratio(n: int, x: int, q: float, limit: float) -> float:
    """log of (q/L)^x ((1-q)/(1-L))^(n-x), at the edges too."""
    failed = 0.0 if x == 0 else inf if limit == 0 else -inf if q == 0 else x * log(q / limit)
    return failed + (n - x) * (log1p(-q) - log1p(-limit))


def trials_to_certify(level: float, beta: float) -> int:
    """Clean trials after which a failure rate of ``level`` is ruled out at 1/beta."""
    return more_to_certify(0, 0, level, beta)


def more_to_certify(n: int, x: int, level: float, beta: float) -> int:
    """Clean trials still missing, after n with x failures, until ``level`` is ruled out at 1/beta; at least 1.

    Args:
        level: between 0 and 1, both excluded: no number of trials rules a rate of 0 out.
    """
    wanted = -log(beta)
    low, high = 0, 1
    while below_level(n + high, x, level) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if below_level(n + middle, x, level) >= wanted else (middle, high)
    return high


@lru_cache(maxsize=64)
def median_to_certify(n: int, x: int, level: float, beta: float, rate: float) -> int | None:
    """Trials still missing when failures go on at ``rate``: half of such rollouts are certified by then.

    None: more than half never are, or only after ``_MANY`` failures' worth of trials at the level itself.
    """
    if rate >= level:
        return None
    if not rate:
        return more_to_certify(n, x, level, beta)
    together = max(1, round(_PART / level))  # so few that two failures among them are rare
    chance = rate * together
    needs = [
        n + more_to_certify(n, x, level, beta)
    ]  # trials after which 0, 1, ... failures more still certify
    still = [1.0]  # how likely it is not certified and has had 0, 1, ... failures more
    for steps in range(1, round(_MANY / _PART)):
        still = [
            stays * (1 - chance) + comes * chance
            for stays, comes in zip([*still, 0.0], [0.0, *still], strict=True)
        ]
        while len(needs) < len(still):
            needs.append(needs[-1] + more_to_certify(needs[-1], x + len(needs), level, beta))
        while still[-1] < _NEGLIGIBLE:
            still.pop()
        still = [
            0.0 if n + steps * together >= need else part for part, need in zip(still, needs, strict=False)
        ]
        if sum(still) <= 1 / 2:
            return steps * together
    return None


def highest_rate(n: int, x: int, alpha: float) -> float:
    """The highest failure rate under which x or fewer of n had a chance of alpha (Chernoff's bound); 1.0 of none."""
    if x >= n:
        return 1.0
    seen, low, high = x / n, x / n, 1.0
    while high - low > _FINE * high:
        middle = (low + high) / 2
        failed = seen * log(seen / middle) if x else 0.0
        distance = n * (failed + (1 - seen) * (log1p(-seen) - log1p(-middle)))
        low, high = (middle, high) if distance < -log(alpha) else (low, middle)
    return high


def certified_level(n: int, x: int, beta: float) -> float:
    """The smallest failure rate that n trials with x failures rule out at 1/beta; 1.0 when they rule out none."""
    low, high = x / n if n else 1.0, 1.0
    while high - low > _FINE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if below_level(n, x, middle) >= -log(beta) else (middle, high)
    return high
