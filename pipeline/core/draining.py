"""Sockets on a revision that lost its traffic: what was decided about them.  PURE.

Traffic comes first: this is only ever of a revision that was seen to have none. It is decided by the write that says so
("read back", "promoted"), and so it stands in the record of whoever comes next, and goes with the next thing that
happens to the rollout. An order for instances is an annotation of its own, which every write makes of the record anew:
there is none but of the draining that is under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.judging.terms import Drain, Plan
from pipeline.telemetry.order import Order


@dataclass(frozen=True, slots=True)
class Draining:
    """Args:
    since: when it was decided.
    nonce: of a revision that is being deleted, which afterwards nobody else knows.
    put_back: the revision that took its place as the latest one, so that it can be deleted.
    ended: when it was seen to be deleted, or given up; ``note``: why that.
    """

    how: Drain
    revision: str
    since: datetime
    nonce: str = ""
    put_back: str = ""
    ended: datetime | None = None
    note: str = ""


def after_roll_back(plan: Plan, now: datetime) -> Draining | None:
    """Of the candidate, once stable was seen to have everything."""
    is_kept = plan.terms.drain is Drain.KEEP or plan.candidate == plan.stable
    return None if is_kept else Draining(plan.terms.drain, plan.candidate, now)


def after_promotion(plan: Plan, now: datetime) -> Draining | None:
    """Of the old stable revision, which is never deleted: it is what can be gone back to."""
    is_asked = plan.terms.drain_promoted is Drain.ASK and plan.candidate != plan.stable
    return Draining(Drain.ASK, plan.stable, now) if is_asked else None


def order_of(draining: Draining | None, plan: Plan) -> Order | None:
    """What the instances are asked."""
    if draining is None or draining.how is not Drain.ASK:
        return None
    return Order(draining.revision, draining.since, plan.terms.drain_max)
