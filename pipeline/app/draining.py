"""What is left to do once a rollout has ended: about the sockets of a revision that was sent back."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.core.rollout import Phase, Rollout
from pipeline.driving.engine import Engine
from pipeline.driving.ports import World
from pipeline.events import Listener
from pipeline.judging.terms import Drain


def drain(engine: Engine, world: World, listen: Listener, say: Callable[[str], None]) -> None:
    """Delete it where that is wished, and wait until it is gone. Traffic is safe: nothing of this changes an outcome."""
    if (seen := engine.observer.current) is not None and not _may_delete(seen):
        return
    from pipeline.driving import drain

    try:
        drain.drain(
            world.platform,
            world.clock,
            engine.observer.ref,
            by=engine.driver,
            listen=listen,
            stop=engine.stop,
        )
    except Exception as error:  # noqa: BLE001 - a fault of ours: the outcome stands
        say(f"not drained: {error!r}")


def _may_delete(seen: Rollout) -> bool:
    """Of the rollout as it was read last: the write that reads it back decides, and is not read again."""
    if seen.draining is not None and seen.phase is Phase.ROLLED_BACK:
        return seen.draining.is_to_delete
    return seen.phase is Phase.ROLLING_BACK and seen.plan.terms.drain is Drain.DELETE
