"""Precision and recall of every rule on the corpus, as one table. Run by ``make bench-checks``.

"Gate" counts findings that stop a rollout (errors of high confidence), "all" those that only inform as well. Exits 1
when a rule's gate is less than certain, or misses more than one in twenty.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.checks_corpus import KINDS, RULES, cases, measured
from tests.checks_corpus.corpus import Case
from tests.checks_corpus.score import Score, Tally

_HEAD = f"{'rule':<16}{'cases':>6}{'bad':>5}   {'gate: places':>12} {'precision':>10} {'recall':>7}   {'all: places':>11} {'precision':>10} {'recall':>7}"


def main() -> int:
    started = time.monotonic()
    total = Score()
    print(_HEAD)
    scores: list[Score] = []
    for rule in RULES:
        score = _measured(cases(rule))
        scores.append(score)
        total = total + score
        print(_line(rule, score))
        for kind, make in KINDS.get(rule, {}).items():
            scores.append(_measured(make()))
            print(_line(f"  {kind}", scores[-1]))
    print(_line("all", total))
    print(*total.wrong, sep="\n", end="\n" if total.wrong else "")
    print(f"{time.monotonic() - started:.1f} s")
    return 0 if all(s.sure.precision == 1.0 and s.sure.recall >= 0.95 for s in scores) else 1


def _measured(several: Iterable[Case]) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        return measured(several, Path(folder))


def _line(name: str, score: Score) -> str:
    gate, everything = _figures(score.sure, 12), _figures(score.all, 11)
    return f"{name:<16}{score.cases:>6}{score.bad:>5}   {gate}   {everything}"


def _figures(tally: Tally, width: int) -> str:
    """A rule that never fails the gate has no precision there."""
    if not tally.expected and not tally.found:
        return f"{0:>{width}} {'-':>10} {'-':>7}"
    return f"{tally.expected:>{width}} {tally.precision:>10.3f} {tally.recall:>7.3f}"


if __name__ == "__main__":
    sys.exit(main())
