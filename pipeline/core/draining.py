"""Sockets on a revision that lost its traffic: what was decided about them.  PURE.

Traffic comes first: this is only ever of a revision that was seen to have none. It is decided by the write that says so
("read back", "promoted"), and so it stands in the record of whoever comes next, and goes with the next thing that
happens to the rollout. An order for instances is an annotation of its own, which every write makes of the record anew:
there is none but of the draining that is under way.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.judging.terms import Drain, Plan
from pipeline.telemetry.order import Order


class Draining(Struct, frozen=True):
    """Args:
    since: when it was decided.
    begun: of a deletion: when it lost its tag, and its place as the latest revision. ``put_back``: what has that now.
    nonce: of a revision that is being deleted, which afterwards nobody else knows.
    ended: when it was seen to be deleted, or given up; ``note``: why that.
    within: of an order: as it was agreed to then; None: as the rollout says.
    """

    how: Drain
    revision: str
    since: datetime
    begun: datetime | None = None
    nonce: str = ""
    put_back: str = ""
    ended: datetime | None = None
    note: str = ""
    within: timedelta | None = None

    @property
    def is_to_delete(self) -> bool:
        """There is a revision that somebody is to delete."""
        return self.how is Drain.DELETE and self.ended is None

    @property
    def deleted_at(self) -> datetime | None:
        """When the revision was seen to be gone; None: it was not, or it was given up."""
        return None if self.note else self.ended

    def until(self, plan: Plan) -> datetime:
        """When the last socket is to be gone, where instances are asked."""
        return self.since + self.window(plan)

    def window(self, plan: Plan) -> timedelta:
        return plan.terms.drain_max if self.within is None else self.within


def after_roll_back(plan: Plan, how: Drain, now: datetime, put_back: str = "") -> Draining | None:
    """Of the candidate, once stable was seen to have everything: as was agreed to, or as an operator wishes it.

    Args:
        put_back: what took its place as the latest revision, when it was to be deleted before.
    """
    if how is Drain.KEEP or plan.candidate == plan.stable:
        return None
    return Draining(how, plan.candidate, now, put_back=put_back, within=_within(plan, how))


def wished(plan: Plan, how: Drain) -> Plan:
    """The plan with an operator's wish in place of what was agreed to."""
    return replace(plan, terms=replace(plan.terms, drain=how))


def after_promotion(plan: Plan, now: datetime) -> Draining | None:
    """Of the old stable revision, which is never deleted: it is what can be gone back to."""
    is_asked = plan.terms.drain_promoted is Drain.ASK and plan.candidate != plan.stable
    return Draining(Drain.ASK, plan.stable, now, within=_within(plan, Drain.ASK)) if is_asked else None


def carried(draining: Draining | None, plan: Plan) -> Draining | None:
    """What goes on while another rollout begins or moves on: an order to instances of neither of its revisions."""
    if draining is None or draining.how is not Drain.ASK:
        return None
    return None if draining.revision in (plan.stable, plan.candidate) else draining


def order_of(draining: Draining | None, plan: Plan) -> Order | None:
    """What the instances are asked."""
    if draining is None or draining.how is not Drain.ASK:
        return None
    return Order(draining.revision, draining.since, draining.window(plan))


def _within(plan: Plan, how: Drain) -> timedelta | None:
    return plan.terms.drain_max if how is Drain.ASK else None
