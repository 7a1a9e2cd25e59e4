"""Sockets on a revision that has no traffic any more: how many, until when at the most, and what is done about them.  PURE.

Theory of operation. No request of Cloud Run, so no socket, outlives its revision's request timeout. The last one ends so
long after the youngest that is open was accepted; where the logs do not say that, after the moment from which on nobody
new came. What instances were asked, or that the revision was deleted, may end it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.core.draining import Draining
from pipeline.core.rollout import Event, Phase, Rollout
from pipeline.judging.exposure import Exposure
from pipeline.judging.terms import Drain
from pipeline.model import Revision

TOLD_TO_STOP = timedelta(seconds=10)  # from SIGTERM to SIGKILL


class Left(Struct, frozen=True):
    """Sockets on one revision.

    Args:
        open: accepted since the rollout began, and not closed; None where the logs could not be read.
        ends: the last one has ended at about this moment; None where new ones may come, or none is left.
    """

    revision: str
    role: str
    open: int | None
    ends: datetime | None


def left_on(
    rollout: Rollout, met: Mapping[str, Exposure] | None, revisions: Iterable[Revision | None]
) -> tuple[Left, ...]:
    """Of the candidate and of stable.

    Args:
        met: by revision; None where the logs could not be read.
        revisions: those that there are, the two among them.
    """
    plan, timeouts = rollout.plan, {each.name: each.timeout for each in revisions if each is not None}
    roles = {"stable": plan.stable}
    if plan.candidate != plan.stable:
        roles = {"candidate": plan.candidate, **roles}
    return tuple(_left(rollout, role, name, met, timeouts.get(name)) for role, name in roles.items())


def _left(
    rollout: Rollout, role: str, name: str, met: Mapping[str, Exposure] | None, timeout: timedelta | None
) -> Left:
    seen = met.get(name, Exposure()) if met is not None else None
    count, since = seen.open_sockets if seen is not None else None, _since(rollout, name)
    if since is None or count == 0:
        return Left(name, role, count, None)
    youngest = seen.newest_open_at if seen is not None and seen.newest_open_at else since
    bounds = [youngest + timeout] if timeout is not None else []
    draining = rollout.draining
    if draining is not None and draining.revision == name:
        bounds += _drained(draining, rollout)
    return Left(name, role, count, min(bounds, default=None))


def _since(rollout: Rollout, name: str) -> datetime | None:
    """From when on no new socket came to it; None while that goes on, or is not known."""
    if rollout.split.percent_of(name):
        return None
    if rollout.phase is Phase.ROLLED_BACK and name == rollout.plan.candidate:
        steps = (step.at for step in reversed(rollout.history) if step.event is Event.RESTORED)
        return next(steps, rollout.since) if rollout.reached else None
    if rollout.phase is Phase.PROMOTED and name == rollout.plan.stable:
        return rollout.stage_began
    return None


def _drained(draining: Draining, rollout: Rollout) -> Iterator[datetime]:
    if draining.how is Drain.ASK:
        yield draining.until(rollout.plan)
    elif gone := draining.deleted_at:
        yield gone + TOLD_TO_STOP


def words(rollout: Rollout, met: Mapping[str, Exposure] | None) -> str:
    """What is done about the sockets of a revision, and what came of it, in a sentence; empty where nothing is."""
    draining = rollout.draining
    if draining is None:
        return ""
    name, seen = draining.revision, (met or {}).get(draining.revision)
    came = ""
    if seen is not None:
        came = f"; {seen.closes.get('restart_1012', 0):,} sockets closed with 1012, {seen.cut:,} runs cut"
    if draining.how is Drain.ASK:
        until = draining.until(rollout.plan)
        return f"the instances of {name} are asked to close its sockets by {until:%H:%M:%S} UTC{came}"
    if draining.ended is None:
        return f"{name} is to be deleted{came}"
    if draining.note:
        return f"{name} was not deleted: {draining.note}"
    put_back = f", {draining.put_back} took its place as the latest revision" if draining.put_back else ""
    return f"{name} was deleted at {draining.ended:%H:%M:%S} UTC{put_back}{came}"
