"""What is left to do once a rollout has ended: about the sockets of a revision that was sent back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.rollout import Phase, Rollout
from pipeline.judging.terms import Drain

if TYPE_CHECKING:
    from pipeline.app.drive import Drive


def drain(drive: Drive) -> None:
    """Delete it where that is wished, and wait until it is gone. Traffic is safe: nothing of this changes an outcome."""
    if (seen := drive.seen()) is not None and not _may_delete(seen):
        return
    from pipeline.driving import drain

    try:
        drain.drain(
            drive.world.platform, drive.world.clock, drive.place.ref,
            by=drive.engine.driver, listen=drive.listeners, stop=drive.session.stopped.is_set,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - a fault of ours: the outcome stands
        drive.session.output.say(f"not drained: {error!r}")


def _may_delete(seen: Rollout) -> bool:
    """Of the rollout as it was read last: the write that reads it back decides, and is not read again."""
    if seen.draining is not None and seen.phase is Phase.ROLLED_BACK:
        return seen.draining.is_to_delete
    return seen.phase is Phase.ROLLING_BACK and seen.plan.terms.drain is Drain.DELETE
