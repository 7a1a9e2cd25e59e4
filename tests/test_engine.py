"""The engine on virtual time: good and bad candidates, kills, rivals, drift, lost answers, operators."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.rollout import Phase
from pipeline.driving.begin import Start
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.errors import PlatformUnavailable
from pipeline.events import RolloutEvent
from pipeline.judging.judgement import Verdict
from pipeline.judging.terms import Probing
from pipeline.model import RECORD_ANNOTATION, Outcome, Readiness, Split, Target
from pipeline.probe.conversation import Kind
from tests.fakes import REF, FakePlatform, SlowProber
from tests.rollouts import CANDIDATE, SCENARIO, STABLE, Scene, a_wish, stages


def test_a_good_candidate_goes_through_every_stage() -> None:
    scene = Scene()
    assert scene.roll() is Outcome.PROMOTED
    assert scene.shares == [0, 0, 0, 5, 25, 100]
    assert scene.live.serving.serving == {CANDIDATE: 100}
    assert scene.live.wanted.tagged("stable") == STABLE  # where a roll-back would go
    assert scene.rollout.phase is Phase.PROMOTED


def test_a_candidate_that_fails_its_probe_never_gets_a_user() -> None:
    scene = Scene()
    scene.prober.failing.add("http://candidate")
    assert scene.roll() is Outcome.STOPPED_AT_ZERO
    assert max(scene.shares) == 0
    assert scene.rollout.reached == 0


def test_a_probe_that_fails_on_both_is_our_network_and_stops_nothing_and_raises_nothing() -> None:
    scene = Scene()
    scene.prober.failing |= {"http://candidate", "http://stable"}
    assert scene.roll() is Outcome.PAUSED
    assert max(scene.shares) == 0
    assert "against stable too" in scene.rollout.reason


def test_conversations_that_cannot_be_held_stop_nothing_and_raise_nothing() -> None:
    scene = Scene()
    scene.prober.unspoken_after |= {"http://candidate": 0, "http://stable": 0}
    assert scene.roll() is Outcome.PAUSED
    assert max(scene.shares) == 0
    assert "a conversation cannot be held: framing a:B failed in decode: KeyError" in scene.rollout.reason


def test_conversations_that_cannot_be_held_keep_no_user_on_what_fails() -> None:
    scene = Scene()
    scene.prober.unspoken_after |= {"http://candidate": 8, "http://stable": 4}
    scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is Outcome.ROLLED_BACK
    assert scene.prober.held["http://candidate"] > 8
    assert "probe" not in scene.rollout.reason


def test_a_candidate_that_fails_under_traffic_is_sent_back() -> None:
    scene = Scene()
    scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is Outcome.ROLLED_BACK
    assert scene.live.serving.serving == {STABLE: 100}
    assert scene.shares[-1] == 0
    assert 0 < max(scene.shares) < 100
    assert scene.rollout.reached == max(scene.shares)


def test_a_common_incident_raises_nothing_and_sends_nothing_back() -> None:
    scene = Scene()
    scene.users.failing |= {CANDIDATE: 0.4, STABLE: 0.4}
    outcome = scene.roll(a_wish(stages=stages(0, 5, 100)))
    assert outcome is Outcome.PAUSED
    assert scene.live.serving.percent_of(CANDIDATE) == 5


@pytest.mark.parametrize("kind", [Kind.CLOSED_EARLY, Kind.TIMED_OUT])
def test_an_incident_that_breaks_everything_at_100_calls_a_human(kind: Kind) -> None:
    """Stable has no users there who would show it; its tag answers no better, so there is nothing to go back to."""
    scene = Scene()
    scene.reach(100)
    scene.users.failing |= {CANDIDATE: 1.0, STABLE: 1.0}
    scene.prober.failing, scene.prober.failing_by = {"http://candidate", "http://stable"}, kind
    assert scene.driver.run(until=scene.clock.now() + timedelta(hours=2)) is Outcome.PAUSED
    assert scene.live.serving.serving == {CANDIDATE: 100}
    assert f"not sent back: {STABLE} fails its probe too" in scene.rollout.reason


@pytest.mark.parametrize("failing", [{"http://candidate"}, set()])
def test_what_breaks_at_100_while_stable_answers_is_sent_back(failing: set[str]) -> None:
    scene = Scene()
    scene.reach(100)
    scene.users.failing[CANDIDATE] = 1.0
    scene.prober.failing, scene.prober.failing_by = failing, Kind.TIMED_OUT
    assert scene.driver.run(until=scene.clock.now() + timedelta(hours=2)) is Outcome.ROLLED_BACK


def test_no_logs_is_neither_good_nor_bad() -> None:
    scene = Scene()
    scene.users.unreadable = True
    assert scene.roll() is Outcome.PAUSED
    assert scene.live.serving.percent_of(CANDIDATE) == 5
    assert "logs cannot be read" in scene.rollout.reason


def test_no_users_is_no_pass() -> None:
    scene = Scene()
    scene.users.per_second = 0.01
    assert scene.roll() is Outcome.PAUSED
    assert scene.live.serving.percent_of(CANDIDATE) == 5


def test_a_candidate_that_never_gets_ready_stays_at_zero() -> None:
    scene = Scene()
    scene.deployer.readiness, scene.deployer.message = Readiness.FAILED, "exited with 1: no module named x"
    assert scene.roll() is Outcome.STOPPED_AT_ZERO
    assert "no module named x" in scene.rollout.reason
    assert scene.live.serving.serving == {STABLE: 100}


def _kill_before(platform: FakePlatform, number: int) -> None:
    count = iter(range(number + 1))

    def die() -> None:
        if next(count, None) == number:
            raise KeyboardInterrupt

    platform.before_write = die


@pytest.mark.parametrize("number", range(12))
def test_killed_before_any_write_the_same_command_comes_to_the_same_end(number: int) -> None:
    scene = Scene()
    _kill_before(scene.platform, number)
    try:
        outcome = scene.roll(engine=scene.engine("host/1"))
    except KeyboardInterrupt:
        scene.platform.before_write = lambda: None
        outcome = scene.roll(engine=scene.engine("host/2"))
    assert outcome is Outcome.PROMOTED
    assert scene.deployer.deployed == [CANDIDATE]
    assert [s for s in scene.shares if s] == [5, 25, 100]


@pytest.mark.parametrize("number", range(1, 8))
def test_a_lost_answer_is_settled_by_looking(number: int) -> None:
    scene = Scene()
    writes = iter(range(1, 100))

    def lose() -> None:
        scene.platform.answer_lost = next(writes) == number

    scene.platform.before_write = lose
    engine = scene.engine()
    try:
        outcome = scene.roll(engine=engine)
    except PlatformUnavailable:  # the very first write has no record to come back to: the same command again
        outcome = scene.roll(engine=engine)
    assert outcome is Outcome.PROMOTED
    assert [s for s in scene.shares if s] == [5, 25, 100]


def test_a_stable_revision_that_is_gone_pauses() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    del scene.platform.known[STABLE]
    assert engine.run() is Outcome.PAUSED
    assert f"{STABLE} is gone" in scene.rollout.reason


def test_foreign_tags_survive_every_shift() -> None:
    scene = Scene()
    scene.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, "green"))))
    assert scene.roll() is Outcome.PROMOTED
    assert scene.live.wanted.tagged("green") == STABLE


def test_a_stable_that_hangs_stops_every_raise_and_calls_a_human() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.prober.failing.add("http://stable")
    assert scene.driver.run() is Outcome.PAUSED
    assert scene.live.wanted.percent_of(CANDIDATE) == 5
    assert f"{STABLE} fails its probe" in scene.rollout.reason


def test_right_before_each_raise_both_are_probed() -> None:
    scene = Scene()
    scene.start(a_wish(probing=Probing(timedelta(hours=1), 2, 2)), scene.driver)
    ended = 0
    while not ended:
        rounds, share = len(scene.prober.rounds), scene.live.wanted.percent_of(CANDIDATE)
        upcoming = scene.driver.tick()
        if scene.live.wanted.percent_of(CANDIDATE) > share:
            assert len(scene.prober.rounds) == rounds + 1, "the look that raised held a round of its own"
        scene.clock.sleep(max(upcoming.at - scene.clock.now(), timedelta(seconds=1)))
        ended = upcoming.outcome is not None
    assert scene.rollout.phase is Phase.PROMOTED


def test_a_fail_that_met_a_conflict_is_still_a_fail() -> None:
    """The bound is on ever reaching it: blocks that come later take nothing back."""
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.users.failing[CANDIDATE] = 1.0
    while scene.driver.observer.look().situation.stage_verdict.verdict is not Verdict.FAIL:
        scene.clock.sleep(timedelta(seconds=1))
    scene.users.failing.clear()
    scene.clock.sleep(timedelta(minutes=4))
    assert scene.driver.observer.look().situation.stage_verdict.verdict is Verdict.FAIL
    assert scene.driver.run() is Outcome.ROLLED_BACK


def test_a_listener_that_fails_stops_nothing() -> None:
    def broken(_: RolloutEvent) -> None:
        raise BrokenPipeError

    scene = Scene()
    scene.users.failing[CANDIDATE] = 0.5
    observer = Observer(REF, scene.world, (SCENARIO,), listen=broken)
    engine = Engine(
        observer, scene.world, driver="host/1", listen=broken, rhythm=Rhythm(look=timedelta(seconds=1))
    )
    assert scene.roll(engine=engine) is Outcome.ROLLED_BACK
    assert scene.live.serving.serving == {STABLE: 100}


def test_a_candidate_that_starts_slowly_is_looked_at_and_heartbeats_go_on() -> None:
    scene = Scene()
    scene.deployer.readiness = Readiness.PENDING

    def get_ready() -> None:
        scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], readiness=Readiness.READY)

    scene.clock.at(90, get_ready)
    assert scene.roll() is Outcome.PROMOTED
    beats = [
        p for p in scene.told if p.kind == "wrote" and p.at < scene.rollout.started + timedelta(seconds=90)
    ]
    assert len(beats) >= 1 + 3


def test_told_to_stop_it_ends_at_once_and_keeps_the_state() -> None:
    scene = Scene()
    scene.deployer.readiness = Readiness.PENDING
    begun = scene.clock.now()
    engine = scene.engine()
    engine.stop = lambda: scene.clock.now() - begun > timedelta(seconds=5)
    assert scene.roll(engine=engine) is Outcome.UNDER_WAY
    assert scene.clock.now() - begun < timedelta(seconds=8)


def test_a_start_that_lies_in_the_future_neither_stands_still_nor_pauses() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    later = record.utc(scene.clock.now() + timedelta(hours=3))
    text = record.encode(replace(scene.rollout, since=later, heartbeat=later))
    scene.platform.live = replace(scene.live, annotations={RECORD_ANNOTATION: text})
    begun = scene.clock.now()
    assert scene.roll(engine=scene.engine("host/2")) is Outcome.PROMOTED
    assert scene.clock.now() - begun < timedelta(minutes=10)


def test_a_slow_round_before_a_raise_is_waited_for_and_not_asked_for_without_a_pause() -> None:
    scene = Scene()
    scene.prober = SlowProber(scene.clock)
    calls: list[str] = []
    scene.platform.at_boundary = calls.append
    engine = Engine(scene.driver.observer, scene.world, driver="host/1")  # looks four times a second
    begun = scene.clock.now()
    assert scene.roll(engine=engine) is Outcome.PROMOTED
    assert calls.count("before read") <= 5 * (scene.clock.now() - begun).total_seconds()


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "no space"), ValueError("closed")]
)
def test_who_cannot_be_told_does_not_stop_a_driver_that_takes_over(error: Exception) -> None:
    scene = Scene()
    scene.start(engine=scene.engine("host/1"))

    def say(text: str) -> None:
        raise error

    second = scene.engine("host/2")
    assert Start(second, scene.world, a_wish(), say=say)() is None
    assert second.run() is Outcome.PROMOTED
