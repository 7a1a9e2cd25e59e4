"""Probe rounds in a rollout: a candidate that always fails is stopped in two, one that stumbles is not."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from pipeline.driving.rounds import cause_of
from pipeline.events import Looked, Probed
from pipeline.judging.judgement import Verdict
from pipeline.judging.terms import Probing
from pipeline.model import Outcome
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.probe_report import ProbeReport
from tests.fakes import START
from tests.rollouts import CANDIDATE, SECOND, Scene, a_wish

FAILING, STABLE = "http://candidate", "http://stable"


def rounds_with_failures(scene: Scene) -> list[str]:
    return [each.report.words for each in scene.told if isinstance(each, Probed) and each.report.failures]


@pytest.mark.parametrize("sessions", [1, 2, 5, 20])
@pytest.mark.parametrize("percent", [0, 5, 25, 100])
def test_one_that_always_fails_is_stopped_by_two_fives_at_any_stage(percent: int, sessions: int) -> None:
    scene = Scene()
    wish = a_wish(probing=Probing(5 * SECOND, sessions, 5))
    scene.reach(percent, wish=wish) if percent else scene.start(wish, scene.driver)
    scene.prober.failing.add(FAILING)
    outcome = scene.driver.run(until=scene.clock.now() + timedelta(hours=1))
    assert outcome is (Outcome.ROLLED_BACK if percent else Outcome.STOPPED_AT_ZERO)
    (words,) = rounds_with_failures(scene)
    assert words.endswith("confirming with 5 on each: 5 of 5 against 0 of 5; again: 5 of 5 against 0 of 5")
    figures = "10 of 10 probe conversations failed, against 0 of 10 on stable"
    assert scene.rollout.reason == f"{figures}: closed_early: server closed with 1011"


def test_one_conversation_in_a_rollout_that_fails_sends_nobody_back() -> None:
    """It was one failure that stable did not share: enough for a roll-back, before."""
    for number in range(3, 40, 4):
        scene = Scene()
        scene.prober.stumbles[FAILING] = [number]
        assert scene.roll() is Outcome.PROMOTED, number


def test_a_stage_waits_until_a_failure_is_cleared_and_asks_more_and_sooner_meanwhile() -> None:
    scene = Scene()
    wish = a_wish(probing=Probing(timedelta(minutes=2), 1, 1))
    scene.prober.stumbles[FAILING] = [3]  # after a warm-up, and a round before the traffic arrived
    scene.start(wish, scene.driver)
    began = scene.clock.now()
    while scene.rollout.stage_index == 0:
        scene.clock.sleep(SECOND)
        scene.driver.tick()
        assert scene.clock.now() - began < timedelta(minutes=2)
    said = [e.look.situation.stage_verdict for e in scene.told if isinstance(e, Looked)]
    assert [v.verdict for v in said if " probe conversations failed" in v.reason][:20] == [
        Verdict.INCONCLUSIVE
    ] * 20
    assert {ask.sessions for ask in scene.prober.rounds[2:7]} == {5}
    assert scene.driver.run(until=scene.clock.now() + timedelta(hours=1)) is Outcome.PROMOTED
    assert scene.prober.rounds[-1].sessions == 1


def test_where_both_fail_our_network_is_blamed_and_a_human_called() -> None:
    scene = Scene()
    scene.reach(5)
    scene.prober.failing |= {FAILING, STABLE}
    assert scene.driver.run(until=scene.clock.now() + timedelta(hours=1)) is Outcome.PAUSED
    assert "stable too" in scene.rollout.reason or "nothing to go back to" in scene.rollout.reason
    assert scene.live.wanted.percent_of(CANDIDATE) == 5


def test_a_common_incident_that_is_over_leaves_no_doubt() -> None:
    scene = Scene()
    scene.reach(5)
    scene.prober.failing |= {FAILING, STABLE}
    scene.clock.at(90, partial(scene.prober.failing.clear))
    for _ in range(60):
        scene.driver.tick()
        scene.clock.sleep(SECOND)
    assert scene.rollout.stage_index == 1
    scene.prober.failing.clear()
    assert scene.driver.run(until=scene.clock.now() + timedelta(minutes=10)) is Outcome.PROMOTED
    assert scene.driver.observer.look(probe=False).judge.probes.bad == 0


def test_the_first_round_after_a_cold_start_is_preceded_by_a_warm_up() -> None:
    scene = Scene()
    scene.start(a_wish(), scene.driver)
    scene.prober.stumbles = {FAILING: [1, 2], STABLE: [1]}  # while nothing is warm
    assert scene.driver.run(until=scene.clock.now() + timedelta(hours=1)) is Outcome.PROMOTED
    assert [ask.warm_up for ask in scene.prober.rounds] == [True] + [False] * (len(scene.prober.rounds) - 1)
    assert not rounds_with_failures(scene)


def test_what_was_idle_for_long_is_warmed_up_again() -> None:
    scene = Scene()
    scene.reach(5)
    scene.driver.observer.look()
    scene.clock.sleep(timedelta(minutes=11))
    scene.driver.observer.look()
    assert [ask.warm_up for ask in scene.prober.rounds[-2:]] == [False, True]


def test_the_cause_of_most_is_told_and_fits_the_record() -> None:
    early = Conversation("run", Kind.CLOSED_EARLY, 0.1, 'server closed with 1011 "x"', close_code=1011)
    hang = Conversation("run", Kind.TIMED_OUT, 9.0, "still awaited: " + "\u4e00" * 400)
    good = Conversation("run", Kind.OK, 0.1)
    assert (
        cause_of(ProbeReport(START, 1.0, (good, early, hang, early)))
        == 'closed_early: server closed with 1011 "x"'
    )
    told = cause_of(ProbeReport(START, 1.0, (hang,)))
    assert told.startswith("timed_out: still awaited: ??")
    assert len(told.encode()) == 120
    assert cause_of(ProbeReport(START, 1.0, (good,))) == ""
