"""What the history says: how long it took, shares over time, the two clocks, who did what.  PURE."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.core.rollout import ENDED, Event, Phase, Rollout, Step
from pipeline.judging.exposure import Exposure


class Share(Struct, frozen=True):
    """From ``at`` on the candidate had ``percent`` of new connections. ``event``: what changed it."""

    at: datetime
    percent: int
    event: str


class Clocks(Struct, frozen=True):
    """The two clocks of a roll-back: new connections safe, and the last socket off the candidate.

    Args:
        first_bad: start of the first user session that failed on the candidate.
        decided: the roll-back write was accepted. ``safe``: traffic was read back.
        left: sockets still open on the candidate when the report was made; None: not known.
        drained: when the last of them closed; None while some are open, or when it is not known.
    """

    first_bad: datetime | None = None
    decided: datetime | None = None
    safe: datetime | None = None
    left: int | None = None
    drained: datetime | None = None

    @property
    def _since(self) -> datetime | None:
        """What the time to safety is counted from: a first failure after it (on a socket left behind) is no beginning."""
        is_before = self.first_bad is not None and self.safe is not None and self.first_bad <= self.safe
        return self.first_bad if is_before else self.decided

    @property
    def to_safe(self) -> timedelta | None:
        """From the first bad session, or else the decision, until new connections were safe."""
        since = self._since
        return self.safe - since if since and self.safe and self.safe >= since else None

    @property
    def since(self) -> str:
        """What ``to_safe`` is counted from, in words."""
        return "the first bad session" if self._since == self.first_bad and self.first_bad else "the decision"


class Happened(Struct, frozen=True):
    """One line of the history, in a person's words."""

    at: datetime
    what: str
    percent: int
    by: str
    reason: str


_WORDS = {
    Event.FAILED: "sent back",
    Event.RESTORED: "read back",
    Event.HELD: "paused",
    Event.RAISED: "raised",
    Event.RESUMED: "resumed",
    Event.RETRIED: "tried again",
}


def words_of(step: Step) -> str:
    """What a step was. The table has one event for every way back to stable; a person's choice is no failure."""
    if step.event is Event.FAILED and step.by:
        return "rolled back by hand" if step.by_hand else "superseded"
    return _WORDS.get(step.event, step.event.value)


def happened(rollout: Rollout) -> tuple[Happened, ...]:
    return tuple(Happened(s.at, words_of(s), s.percent, s.by, s.reason) for s in rollout.history)


def sent_back(rollout: Rollout) -> Step | None:
    """The last step that gave traffic back to stable."""
    return next((s for s in reversed(rollout.history) if s.event is Event.FAILED), None)


def by_hand(rollout: Rollout) -> Step | None:
    """The step by which an operator sent traffic back; None when the judge did, or nobody."""
    if not rollout.by_hand or rollout.phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        return None
    # A record without room for its history still has the reason.
    return sent_back(rollout) or Step(rollout.since, Event.FAILED, 0, rollout.reason)


def end_of(rollout: Rollout) -> datetime | None:
    """When the attempt ended; None while it goes on, or may go on after a pause."""
    if rollout.phase not in ENDED:
        return None
    return rollout.history[-1].at if rollout.history else rollout.since


def end_of_axis(rollout: Rollout, now: datetime) -> datetime:
    """Until when a chart of this rollout goes: a little beyond its end, because sockets outlive it; never beyond now."""
    if (ended := end_of(rollout)) is None:
        return now
    return min(now, ended + max((ended - rollout.started) / 5, timedelta(seconds=2)))


def shares_of(rollout: Rollout, until: datetime) -> tuple[Share, ...]:
    """Every change of the candidate's share; the last one is repeated at ``until``, so that a line has an end."""
    at_once = 100 if rollout.plan.stable == rollout.plan.candidate else 0  # a first revision had everything
    shares = [
        Share(rollout.started, at_once, "started"),
        *(Share(step.at, step.percent, words_of(step)) for step in rollout.history),
    ]
    return (*shares, Share(max(until, shares[-1].at), shares[-1].percent, ""))


def unasked_words(met: Exposure) -> str:
    """That the middleware may know the wrong words; empty where users ask for what it knows."""
    if not met.unasked or met.runs:
        return ""
    words = " or ".join(f"`{each}`" for each in sorted(met.unasked))
    return f"{sum(met.unasked.values()):,} sockets, none asked for {words}: users' runs are not counted"


def clocks_of(rollout: Rollout, candidate: Exposure | None) -> Clocks:
    """What the history and the logs say; all None for a rollout that never went back."""
    back, first_bad = sent_back(rollout), candidate.first_bad_at if candidate else None
    if back is None:
        return Clocks(first_bad)
    safe = next((s.at for s in rollout.history if s.event is Event.RESTORED and s.at >= back.at), None)
    left = candidate.open_sockets if candidate else None
    return Clocks(first_bad, back.at, safe, left, candidate.last_close_at if candidate and not left else None)
