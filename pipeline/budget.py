"""What is called of Google's APIs, and how often it may be.

Theory of operation. Quotas belong to a project, and everybody in it draws on them, so a process takes a small part: a
token bucket for each quota (``Bucket``: values in, seconds out), and one ``Budget`` for the whole process that every
call goes through (``rpc/call.py``). A caller who is too fast waits; a roll-back never does (``urgent``), but what it
calls counts, so that others wait a little longer. On this machine nothing is limited, only counted. Who watches a whole
fleet takes all of the project's, shared evenly between the tasks that do it together (``Bucket.share``).

Source: cloud.google.com/run/quotas (1,000 reads and 100 writes per 100 s when numbers were last published),
cloud.google.com/logging/quotas (60 ``entries.list`` a minute).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum

from msgspec import Struct

_urgent = ContextVar("urgent", default=False)


MOST_TASKS = 20  # that share a quota: a smaller part of the searches would be none


class Quota(Enum):
    """What is counted together: (calls at once, calls a minute after that). In no minute are there more than both."""

    READS = (5, 15)
    WRITES = (10, 30)
    LOGS = (6, 24)

    @property
    def of_project(self) -> int:
        """Calls a minute that a project has, of everybody in it."""
        return {Quota.READS: 600, Quota.WRITES: 60, Quota.LOGS: 60}[self]

    @classmethod
    def of(cls, path: str) -> Quota:
        """Args: path: of a method, ``/package.Service/Method``."""
        if path.startswith("/google.logging."):
            return cls.LOGS
        return cls.READS if path.rpartition("/")[2].startswith(("Get", "List")) else cls.WRITES


class Bucket(Struct):
    """Tokens that come back with time. Whoever takes one that is not there yet is told how long to wait for it.

    Args:
        burst: how many there are at most. ``per_minute``: how many come back.
    """

    burst: float
    per_minute: float
    _left: float = 0.0
    _at: float | None = None

    def __post_init__(self) -> None:
        self._left = self.burst

    @classmethod
    def of(cls, quota: Quota) -> Bucket:
        return cls(*quota.value)

    @classmethod
    def share(cls, quota: Quota, tasks: int) -> Bucket:
        """One task's part of the project's quota.

        A task of a job on a schedule is another process each time, whose bucket is full again: in a minute there are
        two bursts and what comes back, and all three together are the part.

        Args:
            tasks: at most ``MOST_TASKS``.
        """
        part = quota.of_project / tasks
        burst = max(1.0, part / 4)
        return cls(burst, part - 2 * burst)

    def wait(self, now: float, count: float = 1) -> float:
        """Seconds until so many tokens are there. Takes nothing.

        Args:
            now: seconds since some moment; a clock that goes back brings nothing back.
        """
        if self._at is not None and now > self._at:
            self._left = min(self.burst, self._left + (now - self._at) * self.per_minute / 60)
        self._at = now if self._at is None else max(self._at, now)
        return max(0.0, (count - self._left) * 60 / self.per_minute)

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

    def limit(
        self,
        now: Callable[[], float],
        sleep: Callable[[float], object],
        part: Callable[[Quota], Bucket] = Bucket.of,
    ) -> None:
        """From now on whoever is too fast waits. Once limited, what was used stays used.

        Args:
            now, sleep: seconds.
            part: what this process takes of a quota.
        """
        with self._lock:
            self._now, self._sleep = now, sleep
            self._buckets = self._buckets or {quota: part(quota) for quota in (Quota.READS, Quota.WRITES)}

    def room(self, calls: Mapping[Quota, float]) -> float:
        """Seconds until so many calls may be made at once and none of them waits; 0 where nothing is limited."""
        with self._lock:
            known = ((self._buckets.get(quota), count) for quota, count in calls.items())
            return max((bucket.wait(self._now(), count) for bucket, count in known if bucket), default=0.0)

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
