"""What may happen to a rollout: kinds of faults, and a schedule of them drawn from a seed.

A schedule is a list of ``Fault``: at the so-and-so-manieth boundary of a call this happens. Everything about a fault is
drawn beforehand, so any subset of a schedule can be played again: that is how a failure is shrunk (``shrink.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.rollout import Simulation

T = TypeVar("T")
LAST = 1200  # boundary of a call after which nothing is drawn any more
ODDS = (0.01, 0.02, 0.04)  # that something happens at one boundary; one of them for a whole rollout


@dataclass(frozen=True, slots=True)
class Fault:
    """``at``: number of the boundary, 0 from the beginning on. ``salt``: in [0, 1), chooses among a kind's variants."""

    at: int
    kind: str
    salt: float

    def pick(self, variants: Sequence[T]) -> T:
        return variants[int(self.salt * len(variants))]


Happening = Callable[["Simulation", Fault, "Process", str], None]
Condition = Callable[["Simulation", Fault], None]

HAPPENINGS: dict[str, Happening] = {}
CONDITIONS: dict[str, tuple[float, Condition]] = {}
_LOTS: list[str] = []


def happens(*kinds: str, weight: int = 1) -> Callable[[Happening], Happening]:
    """At a boundary of a call: kinds of faults, each drawn ``weight`` times as often as one of weight 1."""

    def register(act: Happening) -> Happening:
        for kind in kinds:
            HAPPENINGS[kind] = act
            _LOTS.extend([kind] * weight)
        return act

    return register


def holds(kind: str, *, chance: float) -> Callable[[Condition], Condition]:
    """From the beginning of a rollout on, in this share of them."""

    def register(act: Condition) -> Condition:
        CONDITIONS[kind] = (chance, act)
        return act

    return register


def draw(seed: int, odds: float | None = None) -> tuple[Fault, ...]:
    """The seed's schedule. ``odds``: that something happens at one boundary; 0: nothing ever does."""
    rng = random.Random(seed * 3)
    rate = rng.choice(ODDS) if odds is None else odds
    if not rate:
        return ()
    rolled = [(kind, chance, rng.random(), rng.random()) for kind, (chance, _) in CONDITIONS.items()]
    faults = [Fault(0, kind, salt) for kind, chance, roll, salt in rolled if roll < chance]
    at = 0
    while True:
        at += 1 + int(log(1 - rng.random()) / log(1 - rate))
        if at > LAST:
            return tuple(faults)
        faults.append(Fault(at, rng.choice(_LOTS), rng.random()))
