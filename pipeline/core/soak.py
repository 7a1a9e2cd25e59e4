"""How much of a stage's soak was watched, and what is still owed.  PURE.

A soak is time in which somebody looked. Of the pause between two looks so much counts at most as the driver's rhythm
leaves between its looks (``Rhythm.pause``): what a driver was away beyond that is nobody's, though log lines tell of it
afterwards. Where the soak has room for them, rounds of probes are owed too, so that time alone passes no stage.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pipeline.judging.terms import Probing, Stage
from pipeline.units import format_duration

ROUNDS = 3  # of a stage whose soak has room for them
_NOTHING = timedelta(0)


def watched(
    before: timedelta, last: datetime, begun: datetime, now: datetime, longest: timedelta
) -> timedelta:
    """What was watched of a stage, with the look that began and ended at these moments.

    Args:
        before: until the end of the look before, at ``last``. Another machine may have written that: its clock may be ahead.
        longest: so much of a pause between two looks counts at most.
    """
    pause, look = begun - last, now - max(begun, last)
    return before + max(_NOTHING, min(pause, longest)) + max(_NOTHING, look)


def rounds_owed(stage: Stage, probing: Probing) -> int:
    """How many probe rounds a stage needs: one, and more as its soak has room for them, up to ``ROUNDS``."""
    return min(ROUNDS, 1 + stage.soak // probing.every)


def told(stage: Stage, seen: timedelta) -> str:
    """What a stage whose time is over still waits for."""
    return f"soaking at {stage.percent}%: watched for {format_duration(whole(seen))} of {format_duration(stage.soak)}"


def whole(length: timedelta) -> timedelta:
    """Without a part of a second."""
    return length - length % timedelta(seconds=1)
