"""A fleet on virtual time: many services on fakes, and tasks that come each minute, each a process of its own.

Tasks see to services of their own and share the project's quota alone, so each has a clock of its own; what they call is
written down with the time, and put together afterwards.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from google.protobuf import json_format
from msgspec.structs import replace

from pipeline.app import stepping
from pipeline.app.fleet import Pass, Patience
from pipeline.app.side_by_side import Bounds, SideBySide
from pipeline.app.stepping import Restoring, Step
from pipeline.app.timing import COST, Timing
from pipeline.app.watch_fleet import asked
from pipeline.budget import Bucket, Budget, Quota
from pipeline.cloudrun.logs import LoggingSource
from pipeline.cloudrun.shared_logs import SharedLogs
from pipeline.core import record
from pipeline.core.rollout import Rollout
from pipeline.driving.begin import Start
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.driving.ports import LogSource, World
from pipeline.errors import AccessError
from pipeline.judging.terms import Probing, Sampling
from pipeline.model import LiveService, LogLine, ServiceRef
from pipeline.rpc.logs import logging_v2
from tests.fakes import FakeClock, FakeDeployer, FakePlatform, FakeProber, FakeUsers
from tests.rollouts import SCENARIO, a_wish, stages
from tests.test_budget import METHODS

MINUTE = timedelta(minutes=1)
SILENT = timedelta(minutes=15)
_PAGE = 100  # services in an answer
_KEPT = timedelta(minutes=45)  # before what is asked for; no later question goes back further
_GROUP = re.compile(r'revision_name=\(([^)]*)\) AND timestamp>="([^"]+)" AND \(timestamp>="([^"]+)"')
_RECEIVED = re.compile(r'receiveTimestamp>="([^"]+)"$')

Call = tuple[float, Quota]


@dataclass
class Watched:
    """One service, its users, and a rollout of it that somebody began and left; ``pipeline.app.fleet.Member``."""

    ref: ServiceRef
    clock: FakeClock
    per_second: float = 0.5
    is_forbidden: bool = False
    platform: FakePlatform = field(init=False)
    users: FakeUsers = field(init=False)
    logs: LogSource = field(init=False)
    prober: FakeProber = field(init=False)
    steps: list[float] = field(default_factory=list)  # when one was taken, in seconds
    entries: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.platform = FakePlatform(self.clock).with_stable(f"{self.ref.service}-stable")
        assert self.platform.live is not None
        self.platform.live = replace(self.platform.live, ref=self.ref)
        self.platform._reached = [(self.clock.now(), self.platform.live)]
        self.users = FakeUsers(
            self.clock, self.platform, self.per_second, seed=int(self.ref.service.rpartition("-")[2])
        )
        self.prober = FakeProber(self.clock)
        self.logs = self.users

    @property
    def candidate(self) -> str:
        return f"{self.ref.service}-new"

    @property
    def live(self) -> LiveService:
        return self.platform.shown()

    @property
    def rollout(self) -> Rollout:
        found = record.of(self.live)
        assert found is not None
        return found

    @property
    def world(self) -> World:
        return World(self.platform, FakeDeployer(self.platform), self.prober, self.logs, self.clock)

    def begin(self) -> None:
        """As ``rollout --no-wait`` whose process is killed at once."""
        wish = a_wish(
            self.candidate, ref=self.ref, stages=stages(0, 50, 100, soak=120), probing=Probing(MINUTE / 6, 2, 2),
            sampling=Sampling(MINUTE / 2, MINUTE / 6, MINUTE / 6, timedelta(0), 10),
        )  # fmt: skip
        terms = replace(
            wish.terms, stages=tuple(replace(stage, deadline=4 * 60 * MINUTE) for stage in wish.terms.stages)
        )
        engine = Engine(Observer(self.ref, self.world, (SCENARIO,)), self.world, driver="killed")
        assert Start(engine, self.world, replace(wish, terms=terms), say=lambda _: None)() is None

    def step(self, patience: Patience) -> Step:
        if self.is_forbidden:
            raise AccessError(f"read {self.ref.service}: forbidden", "run.services.get is not granted.")
        self.steps.append(self.clock.seconds)
        restoring = Restoring()
        rhythm = replace(
            Rhythm.at(self.ref, MINUTE / 3).of_a_watchdog(MINUTE, SILENT), gives_up=patience(SILENT)
        )
        observer = Observer(self.ref, self.world, (SCENARIO,), listen=restoring, memory=rhythm.memory)
        engine = Engine(observer, self.world, driver="task", listen=restoring, rhythm=rhythm)
        upcoming = stepping.one_step(engine, self.clock, restoring, engine.tick)
        return stepping.taken(self.ref.name, upcoming, observer.current, code=0, limited="", promote="")

    def found(self, since: datetime, until: datetime) -> Sequence[tuple[datetime, str, Any]]:
        """Log entries as Cloud Logging has them: when, of which revision, and the message."""
        self._forget(since - _KEPT)
        every = self.users.lines(
            self.ref, since=datetime.min.replace(tzinfo=since.tzinfo), revisions=self.platform.known
        )
        for line in every[len(self.entries) :]:
            self.entries.append((line.at, line.revision, _entry(self.ref, line)))
        first = bisect_left(self.entries, since, key=lambda entry: entry[0])
        return self.entries[first : bisect_right(self.entries, until, key=lambda entry: entry[0])]

    def _forget(self, moment: datetime) -> None:
        """Lines that nobody will ask for: of 500 services for hours they would fill the machine."""
        gone = bisect_left(self.entries, moment, key=lambda entry: entry[0])
        del self.entries[:gone], self.users._lines[:gone]


def _entry(ref: ServiceRef, line: LogLine) -> Any:
    stamp = line.at.isoformat()
    made = {
        "insertId": f"{ref.service}{line.insert_id}", "timestamp": stamp, "receiveTimestamp": stamp, "severity": line.severity,
        "resource": {"type": "cloud_run_revision", "labels": {
            "location": ref.location, "service_name": ref.service, "revision_name": line.revision,
        }},
        "jsonPayload": dict(line.payload), "labels": {"instanceId": line.instance},
    }  # fmt: skip
    return json_format.ParseDict(made, logging_v2.LogEntry.pb()())


@dataclass
class Task:
    """One of the job's tasks: its services, its clock, what it called and what it told."""

    clock: FakeClock
    timing: Timing
    watched: Sequence[Watched] = ()
    idle: Mapping[ServiceRef, LiveService] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    results: list[list[Step]] = field(default_factory=list)
    under_way: int = 0
    expected: int = 0  # rollouts whose lines the last pass asked for
    of_all: int = 500  # services that a list holds
    more: Sequence[Idle] = ()  # of the fleet, and in no list

    def come(self) -> None:
        """One pass, as a process of its own; then it is time for the next one, whenever that is."""
        next_at = self.clock.now() + self.timing.every
        self.budget = Budget()
        self.budget.limit(self._seconds, self._sleep, lambda quota: Bucket.share(quota, self.timing.tasks))
        logs = SharedLogs(self._source(), self._seconds)
        for each in self.watched:
            each.logs = logs
            each.platform.at_boundary = self._spend
        passing = Pass(
            self.clock, self.timing, services=self._services,
            expect=lambda rollouts: self._expect(logs, [*rollouts]),
            side_by_side=SideBySide(self.clock, Bounds(), room=self._room, spawn=lambda work: work()),
        )  # fmt: skip
        everybody = [*self.watched, *(Idle(ref) for ref in self.idle), *self.more]
        self.results.append([*passing.steps(everybody)])
        self.under_way = passing.under_way
        assert self.clock.now() <= next_at, "a pass is over before the next one begins"
        self.clock.sleep(next_at - self.clock.now())

    def _expect(self, logs: SharedLogs, rollouts: Sequence[Rollout]) -> None:
        self.expected = len(rollouts)
        logs.expect(asked(rollouts, self.clock.now()))

    def _services(self, project: str, location: str) -> Mapping[ServiceRef, LiveService]:
        found = {**self.idle, **{each.ref: each.live for each in self.watched}}
        for _ in range(0, self.of_all, _PAGE):
            self.spend("/google.cloud.run.v2.Services/ListServices")
        return {
            ref: live for ref, live in found.items() if (ref.project, ref.location) == (project, location)
        }

    def _spend(self, boundary: str) -> None:
        when, _, call = boundary.partition(" ")
        if when == "before" and call in METHODS:
            self.spend(METHODS[call])

    def spend(self, path: str) -> None:
        self.budget.spend(path)
        self.calls.append((self.clock.seconds, Quota.of(path)))

    def _source(self) -> LoggingSource:
        return LoggingSource(
            Search(self), overlap=MINUTE / 12, longest=MINUTE, rest=MINUTE / 12, longest_request=timedelta(minutes=61),  # type: ignore[arg-type]
            now=self.clock.now, monotonic=self._seconds, quota=Bucket.share(Quota.LOGS, self.timing.tasks), sleep=self._sleep,
        )  # fmt: skip

    def _room(self, active: int) -> float:
        return self.budget.room({quota: cost * (active + 1) for quota, cost in COST.items()})

    def _seconds(self) -> float:
        return self.clock.seconds

    def _sleep(self, seconds: float) -> None:
        self.clock.sleep(timedelta(seconds=seconds))

    @cached_property
    def by_revision(self) -> Mapping[str, Watched]:
        return {f"{each.ref.service}-{kind}": each for each in self.watched for kind in ("new", "stable")}


