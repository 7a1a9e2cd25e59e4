"""Many rollouts, one after the other: what was drawn, how they ended, which broke something."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.rollout import Simulation


@dataclass
class Tally:
    """What some rollouts came to. Two are added with ``|=``."""

    rollouts: int = 0
    calls: int = 0
    cpu_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    candidates: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: dict[int, str] = field(default_factory=dict)  # seed to its first violation

    def __ior__(self, other: Tally) -> Tally:
        self.rollouts += other.rollouts
        self.calls += other.calls
        self.cpu_s += other.cpu_s
        self.outcomes += other.outcomes
        self.candidates += other.candidates
        self.faults += other.faults
        self.broken |= other.broken
        return self

    def add(self, told: Simulation) -> None:
        self.rollouts += 1
        self.calls += told.calls
        self.outcomes[told.outcome.label if told.outcome else "refused"] += 1
        self.candidates[told.kind] += 1
        self.faults.update(fault.kind for fault in told.fired)
        if told.oracle.violations:
            self.broken[told.seed] = told.oracle.violations[0]


def play(seeds: Iterable[int]) -> Tally:
    """Every seed's rollout, to its end."""
    tally, begun = Tally(), time.process_time()
    for seed in seeds:
        tally.add(Simulation(seed).run())
    tally.cpu_s = time.process_time() - begun
    return tally
