"""How often a driving process looks and writes, and how long it rests between two looks.  PURE."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.model import ServiceRef


class Pace(Struct):
    """Rests between looks at something that is awaited: they double from ``first`` to ``longest`` while nothing happens."""

    first: timedelta
    longest: timedelta
    _next: timedelta = timedelta()

    def __post_init__(self) -> None:
        self._next = self.first

    def rest(self) -> timedelta:
        """The next rest."""
        now, self._next = self._next, min(self.longest, 2 * self._next)
        return now

    def again(self) -> None:
        """Something happened: look soon."""
        self._next = self.first


class Rhythm(Struct, frozen=True):
    """How often things happen in the driving process.

    Args:
        heartbeat: at most this long between two writes while under way; another ``run`` watches as long before it
            takes over. They are due at half of it: a look takes its time too.
        quiet: where reads have a quota: while nothing happens the rest between two looks doubles from ``look`` to this.
            ``memory``: see ``Observer``.
        pause: so much of the time between two looks counts at most for a soak: see ``soak.py``.
        gives_up: see ``decision.Situation``.
        patience: how long the platform may stay unreachable before ``run`` gives up (the service keeps its state).
    """

    heartbeat: timedelta = timedelta(seconds=20)
    look: timedelta = timedelta(milliseconds=250)
    patience: timedelta = timedelta(minutes=10)
    quiet: timedelta = timedelta(0)
    memory: timedelta = timedelta(0)
    pause: timedelta = timedelta(seconds=5)
    gives_up: timedelta | None = None

    @classmethod
    def at(cls, ref: ServiceRef, heartbeat: timedelta) -> Rhythm:
        """Reads of the cloud's have a quota, which is everybody's in the project; here they cost nothing."""
        if ref.is_local:
            return cls(heartbeat)
        second = timedelta(seconds=1)
        return cls(heartbeat, look=second, quiet=5 * second, memory=20 * second)

    def of_a_watchdog(self, every: timedelta, silent: timedelta) -> Rhythm:
        """The same for single steps that are this far apart: one may be late, so a pause may be twice as long."""
        return replace(self, pause=2 * every, gives_up=silent)

    def pace(self) -> Pace:
        return Pace(self.look, max(self.look, self.quiet))


USUAL = Rhythm()
