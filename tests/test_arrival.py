"""A stage begins when its traffic is seen to be served: soak, deadline, users' runs and probe rounds count from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from pipeline.core.rollout import Event, Phase
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.promote import promote
from pipeline.errors import PlatformUnavailable
from pipeline.judging import judge
from pipeline.judging.judgement import Verdict
from pipeline.model import Outcome, Split, Target
from pipeline.view.panel import upcoming
from tests.fakes import REF, SlowProber
from tests.rollouts import CANDIDATE, SCENARIO, SECOND, STABLE, Scene, a_wish
from tests.test_engine_kept import runs_between

METRIC = "agent_completed"
SOAK = 20 * SECOND


def arrivals(scene: Scene) -> Iterator[tuple[int, datetime]]:
    """Stage and moment, while it is driven to its end."""
    seen: set[int] = set()
    outcome = None
    while outcome is None:
        current = scene.rollout
        if current.arrived and current.stage_index not in seen:
            seen.add(current.stage_index)
            yield current.stage_index, current.arrived
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
    while scene.rollout.stage_index == 2:
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
    assert (late.judge.probes.ok, late.situation.is_probed_now) == (0, False)
    busy(scene)
    scene.clock.sleep(3 * SECOND)
    assert scene.driver.observer.look().judge.probes.ok == 2


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
    while not look.judge.probes.ok:
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
    scene.driver.observer.rounds.soon()
    look = scene.driver.observer.look()
    assert look.situation.live.serving.tagged("candidate") == before.tagged("candidate")
    assert look.situation.stage_verdict.verdict is not Verdict.FAIL
    assert len(scene.prober.rounds) == rounds
    assert scene.driver.run() is Outcome.PAUSED


# -- evidence around the arrival ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "outcome"), [(0, Outcome.PROMOTED), (12, Outcome.PROMOTED), (30, Outcome.PROMOTED)]
)
def test_a_status_that_lags_eats_no_warm_up(lag: int, outcome: Outcome) -> None:
    scene = Scene()
    wish = a_wish()
    wish = replace(
        wish, terms=replace(wish.terms, sampling=replace(wish.terms.sampling, warm_up=10 * SECOND))
    )
    scene.reach(5, wish=wish)
    scene.platform.lag = lag * SECOND
    while scene.rollout.stage_index == 1:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    served = scene.rollout.since + lag * SECOND
    scene.users.cold_until[CANDIDATE] = served + 5 * SECOND
    assert scene.driver.run() is outcome


def test_users_are_not_left_to_fail_for_as_long_as_a_status_takes() -> None:
    """There is a warm-up, and nobody ever sees the split: a minute is what a split may take to be served."""
    scene = Scene()
    wish = a_wish()
    wish = replace(
        wish, terms=replace(wish.terms, sampling=replace(wish.terms.sampling, warm_up=10 * SECOND))
    )
    scene.reach(5, wish=wish)
    scene.platform.hangs = "somebody-elses"
    look = scene.driver.observer.look()
    scene.driver.enter(look, 2, Event.RAISED)
    entered = scene.clock.now()
    scene.users.failing[CANDIDATE] = 1.0
    while scene.rollout.phase is Phase.ROLLING:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    assert scene.rollout.phase is Phase.ROLLING_BACK
    assert 60 * SECOND < scene.clock.now() - entered < 90 * SECOND


def test_stages_that_are_skipped_fast_lose_no_run() -> None:
    """The last blocks of a split close later than an operator may leave the next one."""
    scene = Scene()
    scene.reach(25)
    while scene.rollout.stage_index == 2:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    assert scene.rollout.spans
    promote(scene.driver, scene.clock, to_percent=100, reason="it is late", by="ada")
    assert [span.percent for span in scene.rollout.spans] == [25]
    assert scene.driver.run() is Outcome.PROMOTED
    begin = next(step.at for step in scene.rollout.history if step.percent == 5)
    current = scene.rollout
    end = current.since + (current.judge.seen[1] + 1) * current.plan.terms.sampling.block
    assert current.judge.seen[0] == current.split_epoch
    assert current.judge.total[METRIC].candidate_trials == runs_between(scene, begin, end)


@pytest.mark.parametrize("hops", [2, 3])
def test_spans_that_are_still_open_are_kept_and_judged_ones_are_not(hops: int) -> None:
    scene = Scene()
    scene.reach(5)
    scene.clock.sleep(3 * SECOND)
    for stage in (2, 3, 2)[:hops]:
        scene.driver.enter(scene.driver.observer.look(), stage, Event.RAISED)
        scene.clock.sleep(SECOND / 2)
    assert [span.percent for span in scene.rollout.spans] == [5, 25, 100][:hops]
    scene.clock.sleep(30 * SECOND)
    scene.driver.tick()
    scene.driver.enter(scene.driver.observer.look(), 3, Event.RAISED)
    assert [span.percent for span in scene.rollout.spans] == [
        scene.rollout.plan.terms.stages[(2, 3, 2)[hops - 1]].percent
    ]


def test_a_round_whose_write_was_answered_to_nobody_is_counted_once() -> None:
    scene = Scene()
    scene.users.per_second = 0.01  # nothing moves it on
    scene.reach(5)
    held = len(scene.prober.rounds)
    while len(scene.prober.rounds) < held + 8:
        scene.platform.answer_lost = True
        with suppress(PlatformUnavailable):
            scene.driver.tick()
        scene.clock.sleep(SECOND)
    scene.platform.answer_lost = False
    assert scene.driver.observer.look().judge.probes.ok <= 2 * len(scene.prober.rounds[held:])


def test_harmless_writes_that_were_each_looked_at_stop_no_step_while_traffic_moves() -> None:
    scene = Scene()
    scene.platform.lag = 15 * SECOND
    scene.reach(5)
    while scene.rollout.stage_index == 1:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    for _ in range(2):
        scene.clock.sleep(5 * SECOND)
        scene.platform.foreign_write(labels={"team": str(scene.clock.seconds)})
        scene.clock.sleep(SECOND)
        scene.engine(f"tick/{scene.clock.seconds}").tick()
    while scene.rollout.arrived is None:
        assert scene.rollout.phase is Phase.ROLLING, scene.rollout.reason
        scene.clock.sleep(SECOND)
        scene.engine(f"tick/{scene.clock.seconds}").tick()
    assert scene.driver.run() is Outcome.PROMOTED


class _Ahead:
    """A clock that is an hour ahead."""

    def __init__(self, scene: Scene) -> None:
        self.true = scene.clock

    def now(self) -> datetime:
        return self.true.now() + timedelta(hours=1)

    def sleep(self, duration: timedelta) -> None:
        self.true.sleep(duration)


def test_two_machines_whose_hours_differ_come_to_an_end() -> None:
    scene = Scene()
    scene.start()
    world = replace(scene.world, clock=_Ahead(scene))
    begun = scene.clock.now()
    while scene.rollout.phase is not Phase.PAUSED:
        scene.engine("one/1").tick()
        Engine(Observer(REF, world, (SCENARIO,)), world, driver="two/2").tick()
        scene.clock.sleep(2 * SECOND)
        assert scene.clock.now() - begun < timedelta(minutes=10)
    assert "clocks" in scene.rollout.reason


def test_what_comes_next_is_told_while_traffic_moves() -> None:
    scene = Scene()
    scene.platform.lag = 15 * SECOND
    scene.reach(5)
    while scene.rollout.stage_index == 1:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    assert upcoming(scene.rollout, scene.clock.now()) == "25% served: traffic is moving"
