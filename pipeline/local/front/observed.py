"""What the ingress saw of each WebSocket: ground truth for tests and ``local status`` alone.

The engine and its evidence never read this, because no cloud has it.
"""

from __future__ import annotations

from collections import Counter, deque

from msgspec import Struct

ABNORMAL = 1006
_KEPT = 10_000


class ObservedSocket(Struct, frozen=True):
    """One WebSocket that ended.

    Args:
        code: of the first close frame; 1006 if there was none; 1009 when the ingress refused a message.
        closed_by: whose close frame, or else whose end of the stream, came first: ``client``, ``server``; empty when
            the ingress ended it (request timeout, shutdown, a message too large).
    """

    service: str
    revision: str
    seconds: float
    code: int
    reason: str
    closed_by: str
    bytes_to_client: int
    bytes_to_server: int


class Observations:
    """The last sockets that ended, and how many are open, by (service, revision)."""

    def __init__(self) -> None:
        self.ended: deque[ObservedSocket] = deque(maxlen=_KEPT)
        self.closes: Counter[tuple[str, str, int]] = (
            Counter()
        )  # by service, revision and close code, since the start
        self._open: Counter[tuple[str, str]] = Counter()

    def begin(self, service: str, revision: str) -> None:
        self._open[service, revision] += 1

    def end(self, seen: ObservedSocket) -> None:
        self.ended.append(seen)
        self.closes[seen.service, seen.revision, seen.code] += 1
        self._open[seen.service, seen.revision] -= 1

    def open_sockets(self) -> dict[tuple[str, str], int]:
        """(service, revision) to count, where there are any."""
        return {key: count for key, count in self._open.items() if count}
