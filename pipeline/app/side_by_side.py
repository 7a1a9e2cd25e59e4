"""Many jobs side by side, each in a thread of its own: one that hangs, or fails, neither stops nor slows the others."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from msgspec import Struct

from pipeline.driving.ports import Clock

Result = TypeVar("Result")
_LOOK = timedelta(milliseconds=200)


class Job(Generic[Result], Struct, frozen=True):
    """Args: work: raises nothing. ``is_urgent``: waits for nobody."""

    name: str
    work: Callable[[], Result]
    is_urgent: bool = False


class Bounds(Struct, frozen=True):
    """How many and for how long.

    Args:
        slots: that are at work at once.
        slow: a job that takes longer leaves its slot to another, and goes on.
        longest: a job that takes longer is given up: nobody waits for it any more.
    """

    slots: int = 8
    slow: timedelta = timedelta(seconds=20)
    longest: timedelta = timedelta(minutes=8)


def in_a_thread(work: Callable[[], None]) -> None:
    """One that the process does not wait for at its end."""
    threading.Thread(target=work, daemon=True).start()


class SideBySide(Generic[Result]):
    """``results`` runs them.

    Args:
        room: seconds until one more may begin beside so many.
        spawn: has a job run.
        is_stopped: nothing is begun any more.
    """

    def __init__(
        self,
        clock: Clock,
        bounds: Bounds,
        *,
        room: Callable[[int], float] = lambda _: 0.0,
        spawn: Callable[[Callable[[], None]], object] = in_a_thread,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._bounds = bounds
        self._room = room
        self._spawn = spawn
        self._is_stopped = is_stopped
        self._began: dict[str, float] = {}
        self._ended: SimpleQueue[tuple[Job[Result], Result]] = SimpleQueue()
        self._zero = clock.now()

    def results(
        self,
        jobs: Sequence[Job[Result]],
        starts_within: timedelta,
        *,
        late: Callable[[Job[Result]], Result],
        left: Callable[[Job[Result]], Result],
    ) -> Iterator[Result]:
        """One for each job, as they come.

        Args:
            jobs: in the order in which they begin; each with a name of its own.
            late: of one that was given up. ``left``: of one that was not begun in time.
        """
        waiting, at_work = deque(jobs), dict[str, Job[Result]]()
        until = self._now() + starts_within.total_seconds()
        while waiting or at_work:
            if self._now() >= until or self._is_stopped():
                yield from map(left, waiting)
                waiting.clear()
            rest = self._begin(waiting, at_work)
            for job in self._overdue(at_work):
                del at_work[job.name]
                yield late(job)
            if at_work:
                with suppress(Empty):
                    job, result = self._ended.get(timeout=_LOOK.total_seconds())
                    if at_work.pop(job.name, None):
                        yield result
            elif waiting:
                self._clock.sleep(timedelta(seconds=min(rest, max(0.0, until - self._now()))))

    def _begin(self, waiting: deque[Job[Result]], at_work: dict[str, Job[Result]]) -> float:
        """Begin what may begin; seconds until the next may, as far as that is known."""
        while waiting:
            since = self._now() - self._bounds.slow.total_seconds()
            active = sum(self._began[name] > since for name in at_work)
            if not waiting[0].is_urgent:
                if active >= self._bounds.slots:
                    return _LOOK.total_seconds()
                if rest := self._room(active):
                    return rest
            job = waiting.popleft()
            at_work[job.name] = job
            self._began[job.name] = self._now()
            self._spawn(lambda job=job: self._ended.put((job, job.work())))  # type: ignore[misc]
        return 0.0

    def _overdue(self, at_work: dict[str, Job[Result]]) -> Sequence[Job[Result]]:
        since = self._now() - self._bounds.longest.total_seconds()
        return [job for name, job in at_work.items() if self._began[name] <= since]

    def _now(self) -> float:
        return (self._clock.now() - self._zero).total_seconds()
