"""The engine: faults that pass, and faults that do not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from pipeline.core.rollout import Phase
from pipeline.driving.engine import Engine
from pipeline.driving.pace import Rhythm
from pipeline.errors import AnotherRunAlive, PlanRefused, PlatformUnavailable
from pipeline.model import RECORD_ANNOTATION, LiveService, Outcome, Split, Target
from pipeline.view.panel import upcoming
from tests.rollouts import CANDIDATE, STABLE, Scene


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
