"""kill -9 of a command at a boundary of one of its calls, the same command again, and whether the end is the same.

A case is recorded first, unkilled: its calls are the boundaries, its end is what each killed run must come to. Writes are
counted by the service itself (its generation rises with each one, the record's epoch with each of ours): an answered
write that it did not count is lost, one that it counted twice is doubled.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from pipeline.core import record
from pipeline.core.rollout import ENDED, Rollout
from pipeline.model import LiveService
from tests.faults.calls import Call, Point, answered_writes
from tests.faults.forked import Ended
from tests.faults.lanes import HELD, STAGES, Lane

_ROUNDS = 3  # tries to reach a boundary: how often a command looks is not the same each time


@dataclass(frozen=True, slots=True)
class End:
    """What a command came to, as the service tells."""

    phase: str
    by_hand: bool
    history: tuple[tuple[str, int], ...]
    shares: tuple[tuple[str, int], ...]  # "stable" or "candidate" -> percent, served
    made: int  # revisions
    applies: int  # writes of the Pulumi program


@dataclass(frozen=True, slots=True)
class Before:
    """The service as a command finds it."""

    live: LiveService
    epoch: int
    steps: int
    revisions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Killed:
    """One run: killed at each of the points that it reached, and finished by the last process."""

    points: tuple[Point, ...]
    reached: tuple[Point, ...]
    faults: tuple[str, ...]
    lost: int = 0
    doubled: int = 0


@dataclass(slots=True)
class Case:
    """A command, and the state that it is given in.

    Args:
        code: its exit code. ``code_again``: when all was done and only the answer was missing.
        held: the service is put half-way into a rollout that waits; else each run has a new build.
        begins_like: the case whose calls its own are at first.
    """

    title: str
    words: tuple[str, ...]
    code: int
    code_again: int
    held: bool = False
    fails: bool = False
    begins_like: str = ""
    moments: dict[int, Rollout] = field(default_factory=dict)  # by lane

    def prepare(self, lane: Lane) -> tuple[str, ...]:
        """Bring the service there. Returns the command."""
        if self.held:
            self._hold(lane)
            return self.words
        kept = lane.latest
        build = lane.next_build()
        lane.begin_with(build, STAGES, kept)
        return (*self.words, build)

    def _hold(self, lane: Lane) -> None:
        if id(lane) not in self.moments:
            build = lane.next_build()
            lane.begin_with(build, HELD)
            assert lane.run("rollout", "--image", build).code == 13, lane.said()
            self.moments[id(lane)] = lane.record()
        moment = self.moments[id(lane)]
        lane.write(moment, moment.split)

    def record(self, lane: Lane) -> tuple[Sequence[Call], End]:
        """Its calls and its end when nobody kills it."""
        words = self.prepare(lane)
        before = look_before(lane)
        ended = self._run(lane, words)
        assert ended.code == self.code, lane.said()
        lost, doubled, end = settle(lane, before, [ended])
        assert not lost
        assert not doubled
        lane.tidy()
        return tuple(ended.calls.values()), end

    def kill(self, lane: Lane, points: tuple[Point, ...], wanted: End) -> Killed:
        """Kill one process after the other, each at its point, and let the last one finish."""
        for _ in range(_ROUNDS):
            killed = self._kill_once(lane, points, wanted)
            if killed.faults or killed.reached == points:
                break
        return killed

    def _kill_once(self, lane: Lane, points: tuple[Point, ...], wanted: End) -> Killed:
        words = self.prepare(lane)
        before = look_before(lane)
        runs = [self._run(lane, words, point) for point in points]
        reached = tuple(p for p, ended in zip(points, runs, strict=True) if ended.was_killed)
        is_over = lane.record().phase in ENDED and not self._is_untouched(lane, before)
        last = self._run(lane, words)
        lost, doubled, end = settle(lane, before, [*runs, last])
        codes = {self.code_again} if is_over else {self.code}
        faults = []
        if last.code not in codes:
            faults.append(f"exit {last.code}, not {codes}: {lane.said()}")
        if end != wanted:
            faults.append(f"{end}, not {wanted}: {lane.record().reason}; {lane.said()}")
        lane.tidy()
        return Killed(points, reached, tuple(faults), lost, doubled)

    def _is_untouched(self, lane: Lane, before: Before) -> bool:
        return lane.record().epoch == before.epoch

    def _run(self, lane: Lane, words: tuple[str, ...], point: Point | None = None) -> Ended:
        fails_at = (50, lane.wishes) if self.fails else None
        return lane.run(*words, kill_at=point, fails_at=fails_at)


CASES: Mapping[str, Case] = {
    "promoted": Case("rollout of a good candidate", ("rollout", "--image"), 0, 0),
    "rolled back": Case(
        "rollout of a failing candidate", ("rollout", "--image"), 11, 11, fails=True, begins_like="promoted"
    ),
    "rollback": Case("rollback by hand", ("rollback",), 0, 0, held=True),
    "promote": Case("promote of what was paused", ("promote",), 0, 2, held=True),
}


def look_before(lane: Lane) -> Before:
    live = lane.project.live()
    current = record.of(live)
    assert current is not None
    steps = len(current.history) if current.phase not in ENDED else 0
    return Before(live, current.epoch, steps, frozenset(r.name for r in lane.project.revisions()))


def settle(lane: Lane, before: Before, runs: Sequence[Ended]) -> tuple[int, int, End]:
    """Writes lost, writes doubled, and the end."""
    live, current = lane.project.live(), lane.record()
    counted = live.generation - before.live.generation
    applies = counted - (current.epoch - before.epoch)
    answered, unanswered = map(sum, zip(*(answered_writes(ended.calls) for ended in runs), strict=True))
    lost, doubled = max(0, answered - counted), max(0, counted - answered - unanswered)
    names = {current.plan.candidate: "candidate", current.plan.stable: "stable"}
    end = End(
        phase=current.phase,
        by_hand=current.by_hand,
        history=tuple((str(step.event), step.percent) for step in current.history[before.steps :]),
        shares=tuple(sorted((names.get(n or "", n or ""), p) for n, p in live.serving.serving.items())),
        made=len({r.name for r in lane.project.revisions()} - before.revisions),
        applies=applies,
    )
    return lost, doubled, end


def points_of(calls: Sequence[Call]) -> Iterator[Point]:
    for call in calls:
        yield from call.points


def telling_points(calls: Sequence[Call], seed: str, begins_like: Sequence[Call] = ()) -> Sequence[Point]:
    """Each boundary of every write and of the first read of each name, and a tenth of the others, as the seed draws.

    Between two reads nothing changes but the process that dies: how often it looked is not to be seen afterwards. Nor does
    it matter which of two commands dies while both have done the same: of that beginning one of them may stand for both.
    """
    pairs = zip(calls, begins_like, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: _place(pair[0]) == _place(pair[1]), pairs))
    firsts = [call for call in calls[same:] if call.is_write or call.number == 1]
    chosen = set(points_of(firsts))
    others = [point for point in points_of(calls) if point not in chosen]
    return [*points_of(firsts), *random.Random(seed).sample(others, len(others) // 10)]


def _place(call: Call) -> tuple[str, int]:
    return call.name, call.number


def spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many, evenly from all."""
    if len(items) <= most:
        return items
    return [items[i * len(items) // most] for i in range(most)]
