"""The same command again, another command meanwhile, and a second process."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.rollout import Phase
from pipeline.driving.restore import Cause, restore
from pipeline.errors import AnotherRunAlive, PlanRefused, PlatformError, PlatformUnavailable
from pipeline.model import RECORD_ANNOTATION, Outcome, Split, Target
from tests.fakes import REF
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages


def test_the_same_command_after_the_end_answers_the_old_outcome() -> None:
    scene = Scene()
    scene.prober.failing.add("http://candidate")
    scene.roll()
    writes = len(scene.platform.writes)
    assert scene.start() is Outcome.STOPPED_AT_ZERO
    assert len(scene.platform.writes) == writes


def test_retry_is_the_next_attempt_of_the_same_revision() -> None:
    scene = Scene()
    scene.prober.failing.add("http://candidate")
    scene.roll()
    scene.prober.failing.clear()
    assert scene.roll(retry=True) is Outcome.PROMOTED
    assert scene.rollout.attempt == 2
    assert scene.deployer.deployed == [CANDIDATE]


def test_a_second_run_ends_while_the_first_lives() -> None:
    scene = Scene()
    first, second = scene.engine("host/1"), scene.engine("host/2")
    scene.start(engine=first)
    for _ in range(3):
        first.tick()

    def beat() -> None:
        live = scene.live
        current = record.decode(live.record_text or "")
        text = record.encode(
            replace(current, epoch=current.epoch + 1, heartbeat=record.utc(scene.clock.now()))
        )
        scene.platform.foreign_write(annotations={**live.annotations, RECORD_ANNOTATION: text})

    scene.clock.at(
        (scene.clock.now() - scene.live.update_time).total_seconds() if scene.live.update_time else 5, beat
    )
    with pytest.raises(AnotherRunAlive):
        scene.start(engine=second)


def test_a_silent_driver_is_taken_over() -> None:
    scene = Scene()
    scene.start(engine=scene.engine("host/1"))
    assert scene.roll(engine=scene.engine("host/2")) is Outcome.PROMOTED
    assert any("taking over" in line for line in scene.said)


def test_another_digest_is_refused_and_may_supersede() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    other = a_wish("agent-chat-other")
    with pytest.raises(PlanRefused, match="--supersede"):
        scene.start(other)
    assert scene.roll(other, supersede=True) is Outcome.PROMOTED
    assert scene.live.serving.serving == {"agent-chat-other": 100}
    assert scene.rollout.plan.stable == STABLE


def test_superseded_is_told_to_the_driver_of_the_first() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.start(a_wish("agent-chat-other"), scene.engine("host/2"), supersede=True)
    assert scene.driver.run() is Outcome.SUPERSEDED
    assert scene.driver.candidate == CANDIDATE


def test_watching_another_driver_ends_when_told_to_stop() -> None:
    scene = Scene()
    scene.start(engine=scene.engine("host/1"))
    second = scene.engine("host/2")
    second.stop = lambda: True
    begun = scene.clock.now()
    assert scene.roll(engine=second) is Outcome.UNDER_WAY
    assert scene.clock.now() - begun < timedelta(seconds=3)


def test_the_driver_of_an_earlier_attempt_leaves_the_next_one_alone() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    restore(scene.platform, scene.clock, REF, Cause("felt wrong", "ada", by_hand=True))
    second = scene.engine("host/2")
    assert scene.start(engine=second, retry=True) is None
    assert scene.driver.tick().outcome is Outcome.SUPERSEDED
    assert scene.rollout.driver == "host/2"


def test_a_service_that_does_not_answer_is_not_one_that_does_not_exist() -> None:
    scene = Scene()
    scene.platform.fail = [PlatformUnavailable("503")]
    with pytest.raises(PlatformUnavailable):
        scene.start()
    assert not scene.deployer.deployed
    assert not scene.platform.writes


def test_somebody_elses_tag_is_taken_only_when_asked() -> None:
    scene = Scene()
    scene.platform.add("theirs")
    scene.platform.known["theirs"] = replace(scene.platform.known["theirs"], nonce="")
    theirs = Split((Target(STABLE, 100), Target("theirs", 0, "candidate")))
    scene.platform.foreign_write(split=theirs)
    with pytest.raises(PlanRefused, match="the tag 'candidate' is somebody else's") as told:
        scene.start()
    assert "--take-tags" in told.value.fix
    assert scene.live.wanted == theirs
    assert scene.roll(take_tags=True) is Outcome.PROMOTED


def test_a_heartbeat_that_comes_with_a_slow_read_is_seen() -> None:
    scene = Scene()
    scene.start(engine=scene.driver)
    second, reads = scene.engine("host/2"), iter(range(100))

    def slow(call: str) -> None:
        if (
            call == "before read" and next(reads) == 1
        ):  # the first look of the watch takes longer than the period
            scene.clock.sleep(second.rhythm.heartbeat * 2)
        elif call == "after read":
            scene.platform.at_boundary = lambda _: None
            scene.driver.tick()
            scene.platform.at_boundary = slow

    scene.platform.at_boundary = slow
    with pytest.raises(AnotherRunAlive):
        scene.start(engine=second)


def test_a_paused_rollout_has_no_driver_to_be_watched() -> None:
    scene = Scene()
    assert scene.roll(a_wish(stages=stages(0, 5, 100, hold_at=5))) is Outcome.PAUSED
    begun = scene.clock.now()
    assert scene.start(a_wish(stages=stages(0, 5, 100, hold_at=5)), scene.engine("host/2")) is None
    assert scene.clock.now() == begun


def test_nothing_is_begun_before_the_superseded_candidate_gave_its_traffic_back() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.platform.lag = timedelta(minutes=10)
    with pytest.raises(PlatformError, match=f"traffic did not come back to {STABLE}"):
        scene.start(a_wish("agent-chat-other"), scene.engine("host/2"), supersede=True)
    assert scene.rollout.plan.candidate == CANDIDATE
    assert scene.rollout.phase is Phase.ROLLING_BACK


def test_what_was_superseded_is_answered_so() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.start(a_wish("agent-chat-other"), scene.engine("host/2"), supersede=True)
    assert [(p.candidate, p.outcome) for p in scene.rollout.past] == [(CANDIDATE, "superseded")]


def test_promoted_is_answered_once_it_is_read_back() -> None:
    scene = Scene()
    scene.roll()
    stable = Split((Target(STABLE, 100, "stable"), Target(CANDIDATE, 0, "candidate")))
    scene.platform.foreign_write(split=stable)
    scene.clock.sleep(timedelta(seconds=5))
    scene.platform.lag = timedelta(seconds=20)
    back = Split((Target(STABLE, 0, "stable"), Target(CANDIDATE, 100, "candidate")))
    scene.platform.foreign_write(split=back)
    assert scene.start() is Outcome.PROMOTED
    assert scene.platform.served().serving == {CANDIDATE: 100}
    scene.platform.foreign_write(split=stable)
    scene.clock.sleep(timedelta(seconds=25))
    scene.platform.lag = timedelta(minutes=10)
    scene.platform.foreign_write(split=back)
    assert scene.start() is Outcome.UNDER_WAY


def test_what_moves_traffic_away_while_it_is_read_back_is_seen() -> None:
    scene = Scene()
    scene.roll()
    reads = iter(range(10))

    def edit(name: str) -> None:
        if name == "after read" and next(reads) == 0:
            scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 20))

    scene.platform.at_boundary = edit
    assert scene.start() is not Outcome.PROMOTED
