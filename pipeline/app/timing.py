"""How often a fleet is seen to, and what the quota has room for.

Theory of operation. A pass reads all services by a few lists, and takes one step of each rollout that is under way, as
far as this task's part of the project's quota goes. What it does not come to waits for the next pass, which begins with
whoever has waited longest; so nothing has to be remembered between two passes but what the records hold.
"""

from __future__ import annotations

from datetime import timedelta
from math import ceil

from msgspec import Struct

from pipeline.budget import Bucket, Quota

#: Calls of one step, at most about: two reads of the service beside the engine's own, its revisions; and one write.
COST = {Quota.READS: 4.0, Quota.WRITES: 1.0}


class Timing(Struct, frozen=True):
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
