"""The platform's own words: which instances there were, and whose container ended unasked.  PURE.

Theory of operation. Each line names the instance that it is of. Whether an instance may fail in a block is said by what
was written before that block alone (a line within ``LOOKBACK``), or by its first line of all, in it: who is at risk
never depends on who fails. Newborn ones are compared with newborn ones, the others with the others: a start is the most
dangerous moment of any instance, and after a shift it is the candidate's that start.

One crash is one instance's, however many runs it took along. Ended by itself is every exit, whatever its code, and every
signal; but an instance of which nothing was heard for a minute, and that ended with 0 or by SIGTERM or SIGKILL, was idle
and ended by the platform, which gives up what nobody uses. What such a service prints after SIGTERM ("shutting down") is
its farewell, and no use of it: of its last five seconds only a start and what its sockets did is taken for one.

Nothing before ``LOOKBACK`` is asked for, so that a process that reads no further back comes to the same.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import timedelta

from msgspec import Struct, field

#: What Cloud Run says of a container that is gone; its log filter asks for these and no others.
EXIT_WORDS = (
    "Container called exit(",
    "Container terminated on signal ",
    "Memory limit of ",
    "The instance has been shut down.",
)
START_WORDS = "Starting new instance"
_SOFTLY = re.compile(r"Container called exit\(0\)|Container terminated on signal (9|15)\b")
_IDLE_S = 60.0
_FAREWELL_S = 5.0  # of the ten from SIGTERM to SIGKILL: an idle service has nothing to wait for
LOOKBACK = timedelta(minutes=2)
_LOOKBACK_S = LOOKBACK.total_seconds()
NEWBORN, SETTLED = 0, 1


class Instance(Struct):
    """One container instance.

    Args:
        seen: when its lines were written, but for those that say how it ended.
        used: of those, the ones that are not merely printed: starts, requests, what its sockets did.
    """

    name: str
    seen: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    ends: list[tuple[float, str]] = field(default_factory=list)

    def settle(self) -> None:
        """Bring what was noted, in whatever order, into order of time."""
        self.seen.sort()
        self.used.sort()
        self.ends.sort()

    @property
    def exited(self) -> float | None:
        """When its container ended unasked; None while it did not."""
        return next((at for at, words in self.ends if not self._is_asked(at, words)), None)

    def exits_in(self, start: float, end: float) -> bool:
        exited = self.exited
        return exited is not None and start <= exited < end

    def risk_in(self, start: float, end: float) -> int | None:
        """In [start, end): ``NEWBORN``, ``SETTLED``, or None when it was not there, or not heard of for long."""
        if self.ends and self.ends[0][0] < start:
            return None
        if self._is_seen(start - _LOOKBACK_S, start):
            return SETTLED
        is_new = self._is_seen(start, end) or self.exits_in(start, end)
        return NEWBORN if is_new else None

    def _is_asked(self, at: float, words: str) -> bool:
        is_used = _has(self.used, at - _IDLE_S, at) or self._is_seen(at - _IDLE_S, at - _FAREWELL_S)
        return bool(_SOFTLY.match(words)) and not is_used

    def _is_seen(self, start: float, end: float) -> bool:
        """Whether it wrote something in [start, end)."""
        return _has(self.seen, start, end)


def _has(moments: list[float], start: float, end: float) -> bool:
    return bisect_left(moments, start) < bisect_left(moments, end)


def is_exit(text: str) -> bool:
    """Whether a line of the system log says that a container is gone."""
    return any(words in text for words in EXIT_WORDS)
