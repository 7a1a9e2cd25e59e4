"""Jobs side by side: one that hangs, or takes long, neither stops nor slows the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from pipeline.app.side_by_side import Bounds, Job, SideBySide
from pipeline.app.wiring import SystemClock
from tests.fakes import FakeClock

MINUTE = timedelta(minutes=1)
SHORT = Bounds(slots=2, slow=timedelta(milliseconds=300), longest=timedelta(milliseconds=1500))


def late(job: Job[str]) -> str:
    return f"{job.name} late"


def left(job: Job[str]) -> str:
    return f"{job.name} left"


@pytest.fixture
def stuck() -> Iterator[Callable[[], str]]:
    """What hangs until the test ends."""
    end = threading.Event()

    def work() -> str:
        end.wait()
        return "too late"

    yield work
    end.set()


def test_jobs_that_hang_are_given_up_and_all_others_come_to_an_end(stuck: Callable[[], str]) -> None:
    """More of them than there are slots, and they come first."""
    crew = SideBySide[str](SystemClock(), SHORT)
    jobs = [Job(f"stuck {n}", stuck) for n in range(3)] + [
        Job(f"n{n}", lambda n=n: f"n{n}") for n in range(9)
    ]  # type: ignore[misc]
    results = [*crew.results(jobs, MINUTE, late=late, left=left)]
    assert sorted(results[:9]) == sorted(f"n{n}" for n in range(9))
    assert sorted(results[9:]) == [f"stuck {n} late" for n in range(3)]


def test_no_more_are_at_work_than_there_are_slots_but_for_urgent_ones() -> None:
    at_work, most, lock, gate = 0, 0, threading.Lock(), threading.Event()

    def work() -> str:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
            if most == 5:
                gate.set()
        gate.wait()
        with lock:
            at_work -= 1
        return "done"

    jobs = [Job(f"urgent {n}", work, is_urgent=True) for n in range(5)] + [
        Job(f"n{n}", work) for n in range(6)
    ]
    crew = SideBySide[str](SystemClock(), Bounds(slots=2))
    assert [*crew.results(jobs, MINUTE, late=late, left=left)] == ["done"] * 11
    assert most <= 5 + 2


class Tokens:
    """One every ten seconds of virtual time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.used = 0

    def room(self, active: int) -> float:
        return max(0.0, (self.used + active) * 10 - self._clock.seconds)

    def use(self) -> str:
        self.used += 1
        return f"at {self._clock.seconds:.0f}"


def test_what_there_is_no_room_for_in_time_is_left() -> None:
    clock = FakeClock()
    tokens = Tokens(clock)
    crew = SideBySide[str](clock, Bounds(), room=tokens.room, spawn=lambda work: work())
    jobs = [Job(f"n{n}", tokens.use) for n in range(5)]
    found = [*crew.results(jobs, timedelta(seconds=25), late=late, left=left)]
    assert found == ["at 0", "at 10", "at 20", "n3 left", "n4 left"]
    assert clock.seconds == pytest.approx(25, abs=0.1)


def test_nothing_is_begun_once_it_is_told_to_stop() -> None:
    clock, done = FakeClock(), list[str]()
    crew = SideBySide[str](
        clock, Bounds(slots=1), spawn=lambda work: work(), is_stopped=lambda: len(done) >= 2
    )

    def work(name: str) -> str:
        done.append(name)
        return name

    jobs = [Job(f"n{n}", lambda n=n: work(f"n{n}")) for n in range(4)]  # type: ignore[misc]
    found = [*crew.results(jobs, MINUTE, late=late, left=left)]
    assert sorted(found) == ["n0", "n1", "n2 left", "n3 left"]
