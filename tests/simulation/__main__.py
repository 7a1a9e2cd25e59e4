"""``make simulate SEEDS=N FROM=M``: so many rollouts on all cores; ends with 1 when one of them broke an invariant."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation.faults import CONDITIONS, HAPPENINGS
from tests.simulation.shrink import shrunk, story
from tests.simulation.tally import Tally, play

PART = 200  # seeds that one process plays at a time
MOST_STORIES = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("seeds", type=int, help="how many rollouts")
    parser.add_argument("first", type=int, help="the first one's seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    whole, begun = Tally(), time.monotonic()
    for part in _parts(asked.first, asked.seeds, asked.processes):
        whole |= part
        _progress(whole, asked.seeds, time.monotonic() - begun)
    sys.stderr.write("\n")
    sys.stdout.write(summary(whole, asked.first, time.monotonic() - begun))
    for seed in sorted(whole.broken)[:MOST_STORIES]:
        sys.stdout.write(f"\n{story(shrunk(seed))}\n")
    return 1 if whole.broken else 0


def _parts(first: int, count: int, processes: int) -> Iterator[Tally]:
    """Tallies as they come, whatever their order."""
    ranges = [range(begin, min(begin + PART, first + count)) for begin in range(first, first + count, PART)]
    with ProcessPoolExecutor(max(1, min(processes, len(ranges)))) as pool:
        for done in as_completed([pool.submit(play, part) for part in ranges]):
            yield done.result()


def _progress(whole: Tally, wanted: int, seconds: float) -> None:
    left = seconds / whole.rollouts * (wanted - whole.rollouts)
    sys.stderr.write(
        f"\r{whole.rollouts:,} of {wanted:,} rollouts, {len(whole.broken)} broken, {left:.0f}s to go   "
    )
    sys.stderr.flush()


def summary(whole: Tally, first: int, seconds: float) -> str:
    """What was played, in a table of words."""
    undrawn = [kind for kind in (*CONDITIONS, *HAPPENINGS) if not whole.faults[kind]]
    lines = [
        f"seeds {first} to {first + whole.rollouts - 1}: {whole.rollouts:,} rollouts, {whole.calls:,} calls",
        f"{seconds:.0f}s, {whole.cpu_s:.0f} CPU seconds, {whole.rollouts / whole.cpu_s:.0f} rollouts a CPU second",
        _counted("candidates", whole.candidates),
        _counted("outcomes", whole.outcomes),
        _counted("faults", whole.faults),
        *([f"never drawn: {', '.join(undrawn)}"] if undrawn else []),
        f"violations: {len(whole.broken)}",
        *(f"  seed {seed}: {words}" for seed, words in sorted(whole.broken.items())[:50]),
    ]
    return "\n".join(lines) + "\n"


def _counted(what: str, counts: dict[str, int]) -> str:
    return f"{what}: " + ", ".join(
        f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda item: -item[1])
    )


if __name__ == "__main__":
    sys.exit(main())
