"""Which services of a fleet a task sees to, in which order, and which result needs a person most.  PURE."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

from pipeline.core.rollout import Phase, Rollout

_AT_STAKE = 4  # times as long a candidate with a share of the users is taken to have waited
#: Exit codes by how much they need a person, who needs to see the worst of all services. Any other comes after these.
_WORST_FIRST = (12, 4, 13, 3, 2, 1, 17, 14, 11, 15)


def task_of(service: str, tasks: int) -> int:
    """Which of so many tasks sees to it, from 0; every task comes to the same.

    Args:
        service: its full name.
    """
    return int.from_bytes(sha256(service.encode()).digest()[:8], "big") % tasks


def turn(rollout: Rollout, now: datetime) -> tuple[int, float]:
    """Sorts what is under way: the least comes first.

    A roll-back before all; what is paused, and raises nothing, last. Between them whoever has waited longest since he
    was written, and who has users on the candidate is taken to have waited four times as long: nobody starves.
    """
    order = {Phase.ROLLING_BACK: 0, Phase.PAUSED: 2}.get(rollout.phase, 1)
    weight = _AT_STAKE if rollout.split.percent_of(rollout.plan.candidate) else 1
    return order, -weight * max(0.0, (now - rollout.heartbeat).total_seconds())


def worst(codes: Iterable[int]) -> int:
    """The exit code that needs a person most; 0 where none does."""
    rank = {code: number for number, code in enumerate(_WORST_FIRST)}
    return min(
        (code for code in codes if code), key=lambda code: (rank.get(code, len(rank)), code), default=0
    )
