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
from pipeline.view.live import listening

Picture = Callable[[Look, Alerts, str], RenderableType]  # of a look, with the line of keys


class Watching:
    """A context. What is asked at the keys is done between two looks, as ``promote`` and ``rollback`` do it.

    Args:
        env: of the configuration, for a raise: it probes stable first.
    """

    def __init__(
        self, session: Session, place: Place, env: str | None, console: Console, picture: Picture
    ) -> None:
        self._session, self._place, self._env = session, place, env
        self._picture = picture
        self._seen: tuple[Look, Alerts] | None = None
        self._keys = Keys()
        self._orders = Orders(session, self._keys.obeyed, self._leave)
        self._live = Live(
            console=console, get_renderable=self._drawn, auto_refresh=False, vertical_overflow="crop"
        )
        self._stack = ExitStack()
        self._has_keys = has_keyboard()

    def __enter__(self) -> Watching:
        self._stack.enter_context(self._live)
        if self._has_keys:
            self._stack.enter_context(listening(self._live, self._keys, self._orders.give))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, look: Look, alerts: Alerts) -> None:
        self._keys.offered = sensible(look.situation.rollout.phase)
        self._seen = look, alerts
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
        return self._picture(*self._seen, self._keys.line if self._has_keys else "") if self._seen else ""
