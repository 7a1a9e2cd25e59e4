"""All 1,024 sets of ten breakages, a roll-back for each; then some of them as the real command in a fresh process.

    python -m bench.breakages [SEED]

Prints how many came back, the time from the process's start (imports done) to the read-back, and one control whose way
back is broken itself. Ends with 1 unless all came back, the control did not, and p99 is at most a second.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from itertools import compress, product
from pathlib import Path

from pipeline.local import daemon, endpoint
from tests.e2e.project import Project
from tests.faults import breaking
from tests.faults.breakages import Came, Night
from tests.faults.lanes import Lane, side_by_side

LANES = 4
FRESH = 50
P99_S = 1.0


def main() -> int:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
    sets = [tuple(compress(breaking.ALL, bits)) for bits in product((0, 1), repeat=len(breaking.ALL))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = folder / "state"
        daemon.up(state, {}, strict_masks=True)
        try:
            lanes = [Lane(Project(folder / f"lane-{n}", state, f"lane-{n}")) for n in range(LANES)]
            nights = {id(lane): Night.of(lane) for lane in lanes}
            began = time.monotonic()
            forked = list(
                side_by_side(lanes, lambda lane, t: nights[id(lane)].roll_back(t[1], t[0]), enumerate(sets))
            )
            chosen = random.Random(seed).sample(list(enumerate(sets)), FRESH)
            fresh = list(
                side_by_side(
                    lanes, lambda lane, t: nights[id(lane)].roll_back(t[1], t[0], fresh=True), chosen
                )
            )
            took_s = time.monotonic() - began
            server = endpoint.read(state).pid
            control = nights[id(lanes[0])].roll_back((), before=lambda: os.kill(server, signal.SIGKILL))
        finally:
            daemon.down(state)
    return tell(seed, forked, fresh, control, took_s)


def tell(seed: int, forked: list[Came], fresh: list[Came], control: Came, took_s: float) -> int:
    """Print the figures. Returns the exit code."""
    failed = [one for one in (*forked, *fresh) if one.faults]
    for one in failed:
        print(one.broken, *one.faults, sep="\n  ")
    times = sorted(one.seconds for one in forked if one.seconds is not None)
    whole = sorted(one.whole_s for one in fresh)
    median, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(
        f"breakages: {len(breaking.ALL)}, sets: {len(forked)}, came back: {sum(not c.faults for c in forked)}"
    )
    print(f"start to read-back, imports done: median {median:.2f} s, p99 {p99:.2f} s, max {times[-1]:.2f} s")
    print(
        f"as a fresh process (SEED={seed}): {sum(not c.faults for c in fresh)} of {len(fresh)} came back, "
        f"imports and all: median {whole[len(whole) // 2]:.2f} s, max {whole[-1]:.2f} s"
    )
    print(f"control, no API: {'counted as failed' if control.faults else 'PASSED, so nothing is shown'}")
    print(f"{took_s:.0f} s in all")
    return 1 if failed or not control.faults or p99 > P99_S else 0


if __name__ == "__main__":
    sys.exit(main())
