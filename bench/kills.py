"""kill -9 twice: the first process at one boundary of its API calls, the second at another, then the same command.

    python -m bench.kills [PAIRS]

PAIRS (60) for each of four commands, spread evenly over all pairs of boundaries; 0 means the singles,
of which CI has those that tell.
Prints what was killed, and writes lost and doubled. Ends with 1 unless every end is that of an unkilled run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from pipeline.local import daemon
from tests.e2e.project import Project
from tests.faults.kills import CASES, Case, points_of, spread
from tests.faults.lanes import Lane, side_by_side

LANES = 6


def main() -> int:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        daemon.up(folder / "state", {}, strict_masks=True)
        try:
            lanes = [Lane(Project(folder / f"lane-{n}", folder / "state", f"lane-{n}")) for n in range(LANES)]
            faults = [kill(lanes, case, most) for case in CASES.values()]
        finally:
            daemon.down(folder / "state")
    return 1 if any(faults) else 0


def kill(lanes: list[Lane], case: Case, most: int) -> int:
    """How many runs came to another end, or lost or doubled a write."""
    began = time.monotonic()
    calls, end = case.record(lanes[0])
    points = list(points_of(calls))
    plans = spread(list(product(points, repeat=2)), most) if most else [(p,) for p in points]
    done = list(side_by_side(lanes, lambda lane, plan: case.kill(lane, plan, end), plans))
    wrong = [one for one in done if one.faults or one.lost or one.doubled]
    for one in wrong:
        print(one.points, *one.faults, sep="\n  ")
    print(
        f"{case.title}: {len(calls)} calls, {len(points)} boundaries, {len(done)} runs, "
        f"{sum(len(one.reached) for one in done)} kills, {sum(one.lost for one in done)} lost, "
        f"{sum(one.doubled for one in done)} doubled, {len(wrong)} with another end; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
