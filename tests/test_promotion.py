"""What an operator does by hand to a rollout: let it go on, or skip ahead."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.driving.promote import promote
from pipeline.errors import PlanRefused, UserError
from pipeline.model import Outcome, Readiness, Split, Target
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages


def test_a_held_stage_waits_for_promote_and_goes_on() -> None:
    scene = Scene()
    wish = a_wish(stages=stages(0, 5, 25, 100, hold_at=25))
    engine = scene.engine()
    assert scene.roll(wish, engine) is Outcome.PAUSED
    assert scene.live.serving.percent_of(CANDIDATE) == 25
    promote(engine, scene.clock, to_percent=None, reason="looked at it", by="ada")
    assert engine.run() is Outcome.PROMOTED
    assert any(step.by == "ada" for step in scene.rollout.history)


def test_promote_never_goes_past_a_fail() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    scene.users.failing[CANDIDATE] = 1.0
    scene.clock.sleep(timedelta(seconds=30))
    with pytest.raises(PlanRefused, match="is not promoted past that"):
        promote(engine, scene.clock, to_percent=100, reason="hurry", by="ada")
    assert scene.live.serving.percent_of(CANDIDATE) == 5


def test_skipping_ahead_needs_a_reason() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    with pytest.raises(UserError, match="needs a reason"):
        promote(engine, scene.clock, to_percent=100, reason="", by="ada")
    promote(engine, scene.clock, to_percent=100, reason="checked by hand", by="ada")
    assert scene.live.serving.percent_of(CANDIDATE) == 100


def test_going_on_without_a_stable_that_answers_needs_a_reason() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.prober.failing.add("http://stable")
    scene.driver.run()
    with pytest.raises(PlanRefused, match=f"{STABLE} fails its probe") as told:
        promote(scene.driver, scene.clock, to_percent=None, reason="", by="ada")
    assert "--reason" in told.value.fix
    promote(scene.driver, scene.clock, to_percent=100, reason="stable is what we leave", by="ada")
    assert scene.driver.run() is Outcome.PROMOTED


def test_promoting_what_has_ended_is_refused() -> None:
    scene = Scene()
    scene.roll()
    with pytest.raises(PlanRefused, match=f"{CANDIDATE} has ended: promoted") as told:
        promote(scene.driver, scene.clock, to_percent=None, reason="", by="ada")
    assert told.value.exit_code == 2


def test_a_rollout_paused_while_deploying_for_a_foreign_split_goes_on_from_stable() -> None:
    scene = Scene()
    scene.deployer.readiness = Readiness.PENDING
    scene.start(engine=scene.driver)
    scene.driver.tick()
    scene.platform.add("theirs")
    scene.platform.foreign_write(split=Split((Target(STABLE, 50, "stable"), Target("theirs", 50))))
    assert scene.driver.run() is Outcome.PAUSED
    scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], readiness=Readiness.READY)
    promote(scene.driver, scene.clock, to_percent=None, reason="", by="ada")
    assert scene.driver.run() is Outcome.PROMOTED


def test_an_operator_who_has_seen_the_drift_ends_it() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 40))
    assert scene.driver.run() is Outcome.PAUSED
    promote(scene.driver, scene.clock, to_percent=None, reason="that was me", by="ada")
    assert scene.rollout.drift == ""
    assert scene.live.wanted.percent_of(CANDIDATE) == 5  # the stage of before, not somebody's share
    assert scene.driver.run() is Outcome.PROMOTED


@pytest.mark.parametrize("name", [STABLE, CANDIDATE])
@pytest.mark.parametrize("readiness", [Readiness.PENDING, Readiness.FAILED, None])
def test_nobody_is_moved_while_one_of_the_two_is_not_ready(name: str, readiness: Readiness | None) -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    if readiness is None:
        del scene.platform.known[name]
    else:
        scene.platform.known[name] = replace(scene.platform.known[name], readiness=readiness)
    with pytest.raises(PlanRefused, match=f"{name} is {readiness or 'gone'}"):
        promote(scene.driver, scene.clock, to_percent=100, reason="hurry", by="ada")
    assert scene.live.wanted.percent_of(CANDIDATE) == 5


def test_promoting_what_rolls_along_begins_nothing_anew() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    before = scene.rollout
    promote(scene.driver, scene.clock, to_percent=5, reason="go on", by="ada")
    assert (scene.rollout.since, scene.rollout.split_epoch) == (before.since, before.split_epoch)


def test_stable_is_probed_for_the_operator_and_not_long_before() -> None:
    scene = Scene()
    scene.reach(5, scene.driver)
    scene.driver.observer.look()
    scene.prober.failing.add("http://stable")  # since the last round
    with pytest.raises(PlanRefused, match=f"{STABLE} fails its probe"):
        promote(scene.driver, scene.clock, to_percent=None, reason="", by="ada")
