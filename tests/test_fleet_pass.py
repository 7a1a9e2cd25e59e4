"""One pass over a few services: what cannot be listed, found, read or ended is one service's result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from pipeline.app import stepping
from pipeline.app.timing import Timing
from pipeline.cloudrun.shared_logs import SharedLogs
from pipeline.core.rollout import Phase
from pipeline.errors import AccessError, PlatformUnavailable, SpillwayError
from pipeline.model import RECORD_ANNOTATION, LiveService, LogLine, ServiceRef
from tests.fakes import FakeClock
from tests.fleets import MINUTE, Idle, Task, Watched


def a_task(count: int, timing: Timing | None = None) -> Task:
    """So many services, each with a rollout that somebody began and left."""
    task = Task(FakeClock(), timing or Timing(MINUTE), of_all=count)
    task.watched = [Watched(ServiceRef("p", "l", f"chat-{n}"), task.clock) for n in range(count)]
    for each in task.watched:
        each.begin()
    return task


@dataclass
class Unlisted(Task):
    """A task that may read each service, and not list them."""

    error: SpillwayError = field(default_factory=lambda: AccessError("forbidden", "run.services.list"))

    def _services(self, project: str, location: str) -> Mapping[ServiceRef, LiveService]:
        raise self.error


@pytest.mark.parametrize("error", [AccessError("forbidden"), PlatformUnavailable("no answer")], ids=type)
def test_what_cannot_be_listed_is_read_one_by_one(error: SpillwayError) -> None:
    listed = a_task(3)
    task = Unlisted(listed.clock, listed.timing, listed.watched, error=error)
    task.watched[1].is_forbidden = True
    for _ in range(3):
        task.come()
    assert [step.code for step in sorted(task.results[-1], key=lambda step: step.service)] == [0, 3, 0]
    assert task.watched[0].rollout.phase is task.watched[2].rollout.phase is Phase.ROLLING


def test_what_is_not_there_and_whose_record_is_none_is_told() -> None:
    task = a_task(1)
    gone, live = Idle(ServiceRef("p", "l", "gone")), task.watched[0].live
    for name, text in (("broken", "{"), ("anothers", live.annotations[RECORD_ANNOTATION])):
        ref = ServiceRef("p", "l", name)
        task.idle = {**task.idle, ref: replace(live, ref=ref, annotations={RECORD_ANNOTATION: text})}
    task.more = [gone]
    task.come()
    told = {step.service.rpartition("/")[2]: step.document for step in task.results[0]}
    assert {name: each.get("error") for name, each in told.items()} == {
        "chat-0": None, "gone": "ServiceNotFound", "broken": "RecordUnreadable", "anothers": "RecordUnreadable",
    }  # fmt: skip


def test_a_fault_of_ours_in_one_step_is_that_steps() -> None:
    task = a_task(2)
    task.watched[0].platform.fail = [ZeroDivisionError("ours")]
    task.come()
    told = {step.service.rpartition("/")[2]: step for step in task.results[0]}
    assert told["chat-0"].document["what"] == "ZeroDivisionError: ours"
    assert told["chat-1"].code == 0
    # The lasting alert counts steps: a service of which none can be taken is one whose watchdog is silent.
    assert (told["chat-0"].document["event"], told["chat-1"].document["event"]) == ("failed_tick", "tick")


def test_nobody_starves_where_the_quota_has_room_for_few() -> None:
    """Twelve rollouts, and a quota with room for one write in a pass."""
    task = a_task(12, Timing(MINUTE, 20))
    assert task.timing.steps == 1
    for _ in range(40):
        task.come()
    assert task.expected == 2, "lines are asked for of those whose turn may come"
    counts = [len(each.steps) for each in task.watched]
    assert min(counts) >= 2
    assert task.under_way == 12
    waiting = [step for step in task.results[0] if "later pass" in step.text]
    assert len(waiting) >= 4
    assert {step.code for step in waiting} == {0}


def test_one_that_waits_for_a_person_says_so_also_where_its_turn_does_not_come() -> None:
    current = a_task(1).watched[0].rollout
    paused = replace(current, phase=Phase.PAUSED, reason="too few runs")
    step = stepping.not_yet("s", paused, FakeClock().now())
    assert (step.code, step.document["outcome"], step.document["exit_code"]) == (13, "paused", 13)
    assert (step.text, step.document["why"]) == ("paused: too few runs", "too few runs")
    assert stepping.not_yet("s", current, FakeClock().now()).code == 0


# --- the logs, when they do not answer


class Slow:
    """Ten seconds to say that nothing can be said."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        self.asked += 1
        self.clock.sleep(timedelta(seconds=10))
        raise PlatformUnavailable("no answer", retry_after_s=3)


def test_logs_that_do_not_answer_hold_up_one_and_not_each() -> None:
    clock = FakeClock()
    slow = Slow(clock)
    logs = SharedLogs(slow, lambda: clock.seconds)  # type: ignore[arg-type]
    for n in range(50):
        with pytest.raises(PlatformUnavailable, match="no answer") as told:
            logs.lines(ServiceRef("p", "l", f"s{n}"), since=clock.now(), revisions=())
        assert told.value.retry_after_s == 3
    assert slow.asked == 1
    clock.sleep(timedelta(seconds=11))
    with pytest.raises(PlatformUnavailable):
        logs.lines(ServiceRef("p", "l", "s"), since=clock.now(), revisions=())
    assert slow.asked == 2
