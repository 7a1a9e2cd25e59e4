"""The hand that writes a service, whoever guides it: a rollout's engine, a roll-back, an unpin, a deletion.

Every write is one ``UpdateService`` under the etag of the read that it was decided on, and is told once it was accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from msgspec import Struct

from pipeline.core import record
from pipeline.core.rollout import Rollout
from pipeline.driving.pace import Pace
from pipeline.driving.ports import Clock, Platform
from pipeline.errors import PlatformUnavailable
from pipeline.events import Listener, Said, Topic, Wrote, unheard
from pipeline.model import LiveService, ServiceRef, Split

LOOK_EVERY = timedelta(milliseconds=200)
LOOK_AT_LEAST_EVERY = timedelta(seconds=2)  # where reads have a quota


class Done(Struct, frozen=True):
    """What an operator's change of the traffic came to.

    Args:
        target: the revision that has all traffic; of LATEST, the one that it means now.
        verified: traffic was read back and seen, in a settled status; not that the write was accepted.
        was: revision to percent, before.
        already: nothing was written.
        rollout: as the service carries it now; None when it carries none.
    """

    target: str
    verified: bool
    was: Mapping[str, int]
    already: bool = False
    rollout: Rollout | None = None


class Hand(Struct):
    """What is needed to change one service; who does so in several steps is one, and more.

    Args:
        by: who does it, for the record.
        stop: whether the process was told to end; then nothing is waited for any more.
    """

    platform: Platform
    clock: Clock
    ref: ServiceRef
    by: str
    listen: Listener = unheard
    stop: Callable[[], bool] = lambda: False

    def say(self, topic: Topic, text: str) -> None:
        self.listen(Said(self.clock.now(), topic, text))

    def write(self, live: LiveService, after: Rollout | None, split: Split | None = None) -> Rollout | None:
        """The record, and traffic with it where a split is given; a service that carries no record gets none.

        Args:
            live: the read that it was decided on.

        Returns: the rollout as its record says it now. Raises as ``Platform.write``.
        """
        annotations = live.annotations
        if after is not None:
            after, annotations = self.recorded(live, after)
        self.platform.write(self.ref, etag=live.etag, annotations=annotations, split=split)
        self.wrote(live, after, split)
        return after

    def recorded(self, live: LiveService, after: Rollout) -> tuple[Rollout, Mapping[str, str]]:
        """The rollout as the next write bears it, and all annotations of the service with it."""
        after = record.written(after, live, self.clock.now(), self.by)
        return after, record.annotated(live, after)

    def wrote(self, live: LiveService, after: Rollout | None, split: Split | None = None) -> None:
        """Tell of a write that was accepted. ``split``: that it set traffic to."""
        traffic = dict(split.serving) if split else None
        self.listen(Wrote(self.clock.now(), after, live.etag, traffic))

    def reads(self) -> Iterator[LiveService | None]:
        """The service again and again, with rests between, until told to stop; None where there was no answer."""
        pace = Pace(LOOK_EVERY, LOOK_EVERY if self.ref.is_local else LOOK_AT_LEAST_EVERY)
        while not self.stop():
            try:
                live = self.platform.read(self.ref)
            except PlatformUnavailable as error:
                live = None
                self.say("retrying", f"{error.what}: reading back again")
            yield live
            self.clock.sleep(pace.rest())
