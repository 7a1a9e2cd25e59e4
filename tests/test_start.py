"""The same command again, another command meanwhile, and a second process."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline import record
from pipeline.errors import AnotherRunAlive, PlanRefused
from pipeline.model import RECORD_ANNOTATION, Outcome
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish


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
