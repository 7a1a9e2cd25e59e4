"""Quotas: what one process takes of them, who waits, who never does, and what is counted."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import budget
from pipeline.budget import MOST_TASKS, Bucket, Budget, Quota, urgent
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.driving.restore import STANDS_BY, Cause, restore
from pipeline.model import Outcome, ServiceRef
from pipeline.report import render
from pipeline.report.journal_lines import line_of
from tests.fakes import REF, FakeClock
from tests.reported import Reported
from tests.reports import a_report
from tests.rollouts import CANDIDATE, SCENARIO, STABLE, Scene, a_wish, stages

RUN = "/google.cloud.run.v2."
METHODS = {
    "read": f"{RUN}Services/GetService", "revisions": f"{RUN}Revisions/ListRevisions",
    "revision": f"{RUN}Revisions/GetRevision", "write": f"{RUN}Services/UpdateService",
}  # fmt: skip
MINUTE = 60.0


def most_in_a_minute(at: list[float]) -> int:
    return max((sum(start <= moment <= start + MINUTE for moment in at) for start in at), default=0)


@pytest.mark.parametrize("quota", Quota)
@pytest.mark.parametrize("pause", [0.0, 0.1, 1.0, 3.9, 7.0])
def test_no_minute_has_more_than_the_burst_and_the_rate(quota: Quota, pause: float) -> None:
    bucket, now, at = Bucket.of(quota), 100.0, []
    for _ in range(400):
        now += bucket.take(now)
        at.append(now)
        now += pause
    assert most_in_a_minute(at) <= sum(quota.value)


@pytest.mark.parametrize("quota", Quota)
@pytest.mark.parametrize("tasks", [1, 4, 7, MOST_TASKS])
@pytest.mark.parametrize("idle_s", [0.0, 55.0])
def test_tasks_that_begin_anew_each_minute_share_the_projects_quota(
    quota: Quota, tasks: int, idle_s: float
) -> None:
    """Each as fast as it may: from its start on, or all at its end, right before the next one starts."""
    at: list[float] = []
    for begun in (MINUTE * run for run in range(4)):
        bucket = Bucket.share(quota, tasks)
        bucket.wait(begun)
        now = begun + idle_s
        while (now := now + bucket.take(now)) < begun + MINUTE:
            at.append(now)
    assert at, "none may be left without any"
    assert most_in_a_minute(at) * tasks <= quota.of_project


def test_room_is_told_before_it_is_needed() -> None:
    limited = Limited()
    wanted = {Quota.READS: 3, Quota.WRITES: 1}
    assert limited.budget.room(wanted) == 0
    for _ in range(3):
        limited.budget.spend(METHODS["read"])
    assert limited.budget.room(wanted) == pytest.approx(60 / 15)
    assert limited.budget.room({Quota.WRITES: 1}) == 0
    assert limited.clock.seconds == 0
    assert Budget().room(wanted) == 0


def test_what_was_not_used_comes_back_up_to_the_burst() -> None:
    bucket = Bucket(2, 60)
    assert [bucket.take(0), bucket.take(0), bucket.take(0)] == [0, 0, 1]
    assert [bucket.take(1000), bucket.take(1000), bucket.take(1000)] == [0, 0, 1]


def test_a_clock_that_goes_back_brings_nothing_back() -> None:
    bucket = Bucket(1, 60)
    assert bucket.take(100) == 0
    assert bucket.take(50) == 1
    assert bucket.wait(100) == 2


def test_reads_writes_and_logs_are_told_apart() -> None:
    assert [Quota.of(path) for path in METHODS.values()] == [Quota.READS] * 3 + [Quota.WRITES]
    assert Quota.of("/google.logging.v2.LoggingServiceV2/ListLogEntries") is Quota.LOGS
    assert sum(Quota.READS.value) <= 20
    assert sum(Quota.LOGS.value) <= 60 / 2


class Limited:
    """A budget over a clock of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.budget = Budget()
        self.budget.limit(
            lambda: self.clock.seconds, lambda seconds: self.clock.sleep(timedelta(seconds=seconds))
        )


def test_who_is_too_fast_waits_and_a_roll_back_never_does() -> None:
    limited = Limited()
    for _ in range(40):
        limited.budget.spend(METHODS["read"])
    waited = limited.clock.seconds
    assert waited == pytest.approx((40 - 5) * 4)
    with urgent():
        for _ in range(40):
            limited.budget.spend(METHODS["read"])
    assert limited.clock.seconds == waited
    limited.budget.spend(METHODS["read"])
    assert limited.clock.seconds == pytest.approx(waited + 4)  # what was urgent is no debt of hours
    assert limited.budget.calls == {"GetService": 81}


def test_where_nothing_is_limited_calls_are_counted() -> None:
    free = Budget()
    for path in [*METHODS.values()] * 30:
        free.spend(path)
    assert free.calls == {"GetService": 30, "ListRevisions": 30, "GetRevision": 30, "UpdateService": 30}
    assert budget.since({"GetService": 10, "GetRevision": 30}, free.calls) == {
        "ListRevisions": 30, "UpdateService": 30, "GetService": 20,
    }  # fmt: skip


# --- a whole rollout in the cloud's rhythm, on virtual time


