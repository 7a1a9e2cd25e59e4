"""What is called of Google's APIs, and how often it may be.

Theory of operation. Quotas belong to a project, and everybody in it draws on them, so a process takes a small part: a
token bucket for each quota (``Bucket``: values in, seconds out), and one ``Budget`` for the whole process that every
call goes through (``rpc/call.py``). A caller who is too fast waits; a roll-back never does (``urgent``), but what it
calls counts, so that others wait a little longer. On this machine nothing is limited, only counted.

Source: cloud.google.com/run/quotas (1,000 reads and 100 writes per 100 s when numbers were last published),
cloud.google.com/logging/quotas (60 ``entries.list`` a minute).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum

_urgent = ContextVar("urgent", default=False)


class Quota(Enum):
    """What is counted together: (calls at once, calls a minute after that). In no minute are there more than both."""

    READS = (5, 15)
    WRITES = (10, 30)
    LOGS = (6, 24)

    @classmethod
    def of(cls, path: str) -> Quota:
        """Args: path: of a method, ``/package.Service/Method``."""
        if path.startswith("/google.logging."):
            return cls.LOGS
        return cls.READS if path.rpartition("/")[2].startswith(("Get", "List")) else cls.WRITES


@dataclass(slots=True)
class Bucket:
    """Tokens that come back with time. Whoever takes one that is not there yet is told how long to wait for it.

    Args:
        burst: how many there are at most. ``per_minute``: how many come back.
    """

    burst: float
    per_minute: float
    _left: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._left = self.burst

    @classmethod
    def of(cls, quota: Quota) -> Bucket:
        return cls(*quota.value)

    def wait(self, now: float) -> float:
        """Seconds until the next token is there. Takes nothing.

        Args:
            now: seconds since some moment; a clock that goes back brings nothing back.
        """
        if self._at is not None and now > self._at:
            self._left = min(self.burst, self._left + (now - self._at) * self.per_minute / 60)
        self._at = now if self._at is None else max(self._at, now)
        return max(0.0, (1 - self._left) * 60 / self.per_minute)

    def take(self, now: float) -> float:
        """Take one, and return the seconds to wait before it may be used."""
        seconds = self.wait(now)
        self._left -= 1
        return seconds

    def count(self, now: float) -> None:
        """Take one if there is one: for who does not wait."""
        self.wait(now)
        self._left = max(min(self._left, 0.0), self._left - 1)


class Budget:
    """All calls of one process: counted by method, and kept within ``Quota`` where ``limit`` was called."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._buckets: Mapping[Quota, Bucket] = {}
        self._now: Callable[[], float] = float
        self._sleep: Callable[[float], object] = lambda _: None
        self._lock = threading.Lock()

    def limit(self, now: Callable[[], float], sleep: Callable[[float], object]) -> None:
        """From now on whoever is too fast waits. Once limited, what was used stays used.

        Args:
            now, sleep: seconds.
        """
        with self._lock:
            self._now, self._sleep = now, sleep
            self._buckets = self._buckets or {
                quota: Bucket.of(quota) for quota in (Quota.READS, Quota.WRITES)
            }

    def spend(self, path: str) -> None:
        """Count one call of a method; returns when it may be made. (Who reads logs has limits of its own.)"""
        with self._lock:
            self._calls[path.rpartition("/")[2]] += 1
            bucket = self._buckets.get(Quota.of(path))
            if bucket is None:
                return
            if _urgent.get():
                bucket.count(self._now())
                return
            seconds = bucket.take(self._now())
        if seconds:
            self._sleep(seconds)

    @property
    def calls(self) -> Mapping[str, int]:
        """Method to number of calls so far."""
        with self._lock:
            return dict(self._calls)


PROCESS = Budget()


@contextmanager
def urgent(is_so: bool = True) -> Iterator[None]:
    """Inside, this thread waits for no quota: giving traffic back must not."""
    before = _urgent.set(is_so or _urgent.get())
    try:
        yield
    finally:
        _urgent.reset(before)


def since(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Calls by method between two counts, the most frequent first."""
    made = {method: count - before.get(method, 0) for method, count in now.items()}
    return dict(sorted(((m, n) for m, n in made.items() if n), key=lambda each: (-each[1], each[0])))


def in_words(calls: Mapping[str, int]) -> str:
    """``GetService 34, UpdateService 9``."""
    return ", ".join(f"{method} {count:,}" for method, count in calls.items()) or "none"