@dataclass(frozen=True)
class Idle:
    """A service whose last rollout ended, or that never had one: it costs nothing but its place in the list."""

    ref: ServiceRef

    def step(self, patience: Patience) -> Step:
        raise AssertionError(f"{self.ref.name} has nothing under way")


@dataclass(frozen=True)
class Search:
    """``entries.list``, as far as the shared question goes, over what users of the services left."""

    task: Task

    def list_log_entries(self, *, request: Any, retry: None, timeout: float) -> Any:
        return SimpleNamespace(pages=self._pages(request.filter, request.page_size))

    def _pages(self, text: str, size: int) -> Iterator[Any]:
        assert len(text) <= 20_000
        groups, received = _GROUP.findall(text), _RECEIVED.search(text)
        assert groups, text
        found = [*self._found(groups, datetime.fromisoformat(received[1]) if received else None)]
        found.sort(key=lambda each: each[0])
        for start in range(0, len(found) or 1, size):
            self.task.calls.append((self.task.clock.seconds, Quota.LOGS))
            page = logging_v2.ListLogEntriesResponse()
            pb = logging_v2.ListLogEntriesResponse.pb(page)
            pb.entries.extend(entry for _, entry in found[start : start + size])
            pb.next_page_token = "more" if start + size < len(found) else ""
            yield page

    def _found(
        self, groups: Iterable[tuple[str, str, str]], received: datetime | None
    ) -> Iterator[tuple[datetime, Any]]:
        for names, _, since in groups:
            wanted = set(re.findall(r'"([^"]+)"', names))
            first = max(datetime.fromisoformat(since), received or datetime.fromisoformat(since))
            for each in {
                self.task.by_revision[name].ref: self.task.by_revision[name] for name in wanted
            }.values():
                for at, revision, entry in each.found(first, self.task.clock.now()):
                    if revision in wanted:
                        yield at, entry


def most_in_a_minute(calls: Iterable[Call], quota: Quota) -> int:
    """Of all tasks together, in any sixty seconds."""
    at = sorted(moment for moment, what in calls if what is quota)
    return max((bisect_right(at, moment + 60) - n for n, moment in enumerate(at)), default=0)
