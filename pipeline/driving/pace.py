"""How long to rest between two looks at something that is awaited: longer and longer while nothing happens.  PURE."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(slots=True)
class Pace:
    """Rests that double from ``first`` to ``longest``."""

    first: timedelta
    longest: timedelta
    _next: timedelta = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.first

    def rest(self) -> timedelta:
        """The next rest."""
        now, self._next = self._next, min(self.longest, 2 * self._next)
        return now

    def again(self) -> None:
        """Something happened: look soon."""
        self._next = self.first
