"""How right the judge is, and how fast: beside a test that knows the true rates, beside other tools, on whole rollouts.

    python -m bench.judge [--quick] [--only streams|rollouts|lines] [--rollouts N] [--workers N]

All is drawn from seeds. Exits 1 when a gate is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from multiprocessing.pool import Pool as Workers
from random import Random
from statistics import median

from bench import judge_rollouts
from bench.judge_cost import block_us, state_bytes
from bench.judge_peers import RULES
from bench.judge_streams import HORIZON, Look, first_failing, late_fault, looks, oracle
from pipeline.judging.sequential import highest_rate

_LONG = 100_000  # looks after which a stream that must fail is given up
_POWER = ((0.2, 0.001, 1.05, 1.35), (0.05, 0.001, 1.12, 1.45), (0.05, 0.01, 1.28, 1.6))
_PARTS = ("streams", "rollouts", "lines")
_MOST_FALSE, _OF = 10, 20_000


class Table:
    """Rows as they come; what misses its gate is marked and remembered."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        print("| what | measured | gate |\n|---|---|---|")

    def row(self, what: str, measured: str, gate: str = "-", *, ok: bool = True) -> None:
        print(f"| {what} | {measured} | {gate}{'' if ok else ' MISSED'} |", flush=True)
        if not ok:
            self.missed.append(what)


def _is_sent_back(job: tuple[float, int]) -> bool:
    rate, seed = job
    return first_failing(looks(Random(f"null/{rate}/{seed}"), rate, rate, HORIZON)) is not None


def equal_rates(table: Table, pool: Workers, count: int) -> None:
    for rate, streams in ((0.001, count // 10), (0.01, count), (0.1, count // 20)):
        false = sum(pool.imap_unordered(_is_sent_back, ((rate, n) for n in range(streams)), chunksize=50))
        table.row(f"equal rates of {rate:.1%}, {streams:,} streams of {HORIZON:,}", f"{false} rolled back",
                  "<= 1 in 1,000", ok=false <= max(1, streams / 1000))  # fmt: skip


def power(table: Table, count: int) -> None:
    for rate in (0.0, 0.001, 0.01):
        found = sorted(_needed(n, 1.0, rate, 8) for n in range(count))
        p95 = found[int(0.95 * count)]
        table.row(f"100 % fails, stable {rate:.1%}, 8 metrics", f"p95 {p95} trials", "<= 5", ok=p95 <= 5)
    for candidate, stable, *gates in _POWER:
        best = [oracle(_stream(n, candidate, stable), candidate, stable) or _LONG for n in range(count)]
        for metrics, gate in zip((1, 8), gates, strict=True):
            found = sorted(_needed(n, candidate, stable, metrics) for n in range(count))
            ratio = sum(found) / sum(best)
            words = f"median {median(found):.0f}, p95 {found[int(0.95 * count)]}, {ratio:.2f}x the oracle"
            table.row(f"{stable:.1%} to {candidate:.0%}, {metrics} metric{'s' * (metrics > 1)}", words,
                      f"<= {gate}x", ok=ratio <= gate)  # fmt: skip
    for rate, most in ((1.0, 1), (0.2, 4), (0.05, 16)):
        blocks = median(late_fault(Random(f"late/{n}"), rate) for n in range(max(20, count // 10)))
        table.row(f"a fault of {rate:.0%} at hour 30 of 48, blocks of 10", f"median {blocks:.0f} blocks", f"<= {most}", ok=blocks <= most)  # fmt: skip


def _stream(seed: int, candidate: float, stable: float) -> Iterator[Look]:
    return looks(Random(f"power/{candidate}/{stable}/{seed}"), candidate, stable, _LONG)


def _needed(seed: int, candidate: float, stable: float, metrics: int) -> int:
    return first_failing(_stream(seed, candidate, stable), metrics) or _LONG


def peers(table: Table, count: int) -> None:
    """False roll-backs at equal rates, and the median trial at which a fault is found."""
    cases = ((0.001, 0.001), (0.01, 0.01), (0.1, 0.1), (0.2, 0.001), (0.05, 0.01))
    streams = {c: [list(looks(Random(f"peers/{c}/{n}"), *c, HORIZON)) for n in range(count)] for c in cases}
    rules = {"Spillway": lambda stream: first_failing(iter(stream)), **RULES}
    for name, rule in rules.items():
        found = {case: [rule(stream) for stream in of] for case, of in streams.items()}
        false = " / ".join(f"{sum(n is not None for n in found[case]) / count:.3g}" for case in cases[:3])
        late = " / ".join(_median_of(found[case]) for case in cases[3:])
        table.row(name, f"false {false} at equal 0.1 / 1 / 10 %; 0.1 to 20 % / 1 to 5 %: {late} trials")


def _median_of(found: Iterable[int | None]) -> str:
    middle = median(n or 2 * HORIZON for n in found)
    return f"{middle:.0f}" if middle <= HORIZON else "never"


def cost(table: Table) -> None:
    for n_c, n_b, rate in ((1, 19, 0.0), (150, 2850, 0.1)):
        took = block_us(n_c, n_b, rate)
        table.row(
            f"a metric and block of {n_c} + {n_b:,}, {rate:.0%} failing",
            f"{took:.0f} us",
            "<= 50",
            ok=took <= 50,
        )
    size = state_bytes()
    table.row(
        "state of 12 metrics with both tables of clients", f"{size:,} bytes", "<= 8,192", ok=size <= 8192
    )


def rollouts(table: Table, pool: Workers, count: int) -> None:
    began = time.monotonic()
    ended = judge_rollouts.play_all(count, pool)
    took = (time.monotonic() - began) / 60
    kinds: dict[str, Counter[str]] = {}
    for (kind, outcome), n in ended.items():
        kinds.setdefault(kind, Counter())[outcome] += n
    for kind, outcomes in sorted(kinds.items()):
        words = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(outcomes.items()))
        table.row(f"rollouts: {kind}", words)
    false = sum(n for (_, outcome), n in ended.items() if outcome not in judge_rollouts.GOOD)
    bound = highest_rate(count, false, 0.05)
    table.row(f"{count:,} whole rollouts, {took:.0f} min", f"{false} false, 95 % bound {bound:.2g}",
              f"<= {_MOST_FALSE} in {_OF:,}", ok=false <= max(1, _MOST_FALSE * count / _OF))  # fmt: skip


def through_lines(table: Table, pool: Workers, count: int) -> None:
    other = judge_rollouts.differing(count, pool)
    table.row(f"{count} of them through log lines", f"{other} differ", "0", ok=not other)


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true", help="a hundredth of the streams and rollouts")
    arguments.add_argument("--rollouts", type=int, default=0, help="so many instead of 20,000")
    arguments.add_argument("--only", choices=_PARTS, default="")
    arguments.add_argument("--workers", type=int, default=2)
    given = arguments.parse_args()
    part = 100 if given.quick else 1
    table = Table()
    count = given.rollouts or _OF // part
    with Pool(given.workers) as pool:
        if given.only in ("", "streams"):
            equal_rates(table, pool, 20_000 // part)
            power(table, 1_000)
            peers(table, 400 // min(part, 20))
            cost(table)
        if given.only in ("", "rollouts"):
            rollouts(table, pool, count)
        if given.only in ("", "lines"):
            through_lines(table, pool, max(11, 500 * count // _OF))
    for what in table.missed:
        print(f"missed: {what}", file=sys.stderr)
    return bool(table.missed)


if __name__ == "__main__":
    sys.exit(main())
