"""A fleet: whose a service is, who comes first, how often the quota lets each be seen to, and which code ends a pass."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.app.timing import COST, Timing
from pipeline.budget import MOST_TASKS, Quota
from pipeline.core import fleet
from pipeline.core.fleet import task_of, turn, worst
from pipeline.core.rollout import Phase, Rollout
from pipeline.model import Outcome
from tests.fakes import START
from tests.rollouts import Scene

MINUTE = timedelta(minutes=1)


def test_every_service_is_one_tasks_and_the_tasks_have_about_as_many() -> None:
    names = [f"projects/p/locations/l/services/chat-{n}" for n in range(500)]
    counts = Counter(task_of(name, 4) for name in names)
    assert sorted(counts) == [0, 1, 2, 3]
    assert max(counts.values()) < 1.4 * min(counts.values())
    assert {task_of(name, 1) for name in names} == {0}
    assert task_of(names[0], 4) == 1, "every version of Spillway comes to the same"


def a_rollout(phase: Phase = Phase.ROLLING, *, percent: int = 0, waited_s: float = 60) -> Rollout:
    scene = Scene()
    scene.reach(percent)
    return replace(scene.rollout, phase=phase, heartbeat=START - timedelta(seconds=waited_s))


def test_who_comes_first() -> None:
    order = [
        a_rollout(Phase.ROLLING_BACK, percent=5, waited_s=1),
        a_rollout(percent=5, waited_s=300),
        a_rollout(waited_s=900),
        a_rollout(percent=5, waited_s=60),
        a_rollout(Phase.DEPLOYING, waited_s=70),
        a_rollout(waited_s=-60),  # another machine's clock
        a_rollout(Phase.PAUSED, percent=5, waited_s=86_400),
        a_rollout(Phase.PAUSED, waited_s=9),
    ]
    assert sorted(order, key=lambda each: turn(each, START)) == order


def test_the_worst_code_is_the_one_that_needs_a_person_most() -> None:
    assert worst([]) == worst([0, 0]) == 0
    assert worst([0, 11, 0]) == 11
    assert worst([11, 13, 2, 0]) == 13
    assert worst([13, 12, 4]) == 12
    assert worst([0, 99, 15]) == 15
    assert worst([0, 99]) == 99
    assert {each.exit_code for each in Outcome} - {0, 10, 16} <= set(fleet._WORST_FIRST)


@pytest.mark.parametrize("tasks", [1, 4, MOST_TASKS])
def test_a_pass_has_room_for_what_the_quota_holds(tasks: int) -> None:
    timing = Timing(MINUTE, tasks)
    assert timing.steps >= 1
    for quota, cost in COST.items():
        assert tasks * timing.steps * cost <= quota.of_project
    assert timing.rhythm(0) == timing.rhythm(1) == MINUTE
    assert timing.rhythm(10 * int(timing.steps)) == 10 * MINUTE
    assert tasks * timing.steps >= Quota.WRITES.of_project / 3


def test_nobody_goes_back_for_a_silence_that_is_the_quotas() -> None:
    timing, silent = Timing(MINUTE, 4), timedelta(minutes=15)
    assert timing.patience(silent, 10) == silent
    assert timing.patience(silent, 100) == 3 * timing.rhythm(100) > silent


def test_where_nothing_is_limited_each_gets_a_step_in_each_pass() -> None:
    assert Timing(MINUTE, 4, is_limited=False).rhythm(10_000) == MINUTE
