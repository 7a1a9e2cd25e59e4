"""The engine on virtual time: good and bad candidates, kills, rivals, drift, lost answers, operators."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pipeline.core import record
from pipeline.core.rollout import Phase
from pipeline.driving.begin import Start
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.driving.promote import promote
from pipeline.errors import AnotherRunAlive, PlanRefused, PlatformUnavailable
from pipeline.events import RolloutEvent
from pipeline.judging.judgement import Verdict
from pipeline.judging.terms import Probing
from pipeline.model import RECORD_ANNOTATION, LiveService, Outcome, Readiness, Split, Target
from pipeline.probe.conversation import Kind
from pipeline.probe.probe_report import ProbeReport
from pipeline.view.panel import upcoming
from tests.fakes import REF, FakePlatform, FakeProber, SlowProber
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


# -- what is kept, and what is not taken over --------------------------------------------------------------------------

METRIC = "server_error_1011"


def runs_between(scene: Scene, begin: datetime, end: datetime) -> int:
    """Agent runs of users that began on the candidate."""
    lines = scene.users.lines(REF, since=begin, revisions=(CANDIDATE,))
    started = [line.payload["started"] for line in lines if line.payload.get("event") == "agent_run"]
    return sum(begin.timestamp() <= at < end.timestamp() for at in started)  # type: ignore[operator]


def test_every_users_run_on_the_candidate_is_judged_once() -> None:
    scene = Scene()
    assert scene.roll() is Outcome.PROMOTED
    state, plan = scene.rollout.judge, scene.rollout.plan
    begin = next(step.at for step in scene.rollout.history if step.percent == 5)
    assert state.seen[0] == scene.rollout.split_epoch
    end = scene.rollout.since + (state.seen[1] + 1) * plan.terms.sampling.block
    assert state.total[METRIC].candidate_trials == runs_between(scene, begin, end)
    whole = (
        scene.rollout.since + plan.terms.sampling.block
    )  # the block in which it arrived counts for the rollout alone
    assert state.stage[METRIC].candidate_trials == runs_between(scene, whole, end)


def test_a_heartbeat_keeps_what_was_seen_since_the_last_one() -> None:
    scene = Scene()
    scene.reach(5)
    while METRIC not in scene.rollout.judge.stage:
        scene.driver.tick()
        scene.clock.sleep(timedelta(seconds=1))
    assert scene.live.wanted.percent_of(CANDIDATE) == 5, "it was a heartbeat that wrote it"
    kept = scene.rollout.judge
    assert kept.probes.ok > 0
    assert kept.stage[METRIC].candidate_trials > 0
    scene.users.unreadable = True  # another process has the record alone
    assert scene.engine("host/2").observer.look(probe=False).judge == kept


def test_between_two_heartbeats_there_is_room_for_a_slow_look() -> None:
    """Another run watches for one whole period before it takes over."""
    scene = Scene()
    scene.users.per_second = 0.01  # nothing moves it on
    assert scene.roll() is Outcome.PAUSED
    beats = [p.at for p in scene.told if p.kind == "wrote"]
    longest = max(later - earlier for earlier, later in itertools.pairwise(beats))
    assert longest <= Rhythm().heartbeat / 2 + timedelta(seconds=2)


class _HangingProber(FakeProber):
    """From some moment on no round ends."""

    hangs = False

    @property
    def is_busy(self) -> bool:
        return self.hangs and self._done is not None

    def poll(self) -> ProbeReport | None:
        return None if self.hangs else super().poll()


def test_a_round_that_never_ends_keeps_no_driver_silent() -> None:
    scene = Scene()
    scene.prober = prober = _HangingProber(scene.clock)
    scene.reach(5)
    scene.driver.tick()
    prober.hangs = True
    begun = scene.clock.now()
    while scene.clock.now() - begun < timedelta(minutes=3):
        scene.driver.tick()
        scene.clock.sleep(timedelta(seconds=1))
        assert scene.clock.now() - scene.rollout.heartbeat < Rhythm().heartbeat + timedelta(seconds=5)


def test_a_pause_keeps_what_was_seen() -> None:
    scene = Scene()
    assert scene.roll(a_wish(stages=stages(0, 5, 100, hold_at=5))) is Outcome.PAUSED
    kept, sampling = scene.rollout.judge, scene.rollout.plan.terms.sampling
    assert kept.probes.ok > 0
    assert kept.stage[METRIC].candidate_trials >= 10
    decided = scene.rollout.heartbeat - sampling.within - sampling.lateness - scene.rollout.since
    assert kept.seen == (scene.rollout.split_epoch, decided // sampling.block - 1)


def test_a_candidate_that_was_made_again_inherits_no_evidence() -> None:
    scene = Scene()
    scene.reach(25)
    assert scene.rollout.judge.total[METRIC].candidate_trials > 0
    scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], uid="another")
    assert scene.driver.run() is Outcome.PAUSED
    promote(scene.driver, scene.clock, to_percent=None, reason="the new one is what we want", by="ada")
    assert scene.rollout.candidate_uid == "another"
    assert scene.rollout.judge.total == {}
    assert scene.rollout.spans == ()


def test_a_heartbeat_from_the_future_keeps_no_driver_silent() -> None:
    scene = Scene()
    scene.reach(5)
    later = record.utc(scene.clock.now() + timedelta(hours=3))
    text = record.encode(replace(scene.rollout, heartbeat=later))
    scene.platform.live = replace(scene.live, annotations={RECORD_ANNOTATION: text})
    for _ in range(3):
        scene.driver.tick()
        scene.clock.sleep(timedelta(seconds=1))
    assert scene.rollout.heartbeat <= scene.clock.now()


def test_a_roll_back_keeps_other_peoples_tags() -> None:
    scene = Scene()
    scene.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, "green"))))
    scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is Outcome.ROLLED_BACK
    assert scene.live.wanted.tagged("green") == STABLE
    assert scene.live.wanted.tagged("candidate") == CANDIDATE  # so that it can be looked at


# -- faults that pass, and faults that do not --------------------------------------------------------------------------


def patient(scene: Scene, seconds: float) -> Engine:
    scene.driver.rhythm = Rhythm(look=timedelta(seconds=1), patience=timedelta(seconds=seconds))
    return scene.driver


def test_a_rival_who_was_faster_is_no_end() -> None:
    scene = Scene()
    scene.reach(5)
    rivals = iter([True])
    scene.platform.before_write = lambda: next(rivals, False) and scene.platform.foreign_write()
    assert scene.driver.run() is Outcome.PROMOTED


def test_outages_apart_from_each_other_are_not_one_that_lasts() -> None:
    scene = Scene()
    patient(scene, seconds=30)
    for at in (10, 55):
        scene.clock.at(at, lambda: scene.platform.fail.append(PlatformUnavailable("503")))
    assert scene.roll(engine=scene.driver) is Outcome.PROMOTED
    assert sum(p.kind == "retrying" for p in scene.told) == 2


def test_an_outage_that_lasts_is_given_up_and_the_state_stays() -> None:
    scene = Scene()
    scene.reach(5, patient(scene, seconds=30))
    begun = scene.clock.now()
    scene.platform.fail = [PlatformUnavailable("503")] * 5000
    with pytest.raises(PlatformUnavailable):
        scene.driver.run(until=begun + timedelta(hours=1))
    assert timedelta(seconds=30) < scene.clock.now() - begun < timedelta(seconds=40)
    assert scene.live.wanted.percent_of(CANDIDATE) == 5


def test_what_a_driver_waits_for_is_on_the_service_for_onlookers() -> None:
    scene = Scene()
    scene.reach(5)
    scene.prober.failing.add("http://stable")
    scene.driver.run(until=scene.clock.now() + timedelta(minutes=2))
    assert f"{STABLE} fails its probe" in scene.rollout.waiting
    assert "fails its probe" in upcoming(scene.rollout, scene.clock.now())


@pytest.mark.parametrize("lag", [5, 21, 45])
def test_heartbeats_keep_no_write_unseen(lag: int) -> None:
    """Each write begins a generation of its own; a service that takes longer than a heartbeat to settle must get to it."""
    good = Scene()
    good.platform.lag = timedelta(seconds=lag)
    assert good.roll() is Outcome.PROMOTED
    bad = Scene()
    bad.platform.lag = timedelta(seconds=lag)
    bad.users.failing[CANDIDATE] = 0.6
    assert bad.roll() is Outcome.ROLLED_BACK
    assert bad.platform.served().serving == {STABLE: 100}


def test_a_driver_whose_write_is_on_its_way_is_not_taken_for_dead() -> None:
    scene = Scene()
    scene.platform.lag = timedelta(seconds=45)
    scene.start(engine=scene.driver)
    while scene.rollout.phase is Phase.DEPLOYING:
        scene.driver.tick()
    for beat in range(200):
        scene.clock.at(scene.clock.seconds + 1 + beat, scene.driver.tick)
    with pytest.raises(AnotherRunAlive):
        scene.start(engine=scene.engine("host/2"))


@pytest.mark.parametrize("share", [0, 10])
def test_what_is_undone_right_after_the_promotion_is_not_answered(share: int) -> None:
    """Between the write that promotes and the answer: exit 0 says that the wished image has the traffic."""
    scene = Scene()

    def undo(_: LiveService, __: str, annotations: Mapping[str, str], ___: Split | None) -> None:
        if '"phase":"promoted"' in annotations[RECORD_ANNOTATION]:
            targets = (Target(STABLE, 100 - share), *((Target(CANDIDATE, share),) if share else ()))
            scene.platform.foreign_write(split=Split(targets))

    scene.platform.on_write = undo
    with pytest.raises(PlanRefused, match="was promoted, and does not have the traffic"):
        scene.roll()
