"""Plant every bug, one at a time, and print which test finds it.

    python -m tests.mutants [--jobs 2] [--only WORD] [--quick]

Exits 1 when one survives or the control fails, 2 when a patch no longer applies.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.mutants.hunt import WIDER, Broken, Copy
from tests.mutants.mutant import DoesNotApply, Mutant, load, place_of, sources

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Hunted:
    """What came of one mutant. ``killer`` None: it survives."""

    mutant: Mutant
    killer: str | None
    seconds: float
    note: str = ""


class Pool:
    """Copies of the tree, each used by one hunt at a time.

    Args:
        wider: tests that are tried on what the expected ones do not find.
    """

    def __init__(self, folder: Path, size: int, wider: Sequence[str]) -> None:
        self._wider = wider
        self._free: SimpleQueue[Copy] = SimpleQueue()
        for number in range(size):
            self._free.put(Copy(folder / str(number)))

    @contextmanager
    def copy(self) -> Iterator[Copy]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def hunt(self, mutant: Mutant) -> Hunted:
        began = time.monotonic()
        with self.copy() as copy:
            try:
                killer, note = _killer(copy, mutant, self._wider)
            except Broken as error:
                killer, note = None, str(error)
        hunted = Hunted(mutant, killer, time.monotonic() - began, note)
        _say(f"{'killed  ' if killer else 'SURVIVES'} {hunted.seconds:5.1f}s  {mutant}")
        return hunted


def _killer(copy: Copy, mutant: Mutant, wider: Sequence[str]) -> tuple[str | None, str]:
    """The test that finds it, if any, and a remark. Raises Broken."""
    with copy.planted(mutant):
        killer = copy.first_failure(mutant.tests)
        if killer is not None or not wider:
            return killer, ""
        killer = copy.first_failure(wider)
    if killer is not None and copy.first_failure([killer]) is not None:
        raise Broken(f"{killer} fails without the mutant too")
    return killer, "not by the tests that were expected to" if killer else ""


def main(argv: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--only", default="", help="mutants whose name holds this word")
    asked.add_argument("--quick", action="store_true", help="try a survivor on no other tests")
    options = asked.parse_args(argv)
    mutants = [mutant for mutant in load() if options.only in str(mutant)]
    stale = list(_stale(mutants))
    if stale or not mutants:
        _say("\n".join(stale) or "no such mutant")
        return 2
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(options.jobs) as threads,
    ):
        pool = Pool(Path(folder), options.jobs, () if options.quick else WIDER)
        control = _control(pool, mutants)
        if control is not None:
            _say(f"the control fails: {control}")
            return 1
        hunted = list(threads.map(pool.hunt, mutants))
    _say(_table(hunted))
    killed = sum(each.killer is not None for each in hunted)
    _say(f"\n{killed} of {len(hunted)} killed in {time.monotonic() - began:.0f}s on {options.jobs} processes")
    return 0 if killed == len(hunted) else 1


def _stale(mutants: Iterable[Mutant]) -> Iterable[str]:
    code = sources()
    for mutant in mutants:
        try:
            place_of(mutant, code)
        except DoesNotApply as error:
            yield str(error)


def _control(pool: Pool, mutants: Iterable[Mutant]) -> str | None:
    """The tests that are expected to fail on a mutant pass on the code as it is."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    whole = {test for test in tests if "::" not in test}
    with pool.copy() as copy:
        return copy.first_failure([t for t in tests if t in whole or t.partition("::")[0] not in whole])


def _table(hunted: Iterable[Hunted]) -> str:
    rows = ["", "| planted bug | killed by | s |", "|---|---|---|"]
    for each in hunted:
        killer = each.killer or "**nothing**"
        rows.append(f"| {each.mutant} | {killer} | {each.seconds:.1f} |")
        rows += [f"| | {line} | |" for line in each.note.splitlines() if line.strip()]
    return "\n".join(rows)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
