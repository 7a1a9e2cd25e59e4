"""Streams of looks at one or more metrics: one candidate trial and 19 stable ones at each, all drawn from a seed.

Only looks with a failure change a bet by more than its feed, so those between two of them are passed over at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from random import Random

from pipeline.judging import bound, sequential

BESIDE = 19  # stable trials at a look: 5 % of traffic is the candidate's
ALPHA = 0.001
HORIZON = 5_000  # looks


@dataclass(frozen=True, slots=True)
class Look:
    """A look at which something failed: its number, from 1, and the failures of one and of 19 trials."""

    number: int
    candidate: int
    stable: int


def looks(rng: Random, candidate: float, stable: float, until: int) -> Iterator[Look]:
    """Those with a failure, in order. Rates of failure; ``until``: the last look."""
    quiet = (1 - candidate) * (1 - stable) ** BESIDE
    number = 0
    while True:
        number += 1 if quiet == 0 else 1 + int(log(1 - rng.random()) / log(quiet)) if quiet < 1 else until
        if number > until:
            return
        while True:  # given that something failed
            x_c, x_b = int(rng.random() < candidate), sum(rng.random() < stable for _ in range(BESIDE))
            if x_c or x_b:
                break
        yield Look(number, x_c, x_b)


def first_failing(stream: Iterator[Look], metrics: int = 1) -> int | None:
    """The look at which the judge's bets reach 1/alpha; the other metrics have no failures."""
    bets = sequential.opening(len(sequential.ODDS))
    before = 0
    for look in stream:
        idle = look.number - before - 1
        if idle:
            bets = _idle(bets, before, idle)
        ratios = sequential.against_stable(1, look.candidate, BESIDE, look.stable)
        bets = sequential.step(bets, ratios, sequential.feed(look.number - 1, HORIZON))
        before = look.number
        if _together(bets, look.number, metrics) >= 1 / ALPHA:
            return look.number
    return None


def _idle(bets: sequential.Bets, after: int, count: int) -> sequential.Bets:
    fed = log(count) + sequential.feed(after, HORIZON)  # within the horizon all are alike
    return sequential.step(bets, (0.0,) * len(bets), fed)


def _together(bets: sequential.Bets, looks_held: int, metrics: int) -> float:
    """As ``bound`` adds them up: this metric's, those of the clean ones, and what nobody plays."""
    own = exp(sequential.log_mean(bets))
    clean = exp(sequential.opening(1)[0]) + looks_held * exp(sequential.feed(0, HORIZON))
    unplayed = exp(sequential.opening(1)[0])
    users = bound.STAKE * (own + (metrics - 1) * clean) / metrics + (1 - bound.STAKE) * unplayed
    return (1 - bound.PROBES) * users + bound.PROBES


def oracle(stream: Iterator[Look], candidate: float, stable: float) -> int | None:
    """The growth-optimal two-sample test that knows both rates, at 1/alpha (arXiv 2106.02693)."""
    null = (candidate + BESIDE * stable) / (1 + BESIDE)
    failed = log(candidate / null), log(stable / null)
    fine = log((1 - candidate) / (1 - null)), log((1 - stable) / (1 - null))
    quiet = fine[0] + BESIDE * fine[1]
    log_e, before = 0.0, 0
    for look in stream:
        idle = look.number - before - 1
        if quiet > 0 and log_e + idle * quiet >= -log(ALPHA):
            return before + 1 + int((-log(ALPHA) - log_e) / quiet)
        log_e += (idle + 1) * quiet
        log_e += look.candidate * (failed[0] - fine[0]) + look.stable * (failed[1] - fine[1])
        before = look.number
        if log_e >= -log(ALPHA):
            return look.number
    return None


def late_fault(rng: Random, rate: float, stable: float = 0.001) -> int:
    """Blocks of 10 and 190 trials from hour 30 of 48, when the candidate begins to fail, until it is sent back."""
    blocks, begins = 48 * 120, 30 * 120
    bets = sequential.opening(len(sequential.ODDS))
    for block in range(begins - 400, blocks):  # by then what came before it is forgotten
        own = rate if block >= begins else stable
        x_c, x_b = (sum(rng.random() < r for _ in range(n)) for r, n in ((own, 10), (stable, 190)))
        bets = sequential.step(
            bets, sequential.against_stable(10, x_c, 190, x_b), sequential.feed(block, blocks)
        )
        if _together(bets, 0, 1) >= 1 / ALPHA:
            return block - begins + 1
    return blocks
