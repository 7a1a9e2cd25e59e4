"""A rollout that is driven by single steps, from outside: many at once, by another file, after a long silence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.core.rollout import Phase
from pipeline.driving.acts import Next
from pipeline.driving.engine import Engine
from pipeline.driving.pace import USUAL
from pipeline.model import Outcome
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene

MINUTE = 60 * SECOND
SILENT = 15 * MINUTE
OTHER_FILE = "spillway.yaml is not as it was"


def a_step(scene: Scene, number: object = 0, raises_nothing: str = "") -> Next:
    """Of a process of its own, as the schedule starts it."""
    return a_watchdog(scene, number, raises_nothing).tick()


def a_watchdog(scene: Scene, number: object, raises_nothing: str = "") -> Engine:
    engine = scene.engine(f"watchdog/{number}")
    engine.rhythm = USUAL.of_a_watchdog(MINUTE, SILENT)
    engine.raises_nothing = raises_nothing
    return engine


@pytest.mark.parametrize(
    "boundary", ["before read", "after read", "before write", "after write", "after revisions"]
)
@pytest.mark.parametrize("beside", [1, 3])
def test_any_number_of_steps_at_once(boundary: str, beside: int) -> None:
    """At each call of one step, others are taken whole."""
    scene = Scene()
    scene.start()
    depth = 0

    def others(name: str) -> None:
        nonlocal depth
        if name != boundary or depth >= beside:
            return
        depth += 1
        try:
            a_step(scene, f"{depth} beside")
        finally:
            depth -= 1

    scene.platform.at_boundary = others
    for number in range(200):
        upcoming = a_step(scene, number)
        if upcoming.outcome:
            break
        scene.clock.sleep(max(upcoming.at - scene.clock.now(), SECOND))
    assert upcoming.outcome is Outcome.PROMOTED
    assert [share for share in scene.shares if share] == [5, 25, 100], "no stage twice, none skipped"
    assert scene.deployer.deployed == [CANDIDATE]


@pytest.mark.parametrize("boundary", ["after read", "before write"])
def test_any_number_of_steps_send_a_bad_one_back(boundary: str) -> None:
    scene = Scene()
    scene.reach(5)
    scene.users.failing[CANDIDATE] = 1.0
    is_nested = False

    def others(name: str) -> None:
        nonlocal is_nested
        if name == boundary and not is_nested:
            is_nested = True
            a_step(scene, "beside")
            is_nested = False

    scene.platform.at_boundary = others
    for number in range(100):
        upcoming = a_step(scene, number)
        if upcoming.outcome:
            break
        scene.clock.sleep(SECOND)
    assert upcoming.outcome is Outcome.ROLLED_BACK
    assert scene.live.serving.serving == {STABLE: 100}


def test_another_file_raises_nothing() -> None:
    scene = Scene()
    scene.reach(5)
    held = len(scene.prober.rounds)
    for number in range(60):
        upcoming = a_step(scene, number, OTHER_FILE)
        scene.clock.sleep(SECOND * 2)
    assert scene.live.wanted.percent_of(CANDIDATE) == 5
    assert len(scene.prober.rounds) == held, "its scenarios may be others"
    assert upcoming.outcome is None


def test_another_file_makes_no_revision() -> None:
    scene = Scene()
    scene.start()
    assert scene.rollout.phase is Phase.DEPLOYING
    upcoming = a_step(scene, raises_nothing=OTHER_FILE)
    assert upcoming.why == OTHER_FILE
    assert not scene.deployer.deployed


def test_another_file_enters_no_stage() -> None:
    scene = Scene()
    scene.start()
    scene.driver.tick()
    assert scene.deployer.deployed
    assert scene.rollout.phase is Phase.DEPLOYING
    assert a_step(scene, raises_nothing=OTHER_FILE).why == OTHER_FILE
    assert scene.rollout.phase is Phase.DEPLOYING


def test_another_file_sends_back_what_fails_its_users() -> None:
    scene = Scene()
    scene.reach(25)
    scene.users.failing[CANDIDATE] = 1.0
    for number in range(60):
        upcoming = a_step(scene, number, OTHER_FILE)
        if upcoming.outcome:
            break
        scene.clock.sleep(SECOND * 2)
    assert upcoming.outcome is Outcome.ROLLED_BACK


def test_a_rollout_that_nobody_drove_goes_back() -> None:
    scene = Scene()
    scene.reach(5)
    scene.clock.sleep(SILENT + MINUTE)
    a_step(scene, 1)
    assert scene.live.wanted.serving == {STABLE: 100}
    assert a_step(scene, 2).outcome is Outcome.ROLLED_BACK
    assert "nobody has driven it for 16m" in scene.rollout.reason


@pytest.mark.parametrize("away", [timedelta(0), MINUTE, SILENT - MINUTE])
def test_a_shorter_silence_is_taken_over(away: timedelta) -> None:
    scene = Scene()
    scene.reach(5)
    scene.clock.sleep(away)
    a_step(scene)
    assert scene.rollout.phase is Phase.ROLLING
    assert scene.rollout.driver == "watchdog/0" or away < USUAL.heartbeat


@pytest.mark.parametrize("percent", [0, 100])
def test_where_it_has_no_share_or_all_of_it_nothing_goes_back_for_silence(percent: int) -> None:
    """At 100 % there is nothing to compare it with, and the alert tells."""
    scene = Scene()
    scene.reach(percent)
    scene.clock.sleep(SILENT + MINUTE)
    a_step(scene)
    assert scene.rollout.phase is not Phase.ROLLING_BACK


def test_a_command_that_goes_on_after_a_long_silence_gives_nothing_back() -> None:
    scene = Scene()
    scene.reach(5)
    scene.clock.sleep(SILENT + MINUTE)
    scene.reach(25, scene.engine("host/2"))
    assert 0 not in scene.shares[scene.shares.index(5) :]
