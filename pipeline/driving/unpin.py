"""Give traffic back to LATEST: one write under the etag of the read that it was decided on, read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipeline.core import drift, record
from pipeline.core.decision import VERIFY_WITHIN
from pipeline.core.pin import unpinned
from pipeline.core.rollout import Rollout
from pipeline.driving.pace import Pace
from pipeline.driving.ports import Clock, Platform
from pipeline.driving.restore import LOOK_AT_LEAST_EVERY, LOOK_EVERY
from pipeline.errors import PlatformUnavailable, StaleWrite
from pipeline.events import Listener, Said, Wrote, harmless, unheard
from pipeline.model import LiveService, ServiceRef, Split

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Unpinned:
    """What was done.

    Args:
        latest: the ready revision that LATEST means now.
        verified: traffic was read back and seen, in a settled status.
        already: nothing was written.
        rollout: that the service carries, ended; None when it carries none.
    """

    latest: str
    was: Mapping[str, int]
    verified: bool
    already: bool = False
    rollout: Rollout | None = None


def unpin(
    platform: Platform,
    clock: Clock,
    ref: ServiceRef,
    *,
    by: str,
    reason: str = "",
    move: bool = False,
    listen: Listener = unheard,
    stop: Callable[[], bool] = lambda: False,
) -> Unpinned:
    """See ``core/pin.py`` for what is refused. A service that changes meanwhile is read, and judged, again.

    Raises: PlanRefused, RecordUnreadable: nothing was written; StaleWrite after several tries; what the port raises.
    """
    listen = harmless(listen)
    tries = _TRIES
    while True:
        live = platform.read(ref)
        current = record.of(live)
        split = unpinned(live, current, move=move)
        already = split == live.wanted
        try:
            after = current if already else _write(platform, clock, live, current, split, by, listen)
            break
        except StaleWrite:
            tries -= 1
            if not tries or stop():
                raise
    if not already:
        why = f": {reason}" if reason else ""
        words = f"traffic follows the latest ready revision again, now {live.latest_ready}, by {by}{why}"
        listen(Said(clock.now(), "unpinned", words))
    seen = _read_back(platform, clock, live, split, listen, stop)
    latest = (seen or live).latest_ready
    return Unpinned(latest, live.wanted.serving, seen is not None, already=already, rollout=after)


def _write(
    platform: Platform,
    clock: Clock,
    live: LiveService,
    current: Rollout | None,
    split: Split,
    by: str,
    listen: Listener,
) -> Rollout | None:
    """The rollout as its record says it now: what was decided stays, what traffic shall be is new."""
    after, annotations = None, live.annotations
    if current is not None:
        after = record.written(replace(current, split=split), live, clock.now(), by)
        annotations = record.annotated(live, after)
    platform.write(live.ref, etag=live.etag, annotations=annotations, split=split)
    listen(Wrote(clock.now(), after, live.etag, dict(split.serving)))
    return after


def _read_back(
    platform: Platform,
    clock: Clock,
    before: LiveService,
    split: Split,
    listen: Listener,
    stop: Callable[[], bool],
) -> LiveService | None:
    """The read that showed it."""
    give_up = clock.now() + VERIFY_WITHIN
    pace = Pace(LOOK_EVERY, LOOK_EVERY if before.ref.is_local else LOOK_AT_LEAST_EVERY)
    while not stop():
        try:
            live = platform.read(before.ref)
            if live.wanted.shares_with(split) and live.shows(split):
                if found := drift.side_effects(replace(before, wanted=split), live):
                    listen(
                        Said(clock.now(), "side_effect", f"more was changed than traffic and record: {found}")
                    )
                return live
        except PlatformUnavailable as error:
            listen(Said(clock.now(), "retrying", f"{error.what}: reading back again"))
        if clock.now() >= give_up:
            break
        clock.sleep(pace.rest())
    return None
