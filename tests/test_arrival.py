"""A stage begins when its traffic is seen to be served: soak, deadline, users' runs and probe rounds count from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pipeline.core.rollout import Event, Phase
from pipeline.judging import judge
from pipeline.judging.judge import Verdict
from pipeline.model import Outcome, Split, Target
from tests.fakes import SlowProber
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene

METRIC = "agent_completed"
SOAK = 20 * SECOND


def arrivals(scene: Scene) -> Iterator[tuple[int, datetime]]:
    """Stage and moment, while it is driven to its end."""
    seen: set[int] = set()
    outcome = None
    while outcome is None:
        current = scene.rollout
        if current.arrived and current.stage not in seen:
            seen.add(current.stage)
            yield current.stage, current.arrived
        upcoming = scene.driver.tick()
        outcome = upcoming.outcome
        scene.clock.sleep(max(upcoming.at - scene.clock.now(), SECOND))


def raised_at(scene: Scene) -> list[datetime]:
    """When each share was asked for, the first deployment of the candidate aside, and when it was promoted."""
    events = (Event.RAISED, Event.PROMOTED)
    return [step.at for step in scene.rollout.history if step.event in events]


@pytest.mark.parametrize("lag", [0, 5, 30])
def test_a_status_that_lags_eats_no_soak(lag: int) -> None:
    scene = Scene()
    scene.platform.lag = lag * SECOND
    scene.start(engine=scene.driver)
    begun = dict(arrivals(scene))
    assert scene.rollout.phase is Phase.PROMOTED
    asked = raised_at(scene)
    for stage in (1, 2, 3):
        assert begun[stage] - asked[stage - 1] >= lag * SECOND
        assert asked[stage] - begun[stage] >= SOAK


def test_a_write_that_stalls_eats_no_soak() -> None:
    scene = Scene()
    scene.reach(5)
    stalls = iter([90 * SECOND])
    scene.platform.before_write = lambda: scene.clock.sleep(next(stalls, timedelta(0)))
    begun = dict(arrivals(scene))
    assert scene.rollout.phase is Phase.PROMOTED
    for stage, later in zip((1, 2, 3), raised_at(scene)[1:], strict=True):
        assert later - begun[stage] >= SOAK


def test_users_whom_a_moving_split_sent_to_the_candidate_count_for_the_rollout_alone() -> None:
    scene = Scene()
    scene.platform.lag = 10 * SECOND
    scene.reach(25)
    current = scene.rollout
    assert current.arrived is not None
    assert current.arrived - current.since >= 10 * SECOND
    scene.clock.sleep(6 * SECOND)
    look = scene.driver.observer.look()
    runs = look.judge.stage[METRIC].candidate_trials
    assert 0 < runs <= 6 * scene.users.per_second
    assert look.judge.total[METRIC].candidate_trials > runs


def test_users_who_fail_while_traffic_is_moving_send_it_back() -> None:
    """What begins late is the stage, not the judge."""
    scene = Scene()
    scene.reach(25)
    scene.platform.lag = 10 * SECOND
    while scene.rollout.stage == 2:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    scene.users.failing[CANDIDATE] = 1.0
    while scene.rollout.arrived is None and scene.rollout.phase is Phase.ROLLING:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    assert scene.rollout.phase is Phase.ROLLING_BACK


def busy(scene: Scene) -> None:
    """Look until a round is under way."""
    while not scene.prober.is_busy:
        look_on(scene)


def look_on(scene: Scene) -> None:
    scene.clock.sleep(SECOND)
    scene.driver.observer.look()


@pytest.mark.parametrize("is_moving", [False, True], ids=["at the share before", "while traffic is moving"])
def test_a_round_that_began_before_traffic_arrived_vouches_for_nothing(*, is_moving: bool) -> None:
    scene = Scene()
    scene.prober = SlowProber(scene.clock)
    scene.reach(5)
    while scene.prober.is_busy is is_moving:
        look_on(scene)
    scene.driver.enter(scene.driver.observer.look(), 2, Event.RAISED)
    busy(scene)
    scene.driver.commit(scene.live, replace(scene.rollout, arrived=scene.clock.now()))
    scene.clock.sleep(3 * SECOND)
    late = scene.driver.observer.look()
    assert late.probe is not None
    assert (late.judge.probes_ok, late.situation.is_probed_now) == (0, False)
    busy(scene)
    scene.clock.sleep(3 * SECOND)
    assert scene.driver.observer.look().judge.probes_ok == 2


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_whether_a_round_is_fresh_depends_on_no_clock(ahead: int) -> None:
    """Another process, with another hour, wrote when the stage began."""
    scene = Scene()
    scene.prober = SlowProber(scene.clock)
    scene.reach(5)
    busy(scene)
    written = scene.clock.now()
    other = replace(
        scene.rollout, arrived=written + ahead * SECOND, judge=judge.new_stage(scene.rollout.judge)
    )
    scene.driver.commit(scene.live, other)
    look = scene.driver.observer.look()
    while not look.judge.probes_ok:
        assert scene.clock.now() - written < 20 * SECOND
        scene.clock.sleep(SECOND)
        look = scene.driver.observer.look()
    assert look.probe is not None
    assert look.probe.started >= written


OURS = Split((Target(STABLE, 95, "stable"), Target(CANDIDATE, 5, "candidate")))
THEIRS = Split((Target(STABLE, 95, "stable"), Target(CANDIDATE, 5), Target(STABLE, 0, "candidate")))


@pytest.mark.parametrize(("before", "after"), [(OURS, THEIRS), (THEIRS, OURS)], ids=["away", "back"])
def test_a_tag_that_is_being_moved_is_not_probed(before: Split, after: Split) -> None:
    """The status shows the old place, and during the round its address may lead to the new one."""
    scene = Scene()
    scene.reach(5)
    scene.platform.foreign_write(split=before)
    scene.platform.lag = 10 * SECOND
    scene.platform.foreign_write(split=after)
    rounds = len(scene.prober.rounds)
    scene.prober.failing.add("http://candidate")
    scene.driver.observer.probe_soon()
    look = scene.driver.observer.look()
    assert look.situation.live.serving.tagged("candidate") == before.tagged("candidate")
    assert look.situation.stage_verdict.verdict is not Verdict.FAIL
    assert len(scene.prober.rounds) == rounds
    assert scene.driver.run() is Outcome.PAUSED
