"""Which services of a fleet a task sees to, in which order, and how often the quota lets it.  PURE.

Theory of operation. A pass reads all services by a few lists, and takes one step of each rollout that is under way, as
far as this task's part of the project's quota goes. What it does not come to waits for the next pass, which begins with
whoever has waited longest; so nothing has to be remembered between two passes but what the records hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil

from pipeline.budget import Bucket, Quota
from pipeline.core.rollout import Phase, Rollout

#: Calls of one step, at most about: two reads of the service beside the engine's own, its revisions; and one write.
COST = {Quota.READS: 4.0, Quota.WRITES: 1.0}
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


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a pass is begun, and what one comes to.

    Args:
        every: from one pass to the next; ``tasks`` share the quota, which is ``is_limited`` in the cloud alone.
    """

    every: timedelta
    tasks: int = 1
    is_limited: bool = True

    @property
    def starts_within(self) -> timedelta:
        """So long a pass begins steps: what was begun is to end before the next pass."""
        return self.every * 5 / 6

    @property
    def steps(self) -> float:
        """Steps that the quota has room for in a pass."""
        if not self.is_limited:
            return float("inf")
        minutes = self.starts_within / timedelta(minutes=1)
        parts = {quota: Bucket.share(quota, self.tasks) for quota in COST}
        return min((p.burst + p.per_minute * minutes) // COST[q] for q, p in parts.items()) or 1.0

    def rhythm(self, under_way: int) -> timedelta:
        """How often each of so many rollouts gets a step."""
        return self.every * max(1, ceil(under_way / self.steps))

    def patience(self, silent: timedelta, under_way: int) -> timedelta:
        """After which silence a rollout goes back: never while it was only not its turn."""
        return max(silent, 3 * self.rhythm(under_way))
