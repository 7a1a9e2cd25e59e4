"""Who hears what happens while a rollout is driven: everybody, each by himself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.app.request import Request
from pipeline.events import Listener, Looked, RolloutEvent, Said
from pipeline.report import writes


class Listeners(Struct):
    """Tells everybody who listens. Who joins later hears first what was told before.

    (A journal is named after its rollout, and before the first write there is none.)
    """

    each: list[Listener] = field(default_factory=list)
    say: Callable[[str], None] = lambda _: None
    told: deque[RolloutEvent] = field(default_factory=lambda: deque(maxlen=100))

    def __call__(self, event: RolloutEvent, /) -> None:
        if not isinstance(event, Looked):
            self.told.append(event)
        for listener in tuple(self.each):
            self._tell(listener, event)

    def join(self, listener: Listener, since: datetime | None = None) -> None:
        """Args: since: what was told before then is not for this one (an attempt that this one replaced)."""
        self.each.append(listener)
        for event in tuple(self.told):
            if since is None or event.at >= since:
                self._tell(listener, event)

    def _tell(self, listener: Listener, event: RolloutEvent) -> None:
        """Whoever only listens cannot stop a rollout: one that fails is not told again."""
        try:
            listener(event)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - rich exits when a pipe breaks; traffic comes first
            if listener in self.each:
                self.each.remove(listener)
            with suppress(Exception):
                self.say(f"{type(listener).__name__} gave up: {error!r} (the rollout goes on)")


def naming_promote(listener: Listener, request: Request) -> Listener:
    """The same listener, told of a pause together with the command that ends it."""

    def heard(event: RolloutEvent, /) -> None:
        if isinstance(event, Said) and event.kind == "paused":
            event = replace(event, text=f"{event.text}; let it go on: {writes.promote(request.name)}")
        listener(event)

    return heard
