"""Where entries are kept: by service and revision in order of time, by service in order of arrival, within bounds.

Theory of operation. A question comes with ``Bounds``: what its filter says of times, services and revisions for every
entry that it can select. Of the two orders the one that leaves fewer entries to look at is used, so that a question
costs what lies within its bounds, however much is kept: whoever asks each second for what arrived since then pays for
a second.

A service that has more than its share loses its oldest arrivals, a twentieth at a time. What is gone is remembered by
its latest times: a question whose lower bound lies before those has a hole in its answer (``is_cut``).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from pipeline.local.entries.entry import Entry

FOR_EVER = 2**70  # nanoseconds: an end that is none, beyond the year 9999
_BATCH = 20  # a service gives up one part in so many at a time

Names = frozenset[str]  # case-folded


class Bounds(Struct, frozen=True):
    """No entry outside these is asked for. Times in nanoseconds, ends included; None of names is no bound.

    Args:
        received_ns: when the entry arrived, at least.
        services, revisions: short names.
    """

    since_ns: int = 0
    until_ns: int = FOR_EVER
    received_ns: int = 0
    services: Names | None = None
    revisions: Names | None = None

    def __and__(self, other: Bounds) -> Bounds:
        return Bounds(
            max(self.since_ns, other.since_ns),
            min(self.until_ns, other.until_ns),
            max(self.received_ns, other.received_ns),
            _both(self.services, other.services),
            _both(self.revisions, other.revisions),
        )

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(
            min(self.since_ns, other.since_ns),
            max(self.until_ns, other.until_ns),
            min(self.received_ns, other.received_ns),
            _either(self.services, other.services),
            _either(self.revisions, other.revisions),
        )


EVERYTHING = Bounds()


class _Kept(Struct):
    """The entries of one service. ``lost``: latest (time, arrival) of what was given up."""

    name: str
    arrivals: list[Entry] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # of ``arrivals``
    revisions: dict[str, list[Entry]] = field(default_factory=dict)  # by time
    size: int = 0
    lost: tuple[int, int] | None = None

    def add(self, entry: Entry, size: int) -> None:
        place = len(self.arrivals)
        if place and entry.received_ns < self.arrivals[-1].received_ns:  # the clock was set back
            place = bisect_right(self.arrivals, entry.received_ns, key=lambda e: e.received_ns)
        self.arrivals.insert(place, entry)
        self.sizes.insert(place, size)
        self.size += size
        entries = self.revisions.setdefault(entry.resource.get("revision_name", "").casefold(), [])
        if entries and entry.key < entries[-1].key:
            insort(entries, entry, key=lambda e: e.key)
        else:
            entries.append(entry)

    def within(self, bounds: Bounds) -> list[list[Entry]]:
        """Runs in order of time, which together hold all entries within the bounds."""
        runs = [
            _slice(entries, bounds)
            for revision, entries in self.revisions.items()
            if bounds.revisions is None or revision in bounds.revisions
        ]
        first = bisect_left(self.arrivals, bounds.received_ns, key=lambda e: e.received_ns)
        if len(self.arrivals) - first >= sum(stop - start for _, start, stop in runs):
            return [entries[start:stop] for entries, start, stop in runs]
        recent = [e for e in self.arrivals[first:] if bounds.since_ns <= e.at_ns <= bounds.until_ns]
        return [sorted(recent, key=lambda e: e.key)]

    def give_up(self, count: int, size: int) -> tuple[int, int]:
        """Drop the oldest arrivals: at least so many, and so many bytes. Returns what was dropped."""
        number = dropped = 0
        while number < len(self.arrivals) and (number < count or dropped < size):
            dropped += self.sizes[number]
            number += 1
        gone = self.arrivals[:number]
        del self.arrivals[:number], self.sizes[:number]
        self.size -= dropped
        # An entry may say that it is of the future: that must not make every question one with a hole.
        latest = max(min(e.at_ns, e.received_ns) for e in gone), gone[-1].received_ns
        self.lost = max(self.lost or latest, latest)
        ids = set(map(id, gone))
        for revision, entries in list(self.revisions.items()):
            self.revisions[revision] = [e for e in entries if id(e) not in ids]
            if not self.revisions[revision]:
                del self.revisions[revision]
        return number, dropped


class LogIndex:
    """All services' entries. ``size`` is the bytes of all, as they were told with ``add``."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        self._lost: tuple[int, int] | None = None  # whosever it was
        self.size = 0

    def add(self, entry: Entry, size: int) -> tuple[str, str, str]:
        """Keep an entry. Returns whose it is."""
        labels = entry.resource
        whose = labels["project_id"], labels["location"], entry.owner
        kept = self._kept.get(whose)
        if kept is None:
            kept = self._kept[whose] = _Kept(whose[2].casefold())
        kept.add(entry, size)
        self.size += size
        return whose

    def within(self, bounds: Bounds, *, newest_first: bool = False) -> Iterator[Entry]:
        """All entries within the bounds, and few others, in order: of a copy that later ones do not change.

        They are put in order as they are taken: a page of a long log costs a page.
        """
        runs = [run for kept in self._asked(bounds) for run in kept.within(bounds) if run]
        ordered = map(reversed, runs) if newest_first else runs
        return heapq.merge(*ordered, key=lambda e: e.key, reverse=newest_first)

    def is_cut(self, bounds: Bounds) -> bool:
        """Whether entries within the bounds may be gone. A question without a lower bound asks for what there is."""
        holes = [self._lost, *(kept.lost for kept in self._asked(bounds))]
        return bounds.since_ns > 0 and any(
            bounds.since_ns <= hole[0] and bounds.received_ns <= hole[1] for hole in holes if hole
        )

    def note_lost(self, until_ns: int) -> None:
        """Entries that had arrived by then are not here any more."""
        self._lost = (until_ns, until_ns)

    def is_over(self, whose: tuple[str, str, str], entries: int, size: int) -> bool:
        kept = self._kept[whose]
        return len(kept.arrivals) > entries or kept.size > size

    def largest(self) -> tuple[str, str, str]:
        """The service with most bytes."""
        return max(self._kept, key=lambda whose: self._kept[whose].size)

    def shrink(self, whose: tuple[str, str, str]) -> int:
        """Give up the oldest of one service. Returns how many."""
        kept = self._kept[whose]
        count, size = kept.give_up(-(-len(kept.arrivals) // _BATCH), kept.size // _BATCH)
        self.size -= size
        return count

    def _asked(self, bounds: Bounds) -> Iterable[_Kept]:
        return [k for k in self._kept.values() if bounds.services is None or k.name in bounds.services]


def _slice(entries: list[Entry], bounds: Bounds) -> tuple[list[Entry], int, int]:
    start = bisect_left(entries, bounds.since_ns, key=lambda e: e.at_ns)
    return entries, start, max(start, bisect_right(entries, bounds.until_ns, key=lambda e: e.at_ns))


def _both(one: Names | None, other: Names | None) -> Names | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _either(one: Names | None, other: Names | None) -> Names | None:
    return None if one is None or other is None else one | other
