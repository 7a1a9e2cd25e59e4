"""A failing seed as a short story: the fewest of its faults that still break the same invariant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.faults import Fault
from tests.simulation.rollout import Simulation

MOST_RUNS = 300


def shrunk(seed: int, make: Callable[..., Simulation] = Simulation) -> Simulation:
    """The same seed with as few faults as break the invariant that it breaks first. Raises ValueError when none is."""
    whole = make(seed).run()
    if not whole.oracle.violations:
        raise ValueError(f"seed {seed} breaks nothing")
    broken = _invariant(whole)
    best = whole
    tries = 0

    def still_breaks(faults: Sequence[Fault]) -> bool:
        nonlocal best, tries
        tries += 1
        told = make(seed, faults=faults).run()
        if not told.oracle.violations or _invariant(told) != broken:
            return False
        best = told
        return True

    faults = _fewer(whole.fired, still_breaks, lambda: tries < MOST_RUNS)
    still_breaks(faults)
    return best


def _invariant(told: Simulation) -> str:
    return told.oracle.violations[0].partition(":")[0]


def _fewer(
    faults: Sequence[Fault], still_breaks: Callable[[Sequence[Fault]], bool], may_go_on: Callable[[], bool]
) -> Sequence[Fault]:
    """Delta debugging (Zeller & Hildebrandt, 2002): leave out ever smaller parts while it still breaks."""
    parts = 2
    while faults and may_go_on():
        size = max(1, -(-len(faults) // parts))
        for begin in range(0, len(faults), size):
            rest = [*faults[:begin], *faults[begin + size :]]
            if still_breaks(rest):
                faults, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(faults), parts * 2)
    return faults


def story(told: Simulation) -> str:
    """What happened up to the first violation, and the command that tells it again."""
    end = next((i for i, line in enumerate(told.trace) if "VIOLATION" in line), len(told.trace) - 1)
    return "\n".join([
        f"seed {told.seed}, a candidate that is {told.kind!r}, {len(told.fired)} faults:",
        *told.trace[: end + 1],
        f"again: make simulate FROM={told.seed} SEEDS=1",
    ])  # fmt: skip
