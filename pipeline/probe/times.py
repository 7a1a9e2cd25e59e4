"""How long the conversations of a round took: percentiles and a histogram of each time.  PURE.

Theory of operation. Three times are told of each scenario: until the answer to the handshake, of every conversation that
got one; until the first expected event, of every one that had it; and from beginning to end, of those that were ok,
since the others ended when they failed. Percentiles are nearest-rank. A bucket of the histogram ends at 1, 1.5, 2, 3, 4, 5
or 7 times a power of ten.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from pipeline.probe.conversation import Conversation
from pipeline.probe.probe_report import ProbeReport

_STEPS = (10, 15, 20, 30, 40, 50, 70)
_ENDS_MS = tuple(step * 10**power / 100 for power in range(8) for step in _STEPS)  # 100 us to 7,000 s
_WIDEST = 40  # characters of a bar


class Bucket(Struct, frozen=True):
    """How many took longer than the bucket before it ends, and at most ``to_ms``."""

    to_ms: float
    count: int


class Spread(Struct, frozen=True):
    """One time of many conversations, in milliseconds. The histogram has no empty buckets at its ends."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    histogram: tuple[Bucket, ...]


class Times(Struct, frozen=True):
    """A scenario's. None where no conversation came so far."""

    scenario: str
    connect: Spread | None
    first_event: Spread | None
    completion: Spread | None


def times_of(report: ProbeReport) -> tuple[Times, ...]:
    """Of the conversations with the candidate; scenarios as they first ended."""
    found: dict[str, list[Conversation]] = {}
    for conversation in report.candidate:
        found.setdefault(conversation.scenario, []).append(conversation)
    return tuple(
        Times(
            name,
            spread(c.connect_s for c in held),
            spread(c.first_event_s for c in held),
            spread(c.seconds for c in held if c.is_ok),
        )
        for name, held in found.items()
    )


def spread(seconds: Iterable[float | None]) -> Spread | None:
    """Of the times that are there; None where none is."""
    ordered = sorted(round(each * 1000, 3) for each in seconds if each is not None)
    if not ordered:
        return None
    p50, p95, p99 = (percentile(ordered, percent) for percent in (50, 95, 99))
    return Spread(len(ordered), p50, p95, p99, ordered[-1], tuple(_buckets(ordered)))


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Nearest-rank, of what is sorted and not empty."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _buckets(ordered: Sequence[float]) -> Iterator[Bucket]:
    last = len(_ENDS_MS) - 1
    places = [min(bisect_left(_ENDS_MS, each), last) for each in ordered]
    for place in range(places[0], places[-1] + 1):
        yield Bucket(_ENDS_MS[place], places.count(place))


def lines_of(spread: Spread) -> Iterator[str]:
    """The histogram as text: a bar for each bucket, as long as its share of the largest."""
    most = max(bucket.count for bucket in spread.histogram)
    ends = [f"{bucket.to_ms:,.1f}".removesuffix(".0") for bucket in spread.histogram]
    for bucket, end in zip(spread.histogram, ends, strict=True):
        bar = "#" * math.ceil(_WIDEST * bucket.count / most)
        yield f"<= {end:>{max(map(len, ends))}} ms  {bar:<{_WIDEST}}  {bucket.count:,}"
