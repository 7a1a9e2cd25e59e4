"""Whose log entries are made in tests, and when."""

from __future__ import annotations

SERVICE = "projects/p/locations/here/services/chat"
OTHER = "projects/p/locations/here/services/other"
SECOND = 1_000_000_000


class Clock:
    """Nanoseconds that pass when told to."""

    def __init__(self) -> None:
        self.ns = 1_900_000_000_000_000_000

    def __call__(self) -> int:
        return self.ns
