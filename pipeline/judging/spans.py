"""The time of one split, cut into blocks; when a block is closed; and which sockets may be compared.  PURE."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.judging.terms import Sampling
from pipeline.model import LogLine

LONGEST_LATE = 5  # times the lateness that is configured: that a block waits for lines beyond it
LONGEST_MOVE = timedelta(minutes=1)  # from a write to the split being served


class Span(Struct, frozen=True):
    """The time during which one split was live. ``percent`` is the candidate's share; ``until`` None: it still is.

    Args:
        since: when the split was asked for. Faults count from here on, where there is no warm-up.
        arrived: when it was seen to be served; the warm-up begins here.
    """

    since: datetime
    until: datetime | None
    split_epoch: int
    percent: int
    arrived: datetime | None = None

    def last_block(self, block: timedelta) -> int:
        """Index of its last block, once it has ended; rounded up, for what the end cuts off is a block too."""
        assert self.until is not None
        return -((self.since - self.until) // block) - 1

    def warm_from(self, warm_up: timedelta) -> datetime:
        """From when on trials are judged.

        A split that nobody has seen yet is taken to be served after a while: users must not fail for as long as a
        status takes. (A block that is closed before the arrival is seen lies before it, so that any process comes to
        the same, whenever it looks.)
        """
        if not warm_up:
            return self.since
        latest = self.since + LONGEST_MOVE
        return min(self.arrived or latest, latest) + warm_up


class Windows(Struct, frozen=True):
    """Times between which the traffic was split in one way: only sockets accepted in the same one are compared.

    A shift splits *new* connections. Stable keeps its old sockets, the healthy survivors of all that it accepted; held
    against the candidate's newborn ones they would make any candidate look bad. Sockets that were accepted while
    traffic was moving are a window of their own.

    Args:
        borders: when a split was asked for, and when it was served; ascending.
    """

    borders: tuple[datetime, ...] = ()

    def __len__(self) -> int:
        return len(self.borders) + 1

    def of(self, accepted: float) -> int:
        """Number of the window, the oldest first."""
        return bisect_right(self.borders, accepted, key=datetime.timestamp)

    @classmethod
    def between(cls, moments: Iterable[datetime | None]) -> Windows:
        """Whatever their order; a split that was not served yet has no moment of it."""
        return cls(tuple(sorted({at for at in moments if at is not None})))


class Reach(Struct, frozen=True):
    """How far the logs reach that have arrived.

    Theory of operation. Log lines arrive in about the order in which they were written, some time after it. A line that
    is there speaks for those before it; after the newest one nothing is known, and a block without its lines would look
    like a block without errors. So a block waits for lines beyond it, of either revision. Not for ever: users who were
    all driven away write no more lines. After ``LONGEST_LATE`` times the lateness it is closed with what there is, and
    nothing passes.

    Args:
        until: the moment as of which blocks are closed and counted.
        late: why nothing can be concluded from silence; empty while blocks close with the lines beyond them.
    """

    until: datetime
    late: str = ""

    @classmethod
    def of(
        cls, lines: Sequence[LogLine], span: Span, sampling: Sampling, now: datetime, after: int = -1
    ) -> Reach:
        """Args: lines: oldest first. ``after``: the last block that was taken in."""
        newest = lines[-1].at if lines else span.since - sampling.lateness
        seen, waited = min(now, newest + sampling.lateness), now - LONGEST_LATE * sampling.lateness
        due = last_closed(span, sampling, waited)
        if due <= max(after, -1) or last_closed(span, sampling, seen) >= due:
            return cls(max(seen, waited))
        age = f"the newest log line is {(now - newest).total_seconds():.0f}s old" if lines else "none is new"
        return cls(waited, f"no data yet in the logs: {age}")


def last_closed(span: Span, sampling: Sampling, now: datetime) -> int:
    """Index of the last closed block, -1 when none is. The end of a span cuts its last block and closes it."""
    decided = now - sampling.within - sampling.lateness  # everything that started before it is
    if span.until is not None and decided >= span.until:
        return span.last_block(sampling.block)
    return (decided - span.since) // sampling.block - 1


def horizon(soaks: Iterable[timedelta], sampling: Sampling) -> int:
    """Blocks that a rollout is expected to take: what late faults' bets are spread over."""
    return max(1, sum(soaks, timedelta(0)) // sampling.block)
