"""500 services in four tasks of a job that comes each minute, on virtual time, within the quota of one project."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from msgspec.structs import replace

from pipeline.app.timing import Timing
from pipeline.budget import Quota
from pipeline.core.fleet import task_of
from pipeline.core.rollout import ENDED, Phase
from pipeline.model import RECORD_ANNOTATION, ServiceRef
from tests.fakes import FakeClock
from tests.fleets import MINUTE, Task, Watched, most_in_a_minute

TASKS = 4
SERVICES = 500
AT_ONCE = 100  # of them have a rollout under way


def a_fleet(under_way: int, per_second: float) -> Sequence[Task]:
    """Of these the first so many have a rollout that somebody began and left."""
    tasks = [Task(FakeClock(), Timing(MINUTE, TASKS)) for _ in range(TASKS)]
    for number in range(SERVICES):
        ref = ServiceRef("acme", "l", f"chat-{number}")
        task = tasks[task_of(ref.name, TASKS)]
        watched = Watched(ref, task.clock, per_second)
        if number < under_way:
            watched.begin()
            task.watched = [*task.watched, watched]
        else:
            task.idle = {**task.idle, ref: watched.live}
    return tasks


def run(tasks: Sequence[Task], minutes: int) -> None:
    for task in tasks:
        for _ in range(minutes):
            if all(each.is_forbidden or each.rollout.phase in ENDED for each in task.watched):
                break
            task.come()
        for each in task.watched:
            each.entries.clear()
            each.users._lines.clear()


def exposed(service: Watched) -> tuple[float, float]:
    """When the first users came to the candidate, and when no more did, in seconds."""
    shares = [(at, split.percent_of(service.candidate)) for at, split in service.platform.history]
    first = next((at for at, percent in shares if percent), None)
    if first is None:
        return 0.0, 0.0
    last = next(at for at, percent in shares if at > first and not percent)
    return tuple((at - service.platform.history[0][0]).total_seconds() for at in (first, last))  # type: ignore[return-value]


def hold_the_quota(tasks: Sequence[Task]) -> dict[str, int]:
    calls = [call for task in tasks for call in task.calls]
    most = {quota.name: most_in_a_minute(calls, quota) for quota in Quota}
    assert most["READS"] <= 600
    assert most["LOGS"] <= 60
    return most


@pytest.mark.timeout(300)
def test_bad_candidates_go_back_and_good_ones_get_all_traffic_within_the_quota() -> None:
    tasks = a_fleet(under_way=28, per_second=0.4)
    watched = {each.ref.service: each for task in tasks for each in task.watched}
    users, probes, forbidden = (watched[f"chat-{n}"] for n in (0, 1, 2))
    bad = [watched[f"chat-{n}"] for n in range(3, 9)]
    for each in (users, *bad):
        each.users.failing[each.candidate] = 0.5
    probes.prober.failing.add("http://candidate")
    forbidden.is_forbidden = True
    for task in tasks:  # one service of each task has a record that nobody can read
        ref, live = next(iter(task.idle.items()))
        task.idle = {**task.idle, ref: replace(live, annotations={RECORD_ANNOTATION: "{"})}
    run(tasks, 40)
    most = hold_the_quota(tasks)
    assert most["WRITES"] <= 60
    for each in (users, *bad):
        assert each.rollout.phase is Phase.ROLLED_BACK, each.rollout
        since, until = exposed(each)
        assert until - since <= 300, "a dozen runs a minute, and every second one fails"
    assert probes.rollout.phase is Phase.ROLLED_BACK
    assert exposed(probes) == (0, 0)
    good = [each for each in watched.values() if each not in (users, probes, forbidden, *bad)]
    assert {each.rollout.phase for each in good} == {Phase.PROMOTED}
    for task in tasks:
        names = sorted(ref.name for ref in (*task.idle, *(each.ref for each in task.watched)))
        for results in task.results:
            assert sorted(step.service for step in results) == names
            codes = Counter(step.code for step in results)
            assert codes[2] == 1, "the record that cannot be read"
            assert codes[3] == (forbidden in task.watched)


@pytest.mark.skipif("SPILLWAY_FLEET" not in os.environ, reason="minutes: make fleet")
@pytest.mark.timeout(1800)
def test_a_hundred_rollouts_at_once() -> None:
    """More than there are writes for in a minute: each gets a step every so many passes, and none is left out."""
    tasks = a_fleet(AT_ONCE, per_second=0.2)
    everybody = [each for task in tasks for each in task.watched]
    bad = everybody[::10]
    for each in bad:
        each.users.failing[each.candidate] = 0.5
    run(tasks, 6 * 60)
    most = hold_the_quota(tasks)
    rhythm = max(task.timing.rhythm(len(task.watched)) for task in tasks)
    took = {
        phase: sorted(each.steps[-1] for each in everybody if each.rollout.phase is phase) for phase in Phase
    }
    waits = max(after - before for each in everybody for before, after in pairwise(each.steps))
    back = sorted(until - since for since, until in map(exposed, bad))
    print(  # noqa: T201 - what the run is for
        f"most in a minute of the project: {most}; rhythm {rhythm}, longest wait for a step {waits:.0f}s\n"
        f"bad candidates sent back: {len(took[Phase.ROLLED_BACK])} of {len(bad)}, exposed median {back[len(back) // 2]:.0f}s, "
        f"most {back[-1]:.0f}s\ngood ones promoted: {len(took[Phase.PROMOTED])} of {AT_ONCE - len(bad)}, "
        f"last after {took[Phase.PROMOTED][-1] / 60:.0f}min"
    )
    assert {each.rollout.phase for each in bad} == {Phase.ROLLED_BACK}
    assert {each.rollout.phase for each in everybody if each not in bad} == {Phase.PROMOTED}
    assert waits <= 5 * rhythm.total_seconds(), "who has no users yet waits for who has, and not for ever"
    assert back[-1] <= 6 * rhythm.total_seconds()