class Metered(Scene):
    """A scene whose platform costs what the cloud costs, and its driver keeps to the cloud's rhythm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.limited = Budget()
        self.limited.limit(
            lambda: self.clock.seconds, lambda seconds: self.clock.sleep(timedelta(seconds=seconds))
        )
        self.reads: list[float] = []
        self.platform.at_boundary = self._spend

    def _spend(self, boundary: str) -> None:
        when, _, call = boundary.partition(" ")
        path = METHODS.get(call)
        if when == "before" and path is not None:
            self.limited.spend(path)
            if Quota.of(path) is Quota.READS:
                self.reads.append(self.clock.seconds)

    def engine(self, driver: str = "host/1") -> Engine:
        rhythm = Rhythm.at(REF, timedelta(seconds=20))
        observer = Observer(REF, self.world, (SCENARIO,), listen=self.told.append, memory=rhythm.memory)
        return Engine(observer, self.world, driver=driver, listen=self.told.append, rhythm=rhythm)


LONG = stages(0, 5, 25, 100, soak=300)
SHORT = stages(0, 1, 5, 10, 25, 50, 100, soak=5)


@pytest.mark.parametrize("lag", [0.0, 20.0])
@pytest.mark.parametrize("wished", [LONG, SHORT], ids=["long", "short"])
def test_a_whole_rollout_reads_at_most_twenty_times_a_minute(wished: tuple[object, ...], lag: float) -> None:
    scene = Metered()
    scene.platform.lag = timedelta(seconds=lag)
    assert scene.roll(a_wish(stages=wished)) is Outcome.PROMOTED
    assert most_in_a_minute(scene.reads) <= 20
    minutes = scene.clock.seconds / MINUTE
    assert len(scene.reads) / minutes <= 20


@pytest.mark.parametrize("lag", [0.0, 20.0])
def test_a_rollout_that_goes_back_waits_for_no_quota(lag: float) -> None:
    scene = Metered()
    scene.platform.lag = timedelta(seconds=lag)
    scene.users.failing[CANDIDATE] = 0.5
    asked: list[float] = []
    scene.platform.on_write = lambda *_: asked.append(scene.clock.seconds)
    assert scene.roll(a_wish(stages=LONG)) is Outcome.ROLLED_BACK
    assert most_in_a_minute(scene.reads) <= 20
    said = next(e for e in scene.told if e.kind == "restoring")
    wrote = next(e for e in scene.told if e.kind == "wrote" and e.at >= said.at)
    assert wrote.at == said.at


def test_rolling_back_by_hand_waits_for_nothing_though_all_is_used_up() -> None:
    scene = Metered()
    scene.reach(25)
    for _ in range(100):  # somebody in this process asked and asked
        scene.limited.spend(METHODS["read"])
        scene.limited.spend(METHODS["write"])
    begun = scene.clock.seconds
    done = restore(scene.platform, scene.clock, REF, Cause("by hand", "me", by_hand=True))
    assert done.verified
    assert done.target == STABLE
    took = scene.clock.seconds - begun
    assert took < STANDS_BY.total_seconds() + 0.01, "what it stays for is no quota"


def test_the_local_cloud_run_is_looked_at_as_often_as_ever() -> None:
    here = ServiceRef("local", "local", "chat")
    rhythm = Rhythm.at(here, timedelta(seconds=2))
    assert rhythm == Rhythm(timedelta(seconds=2))
    pace = rhythm.pace()
    assert {pace.rest() for _ in range(10)} == {timedelta(milliseconds=250)}


def test_in_the_cloud_rests_double_up_to_five_seconds_and_begin_again() -> None:
    pace = Rhythm.at(REF, timedelta(seconds=20)).pace()
    assert [pace.rest().total_seconds() for _ in range(5)] == [1, 2, 4, 5, 5]
    pace.again()
    assert pace.rest().total_seconds() == 1


def test_what_a_rollout_called_is_told_at_its_end_and_stands_in_its_report(tmp_path: Path) -> None:
    reported, called = Reported(tmp_path), list[str]()

    def spend(boundary: str) -> None:
        when, _, call = boundary.partition(" ")
        if when == "before" and call in METHODS:
            called.append(METHODS[call].rpartition("/")[2])
            budget.PROCESS.spend(METHODS[call])

    reported.scene.platform.at_boundary = spend
    assert reported.roll() is Outcome.PROMOTED
    wanted = dict(Counter(called))
    made = reported.report()
    assert made.calls["UpdateService"] == wanted["UpdateService"]
    assert 0 < wanted["GetService"] - made.calls["GetService"] <= 1  # the report itself reads once more
    assert made.to_json()["calls"] == made.calls
    words = f"GetService {made.calls['GetService']}"
    assert words in render.markdown(made)
    assert words in render.html(made)


@pytest.mark.parametrize("calls", ['"x"', '{"GetService": "many"}', '{"GetService": {}}', "[1]"])
def test_a_line_that_somebody_edited_is_left_out(calls: str) -> None:
    line = '{"kind": "called", "at": "2026-01-01T12:00:00+00:00", "calls": %s}'
    assert line_of((line % calls).encode()) is None
    read = line_of((line % '{"GetService": 3}').encode())
    assert read is not None
    assert a_report(journal=[read, read]).calls == {"GetService": 6}
