"""``status --watch`` on a terminal: the picture redrawn in its place, with keys where a person is at them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.live import Live

from pipeline.app.by_hand import obey_watching
from pipeline.app.orders import Orders
from pipeline.app.session import Session
from pipeline.app.wiring import Place
from pipeline.events import Look
from pipeline.local.endpoint import Alerts
from pipeline.view.keyboard import has_keyboard
from pipeline.view.keys import Keys, sensible
from pipeline.view.live import See, Watcher, listening
from pipeline.view.panel import Seen

#: Of a look, with what users met and the line of keys.
Picture = Callable[[Look, Alerts, Seen | None, str], RenderableType]


class Watching:
    """A context. What is asked at the keys is done between two looks, as ``promote`` and ``rollback`` do it.

    Args:
        env: of the configuration, for a raise: it probes stable first.
        see: reads what users met from the logs, on a thread of its own: whoever presses a key waits for no log.
    """

    def __init__(
        self,
        session: Session,
        place: Place,
        env: str | None,
        console: Console,
        picture: Picture,
        see: See,
    ) -> None:
        self._session, self._place, self._env = session, place, env
        self._picture = picture
        self._watcher = Watcher(see)
        self._shown: tuple[Look, Alerts] | None = None
        self._keys = Keys()
        self._orders = Orders(session, self._keys.obeyed, self._leave)
        self._live = Live(
            console=console, get_renderable=self._drawn, auto_refresh=False, vertical_overflow="crop"
        )
        self._stack = ExitStack()
        self._has_keys = has_keyboard()

    def __enter__(self) -> Watching:
        self._stack.enter_context(self._live)
        self._watcher.start()
        self._stack.callback(self._watcher.stop)
        if self._has_keys:
            self._stack.enter_context(listening(self._live, self._keys, self._orders.give))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, look: Look, alerts: Alerts) -> None:
        self._keys.offered = sensible(look.situation.rollout.phase)
        self._shown = look, alerts
        self._live.refresh()

    def rest(self, duration: timedelta) -> None:
        """Until the next look, or an order, which is done first."""
        self._orders.sleep(duration)
        if (order := self._orders.take()) is not None:
            obey_watching(order, self._session, self._place, self._env)
            self._orders.done()

    def _leave(self) -> None:
        self._session.stopped.set()
        self._session.woken.set()

    def _drawn(self) -> RenderableType:
        if self._shown is None:
            return ""
        return self._picture(*self._shown, self._watcher.seen, self._keys.line if self._has_keys else "")
