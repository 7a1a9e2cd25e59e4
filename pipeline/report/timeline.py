"""When sockets were closed abnormally, by revision, in buckets of equal length.  PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.evidence import ERROR_PATTERNS, Arm
from pipeline.model import LogLine
from pipeline.trials import ERROR_CLOSES, read_lines

BUCKETS = 48


@dataclass(frozen=True, slots=True)
class Closes:
    """Sockets of one revision that ended in [start, end), and how many of them the server broke (1011, 1006)."""

    revision: str
    start: datetime
    end: datetime
    ended: int
    abnormal: int


def closes(
    lines: Iterable[LogLine], arms: Iterable[Arm], start: datetime, end: datetime, buckets: int = BUCKETS
) -> tuple[Closes, ...]:
    """Buckets in which something ended, in order of time, for each revision."""
    began, length = start.timestamp(), max((end - start).total_seconds(), 1.0) / buckets
    kept = tuple(lines)
    made: list[Closes] = []
    for arm in arms:
        ended: Counter[int] = Counter()
        abnormal: Counter[int] = Counter()
        for socket in read_lines(kept, arm.revision, arm.nonce, ERROR_PATTERNS).sockets.values():
            if socket.closed is None or not began <= socket.closed < began + buckets * length:
                continue
            bucket = min(buckets - 1, int((socket.closed - began) // length))  # a rounding error is no bucket
            ended[bucket] += 1
            abnormal[bucket] += socket.closed_by == "server" and socket.close_class in ERROR_CLOSES
        made += [
            Closes(
                arm.revision,
                datetime.fromtimestamp(began + bucket * length, UTC),
                datetime.fromtimestamp(began + (bucket + 1) * length, UTC),
                ended[bucket],
                abnormal[bucket],
            )
            for bucket in sorted(ended)
        ]
    return tuple(made)
