"""What an operator asks for at the keys of a rollout that is driven or watched here: done between two steps or looks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import assert_never

from msgspec import Struct, field

from pipeline.app.session import Session, who
from pipeline.core.rollout import Phase
from pipeline.driving.engine import Engine
from pipeline.driving.ports import World
from pipeline.driving.promote import promote
from pipeline.driving.restore import Cause, restore
from pipeline.errors import PlanRefused, SpillwayError
from pipeline.events import Listener
from pipeline.view.keys import Order

_REASON = "an operator said so at the keyboard"


class Orders(Struct):
    """The one that waits, given on another thread. ``done`` is told when it was taken."""

    session: Session
    done: Callable[[], None] = lambda: None
    leave: Callable[[], None] = lambda: os.kill(
        os.getpid(), signal.SIGINT
    )  # words and exit code as of Ctrl-C
    _order: Order | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def give(self, order: Order) -> None:
        if order is Order.QUIT:
            self.leave()
            return
        with self._lock:
            self._order = order
        self.session.woken.set()

    def is_waiting(self) -> bool:
        return self._order is not None

    def sleep(self, duration: timedelta) -> None:
        """Between two steps; an order, or a signal, ends it. In a step an order that waits makes nothing go faster."""
        self.session.woken.wait(max(0.0, duration.total_seconds()))

    def take(self) -> Order | None:
        with self._lock:
            order, self._order = self._order, None
        self.session.woken.clear()
        if self.session.stopped.is_set():  # said in that moment
            self.session.woken.set()
        return order


def obey(order: Order, engine: Engine, world: World, listen: Listener) -> None:
    """Do it. What is refused is told, and the rollout goes on as it was."""
    try:
        match order:
            case Order.PROMOTE:
                _raise(engine, world)
            case Order.HOLD:
                engine.hold(f"held by {who()}: {_REASON}")
            case Order.ROLL_BACK:
                cause = Cause(_REASON, who(), by_hand=True)
                restore(
                    world.platform, world.clock, engine.observer.ref, cause, listen=listen, stop=engine.stop
                )
            case Order.QUIT:
                pass  # never waits
            case _:
                assert_never(order)
    except SpillwayError as error:
        with suppress(Exception):
            engine.say("refused", f"{order}: {error.in_a_line}")


def _raise(engine: Engine, world: World) -> None:
    """One stage further, with an operator's name and reason; a paused one goes on. Raises PlanRefused where it cannot."""
    current = engine.observer.look(probe=False).situation.rollout
    if current.phase is Phase.PAUSED:
        promote(engine, world.clock, to_percent=None, reason=_REASON, by=who())
        return
    if current.phase is not Phase.ROLLING or current.is_last_stage:
        where = "it is at its last stage" if current.is_last_stage else f"it is {current.phase.value}"
        raise PlanRefused("there is no next stage to go to", f"{where}: {current.waiting or current.reason}")
    percent = current.plan.terms.stages[current.stage_index + 1].percent
    promote(engine, world.clock, to_percent=percent, reason=_REASON, by=who())
