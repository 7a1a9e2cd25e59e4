"""Give traffic back to LATEST: one write under the etag of the read that it was decided on, read back."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from pipeline.core import drift, record
from pipeline.core.decision import VERIFY_WITHIN
from pipeline.core.pin import unpinned
from pipeline.driving.hand import Done, Hand
from pipeline.driving.ports import Clock, Platform
from pipeline.errors import StaleWrite
from pipeline.events import Listener, harmless, unheard
from pipeline.model import LiveService, ServiceRef, Split

_TRIES = 5


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
) -> Done:
    """See ``core/pin.py`` for what is refused. A service that changes meanwhile is read, and judged, again.

    Raises: PlanRefused, RecordUnreadable: nothing was written; StaleWrite after several tries; what the port raises.
    """
    hand = Hand(platform, clock, ref, by, harmless(listen), stop)
    for left in reversed(range(_TRIES)):
        live = platform.read(ref)
        current = record.of(live)
        split = unpinned(live, current, move=move)
        already = split == live.wanted
        after = current and replace(current, split=split)
        try:
            after = current if already else hand.write(live, after, split)
            break
        except StaleWrite:
            if not left or stop():
                raise
    if not already:
        why = f": {reason}" if reason else ""
        hand.say(
            "unpinned",
            f"traffic follows the latest ready revision again, now {live.latest_ready}, by {by}{why}",
        )
    seen = _read_back(hand, live, split)
    return Done((seen or live).latest_ready, seen is not None, live.wanted.serving, already, after)


def _read_back(hand: Hand, before: LiveService, split: Split) -> LiveService | None:
    """The read that showed it."""
    give_up = hand.clock.now() + VERIFY_WITHIN
    for live in hand.reads():
        if live is not None and live.wanted.shares_with(split) and live.shows(split):
            if found := drift.side_effects(replace(before, wanted=split), live):
                hand.say("side_effect", f"more was changed than traffic and record: {found}")
            return live
        if hand.clock.now() >= give_up:
            break
    return None
