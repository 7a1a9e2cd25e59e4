"""A soak is time in which somebody looked, and rounds that were held: not what the clock says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.core import soak
from pipeline.driving.pace import USUAL
from pipeline.judging.terms import Probing, Stage
from pipeline.model import Outcome
from tests.fakes import START
from tests.rollouts import CANDIDATE, SECOND, Scene, a_wish

MINUTE = 60 * SECOND
PAUSE = USUAL.pause


@pytest.mark.parametrize(
    ("last", "begun", "now", "counts"),
    [
        (0, 1, 1, 1),  # a look right after the other
        (0, 5, 5, 5),
        (0, 12, 12, 5),  # away: what the rhythm allows, and no more
        (0, 3600, 3600, 5),
        (0, 1, 9, 9),  # a look that takes long is one
        (0, 100, 103, 8),
        (30, 10, 12, 0),  # written by a machine whose clock is ahead
        (11, 10, 12, 1),
    ],
)
def test_what_counts_of_a_pause_and_of_a_look(last: int, begun: int, now: int, counts: int) -> None:
    at = (START + SECOND * n for n in (last, begun, now))
    assert soak.watched(MINUTE, *at, 5 * SECOND) == MINUTE + counts * SECOND


@pytest.mark.parametrize(("length", "owed"), [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (86_400, 3)])
def test_rounds_that_a_stage_owes(length: int, owed: int) -> None:
    assert soak.rounds_owed(Stage(5, SECOND * length), Probing(10 * SECOND)) == owed


@pytest.mark.parametrize("away", [12, 60, 240])
def test_a_stage_does_not_pass_while_its_driver_was_away(away: int) -> None:
    scene = Scene()
    scene.reach(5)
    scene.clock.sleep(SECOND * away)
    back = scene.clock.now()
    scene.reach(25, scene.engine("host/2"))
    soaked = scene.rollout.plan.terms.stages[1].soak
    assert scene.clock.now() - back >= soaked - PAUSE - 2 * SECOND


def test_what_was_watched_before_a_driver_died_counts() -> None:
    scene = Scene()
    scene.reach(5)
    for _ in range(14):
        scene.clock.sleep(SECOND)
        scene.driver.tick()
    scene.clock.sleep(MINUTE)
    back = scene.clock.now()
    scene.reach(25, scene.engine("host/2"))
    assert scene.clock.now() - back <= 12 * SECOND


def test_time_alone_passes_no_stage() -> None:
    """Looked at all the while, and probed once: its rounds are owed."""
    scene = Scene()
    scene.reach(5)
    wish = scene.rollout.plan.terms
    assert soak.rounds_owed(wish.stages[1], wish.probing) == soak.ROUNDS
    scene.prober.rounds.clear()
    scene.reach(25)
    assert len(scene.prober.rounds) >= soak.ROUNDS


def test_a_step_a_minute_passes_a_soak_of_five() -> None:
    scene = Scene()
    hour = 60 * MINUTE
    made = (Stage(0, deadline=hour), *(Stage(p, 5 * MINUTE, hour) for p in (5, 25, 100)))
    scene.start(a_wish(stages=made))
    begun, steps = scene.clock.now(), 0
    while True:
        engine = scene.engine(f"tick/{steps}")
        engine.rhythm = engine.rhythm.of_a_watchdog(MINUTE, 15 * MINUTE)
        upcoming = engine.tick()
        if upcoming.outcome:
            break
        steps += 1
        scene.clock.sleep(MINUTE)
    assert upcoming.outcome is Outcome.PROMOTED
    assert [share for share in scene.shares if share] == [5, 25, 100]
    assert 15 * MINUTE <= scene.clock.now() - begun <= 26 * MINUTE


def test_steps_that_come_too_seldom_pass_it_later_and_not_never() -> None:
    scene = Scene()
    made = (Stage(0), Stage(5, 10 * MINUTE, timedelta(days=1)), Stage(100, 0 * SECOND))
    scene.start(a_wish(stages=made))
    for number in range(40):
        engine = scene.engine(f"tick/{number}")
        engine.rhythm = engine.rhythm.of_a_watchdog(MINUTE, timedelta(hours=2))
        engine.tick()
        if scene.live.wanted.percent_of(CANDIDATE) == 100:
            break
        scene.clock.sleep(10 * MINUTE)
    assert 6 <= number <= 12
