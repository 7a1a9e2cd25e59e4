"""What is there whoever looks: users and their log lines, and which revisions are healthy. Virtual time, no processes."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from msgspec.structs import replace

from pipeline.errors import PlatformUnavailable
from pipeline.judging.clients import place_of
from pipeline.model import SYSTEM_LOG, LogLine
from tests.fakes import START, FakeClock, FakePlatform

SECOND = timedelta(seconds=1)
RUN = timedelta(milliseconds=200)


class OwnClock:
    """One process's clock: steady, as ``ports.Clock`` wants it, and off by what the machine's was when it began."""

    def __init__(self, true: FakeClock, off: timedelta = timedelta(0)) -> None:
        self.true, self.off = true, off

    def now(self) -> datetime:
        return self.true.now() + self.off

    def sleep(self, duration: timedelta) -> None:
        self.true.sleep(duration)


@dataclass
class Health:
    """The truth about revisions, by name."""

    fails_users: dict[str, float] = field(default_factory=dict)  # rate of runs that end with a 1011
    writes_nothing: set[str] = field(default_factory=set)  # no line at all
    only_accepts: set[str] = field(
        default_factory=set
    )  # an accept, and then no line: hung, or its logger died
    exits_every: dict[str, float] = field(default_factory=dict)  # seconds that an instance lives, by revision
    fails_probes: set[str] = field(default_factory=set)
    hangs_probes: set[str] = field(default_factory=set)
    stumbles: float = 0.0  # the rate at which conversations with any revision are lost on the way


@dataclass
class Users:
    """Users who hold one run each, shared between revisions as traffic is served, and the lines written about them.

    Lines are searchable once they have arrived, which may be ``late`` seconds after they were written (each on its
    own: so they come out of order); some come ``twice``; of some runs the accept or the close is ``lost``.
    """

    clock: FakeClock
    platform: FakePlatform
    health: Health
    seed: int
    per_second: float = 5.0
    late: float = 0.0
    twice: float = 0.0
    lost: float = 0.0
    unreadable: bool = False
    _rng: random.Random = field(init=False)
    _until: datetime = START
    _count: int = 0
    _coming: list[tuple[datetime, int, LogLine]] = field(default_factory=list)  # by arrival
    _lines: list[LogLine] = field(default_factory=list)  # arrived, by timestamp
    _times: list[datetime] = field(default_factory=list)
    _runs: dict[str, list[datetime]] = field(default_factory=dict)  # starts, by revision
    _failed: dict[str, list[datetime]] = field(default_factory=dict)
    _places: set[int] = field(default_factory=set)
    _exits: dict[str, int] = field(default_factory=dict)  # of instances, by revision

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed * 3 + 2)

    def lines(self, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        if self.unreadable:
            raise PlatformUnavailable("logs: no answer")
        self.go_on()
        self._arrive()
        wanted = set(revisions)
        first, end = bisect_left(self._times, since), bisect_right(self._times, self.clock.now())
        return [line for line in self._lines[first:end] if line.revision in wanted]

    def runs_between(self, revision: str, begin: datetime, end: datetime) -> tuple[int, int]:
        """Logged runs that began in [begin, end), and how many of them failed: the truth."""
        self.go_on()
        return tuple(  # type: ignore[return-value]
            max(0, bisect_left(starts, end) - bisect_left(starts, begin))
            for starts in (self._runs.get(revision, []), self._failed.get(revision, []))
        )

    def go_on(self) -> None:
        """Up to now; to be called before anything about revisions changes."""
        step, now = SECOND / self.per_second, self.clock.now()
        while self._until < now:
            self._until += step
            self._count += 1
            self._hold_one(self._until)
        self._let_instances_exit()

    def _hold_one(self, at: datetime) -> None:
        rng, revision = self._rng, ""
        serving, point = self.platform.served_at(at).serving, self._rng.random() * 100
        for revision, percent in serving.items():  # noqa: B007 - the last one stays
            point -= percent
            if point < 0:
                break
        rate = self.health.fails_users.get(revision, 0.0)
        is_bad = rate > 0 and rng.random() < rate
        if revision in self.health.writes_nothing:
            return
        instance = self._instance(revision, at)
        shared = {"spillway": 1, "session": f"s{self._count}", "client": self._client(), "revision": revision,
                  "nonce": f"n-{revision}"}  # fmt: skip
        is_mute = revision in self.health.only_accepts
        dated = at + SECOND if is_mute else at  # when something was due
        self._runs.setdefault(revision, []).append(dated)
        if is_bad or is_mute:
            self._failed.setdefault(revision, []).append(dated)
        start, end = at.timestamp(), (at + RUN).timestamp()
        is_lost = self.lost > 0 and not is_mute and rng.random() < self.lost
        missing = rng.choice(("accept", "close")) if is_lost else ""
        if missing != "accept":
            self._write(at, {**shared, "event": "ws_accept", "path": "/ws", "at": start}, instance)
        if is_mute:
            return
        self._write(at + RUN, {
            **shared, "event": "agent_run", "run": 1, "started": start, "at": end, "first_event_ms": 50.0,
            "outcome": "closed" if is_bad else "ok", "missing": ["agent_completed"] if is_bad else [],
        }, instance)  # fmt: skip
        if missing != "close":
            closed_by, code = ("server", 1011) if is_bad else ("client", 1000)
            self._write(at + RUN, {**shared, "event": "ws_close", "code": code, "reason": "", "closed_by": closed_by,
                                   "at": end}, instance)  # fmt: skip

    def _client(self) -> str:
        """Everybody is somebody else, whose bit is nobody else's: the oracle holds each run against the judge's counts."""
        if not self._places:  # of instances that exit, for as long as a rollout can take
            ends = [f"{revision}/{n}" for revision in self.health.exits_every for n in range(500)]
            self._places = {place_of(f"container_exits/instance/{name}") for name in ends}
        for number in count():
            name = f"c{self._count}.{number}"
            places = {place_of(f"{metric}/run/{name}") for metric in ("agent_completed", "server_error_1011")}
            if len(places) == 2 and not places & self._places:
                break
        self._places |= places
        return name

    def _instance(self, revision: str, at: datetime) -> str:
        """Of a revision, one after the other; each lives as long as the one before."""
        known, every = self.platform.known.get(revision), self.health.exits_every.get(revision)
        if known is None or every is None:
            return revision
        return f"{revision}/{(at - known.create_time) // (every * SECOND)}"

    def _let_instances_exit(self) -> None:
        """What the platform writes of them, whether anybody has traffic or not."""
        for revision, every in self.health.exits_every.items():
            known = self.platform.known.get(revision)
            done = self._exits.get(revision, 0)
            while known is not None and known.create_time + (done + 1) * every * SECOND <= self._until:
                at, done = known.create_time + (done + 1) * every * SECOND, done + 1
                self._say(at - every * SECOND, revision, "Starting new instance. Reason: AUTOSCALING")
                self._say(at - SECOND / 1000, revision, "Container called exit(0).")
            self._exits[revision] = done

    def _say(self, at: datetime, revision: str, text: str) -> None:
        self._add(
            LogLine("", at, revision, "ERROR", text, instance=self._instance(revision, at), log=SYSTEM_LOG)
        )

    def _write(self, at: datetime, payload: dict[str, object], instance: str) -> None:
        for _ in range(1 + (self.twice > 0 and self._rng.random() < self.twice)):
            self._add(LogLine("", at, str(payload["revision"]), "INFO", "", payload, instance))

    def _add(self, written: LogLine) -> None:
        number = len(self._lines) + len(self._coming)
        line, at = replace(written, insert_id=f"i{number}"), written.at
        if self.late:
            heappush(self._coming, (at + self.late * self._rng.random() * SECOND, number, line))
        else:
            place = bisect_right(self._times, at)  # nearly all are written in order
            self._lines.insert(place, line)
            self._times.insert(place, at)

    def _arrive(self) -> None:
        coming, now = self._coming, self.clock.now()
        while coming and coming[0][0] <= now:
            line = heappop(coming)[2]
            place = bisect_right(self._times, line.at)
            self._times.insert(place, line.at)
            self._lines.insert(place, line)
