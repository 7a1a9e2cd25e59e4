"""When sockets were closed abnormally, by revision, in buckets of equal length.  PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from pipeline.judging.metrics import ERROR_PATTERNS
from pipeline.judging.reading import Arm, read_lines
from pipeline.model import LogLine

BUCKETS = 48


class Closes(Struct, frozen=True):
    """Sockets of one revision that ended in [start, end), and how many of them the server broke (1011, 1006)."""

    revision: str
    start: datetime
    end: datetime
    ended: int
    abnormal: int


class Timeline:
    """Counts closes as they come, of the sessions that ``exposure.exposure`` counts; memory for the buckets alone.

    Args:
        start, end: of the axis; what closed after it is counted as later.
    """

    def __init__(self, start: datetime, end: datetime, buckets: int = BUCKETS) -> None:
        self._began = start.timestamp()
        self._length = max((end - start).total_seconds(), 1.0) / buckets
        self._buckets = buckets
        self._ended: Counter[tuple[str, int]] = Counter()
        self._abnormal: Counter[tuple[str, int]] = Counter()

    def add(self, lines: Iterable[LogLine], arm: Arm) -> None:
        """Take whole sessions in; each once."""
        for socket in read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS).sockets.values():
            if socket.closed is None or socket.accepted is None:
                continue
            bucket = max(0, min(self._buckets, int((socket.closed - self._began) // self._length)))
            self._ended[arm.revision, bucket] += 1
            self._abnormal[arm.revision, bucket] += socket.is_broken

    @property
    def closes(self) -> tuple[Closes, ...]:
        """Buckets in which something ended, in order of time for each revision; the last one, beyond the axis, is later."""
        return tuple(
            Closes(revision, self._at(n), self._at(n + 1), ended, self._abnormal[revision, n])
            for (revision, n), ended in sorted(self._ended.items())
        )

    def _at(self, bucket: int) -> datetime:
        return datetime.fromtimestamp(self._began + bucket * self._length, UTC)
