"""What is left to do once a rollout has ended: about the sockets of a revision that was sent back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.core.rollout import Phase, Rollout
from pipeline.judging.terms import Drain

if TYPE_CHECKING:
    from pipeline.driving.engine import Engine
    from pipeline.driving.ports import Clock, Platform, World
    from pipeline.events import Listener
    from pipeline.model import ServiceRef


def drain(engine: Engine, world: World, listen: Listener, say: Callable[[str], None]) -> None:
    """Delete it where that is wished, and wait until it is gone. Traffic is safe: nothing of this changes an outcome."""
    if (seen := engine.observer.current) is not None and not _may_delete(seen):
        return
    delete(
        world.platform, world.clock, engine.observer.ref,
        by=engine.driver, listen=listen, stop=engine.stop, say=say,
    )  # fmt: skip


def delete(
    platform: Platform,
    clock: Clock,
    ref: ServiceRef,
    *,
    by: str,
    listen: Listener,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> None:
    """The same without a look at what was read last. Raises nothing."""
    from pipeline.driving import drain

    try:
        drain.drain(platform, clock, ref, by=by, listen=listen, stop=stop)
    except Exception as error:  # noqa: BLE001 - a fault of ours: the outcome stands
        say(f"not drained: {error!r}")


def _may_delete(seen: Rollout) -> bool:
    """Of the rollout as it was read last: the write that reads it back decides, and is not read again."""
    if seen.draining is not None and seen.phase is Phase.ROLLED_BACK:
        return seen.draining.is_to_delete
    return seen.phase is Phase.ROLLING_BACK and seen.plan.terms.drain is Drain.DELETE
