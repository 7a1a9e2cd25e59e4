"""Log lines that are late are "no data yet", never "no errors"."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.judging.spans import LONGEST_LATE, Reach, Span
from pipeline.judging.terms import Sampling
from pipeline.model import LogLine, Outcome
from tests.fakes import START
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene, a_wish

SAMPLING = Sampling(
    block=10 * SECOND, within=4 * SECOND, lateness=3 * SECOND, warm_up=timedelta(0), min_trials=10
)
SPAN = Span(START, None, 1, 5)


def reach(now: float, *newest: float) -> tuple[float, str]:
    lines = [LogLine(f"i{at}", START + at * SECOND, STABLE) for at in newest]
    found = Reach.of(lines, SPAN, SAMPLING, START + now * SECOND)
    return (found.until - START).total_seconds(), found.late


@pytest.mark.parametrize(
    ("now", "newest", "expected"),
    [
        (16, (14.0,), (16, "")),
        (17, (13.9,), (16.9, "")),  # the first block waits for a line beyond it: at 10 + 4
        (17, (14.0,), (17, "")),
        (31, (14.0,), (17, "")),
        (31.9, (13.9,), (16.9, "")),
        (
            32,
            (13.9,),
            (17, "no data yet in the logs: the newest log line is 18s old"),
        ),  # it waited for long enough
        (32, (), (17, "no data yet in the logs: none is new")),
        (31, (), (16, "")),
        (60, (40.0, 55.0), (58, "")),
        (17, (25.0,), (17, "")),  # another machine's clock
    ],
)
def test_how_far_the_logs_reach(now: float, newest: tuple[float, ...], expected: tuple[float, str]) -> None:
    assert reach(now, *newest) == pytest.approx(expected)


def test_a_block_that_was_taken_in_waits_for_nothing() -> None:
    now = START + 32 * SECOND
    assert Reach.of([], SPAN, SAMPLING, now).late
    assert not Reach.of([], SPAN, SAMPLING, now, after=0).late


@pytest.mark.parametrize("late", [0.0, 2.0, 4.0])
def test_ingestion_that_takes_longer_than_was_configured_loses_no_trial(late: float) -> None:
    assert late < LONGEST_LATE * SECOND.total_seconds()
    scene = Scene()
    scene.users.late = late * SECOND
    assert scene.roll() is Outcome.PROMOTED
    counts = scene.rollout.judge.total["agent_completed"]
    assert counts.candidate_trials > 100
    assert (counts.candidate_failures, counts.stable_failures) == (0, 0)


@pytest.mark.parametrize("late", [2.0, 4.0])
def test_a_bad_candidate_is_sent_back_on_late_lines_too(late: float) -> None:
    scene = Scene()
    scene.users.late = late * SECOND
    scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is Outcome.ROLLED_BACK


def test_a_log_that_stands_still_raises_nothing() -> None:
    """The stage had its trials before; what came after them nobody knows."""
    scene = Scene()
    scene.reach(25)
    scene.clock.sleep(12 * SECOND)
    for _ in range(3):
        scene.driver.tick()
    scene.users.stalled = scene.clock.now()
    assert scene.driver.run() is Outcome.PAUSED
    assert scene.shares[-1] == 25
    assert "no data yet in the logs: none is new" in scene.rollout.reason


def test_errors_that_come_after_a_stall_are_errors() -> None:
    scene = Scene()
    scene.reach(25)
    scene.clock.sleep(12 * SECOND)
    scene.driver.tick()
    scene.users.stalled = scene.clock.now()
    scene.users.failing[CANDIDATE] = 0.5

    def catch_up() -> None:
        scene.users.stalled = None

    scene.clock.at(scene.clock.seconds + 60, catch_up)
    assert scene.driver.run() is Outcome.ROLLED_BACK
    assert scene.rollout.reached == 25


def test_where_users_are_not_judged_their_silence_is_none() -> None:
    scene = Scene()
    scene.users.stalled = scene.clock.now()
    assert scene.roll(a_wish(criteria=())) is Outcome.PROMOTED


def test_users_who_were_all_driven_away_do_not_hide_why() -> None:
    """Nobody writes a line any more after the failures: their blocks close all the same."""
    scene = Scene()
    scene.reach(25)
    scene.users.failing[CANDIDATE] = 1.0
    scene.clock.sleep(3 * SECOND)
    scene.users.lines(scene.live.ref, since=scene.clock.now(), revisions=())
    scene.users.per_second = 1e-9
    assert scene.driver.run() is Outcome.ROLLED_BACK
