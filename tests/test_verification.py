"""A team's own commands in a rollout: a stage waits for them, and a failure sends traffic back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import record, verification
from pipeline.core.plan import Wish
from pipeline.core.rollout import Phase
from pipeline.driving.promote import promote
from pipeline.errors import PlanRefused
from pipeline.events import CommandEnded
from pipeline.judging.terms import Verification
from pipeline.model import Outcome
from pipeline.probe.command import CommandEnd
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene, a_wish, stages

SMOKE, LOAD = Verification("smoke", (0,)), Verification("load", (5, 25))
WELL = CommandEnd(0, 3.0, "12 passed")


def wish(*asked: Verification, **changes: object) -> Wish:
    return a_wish(verify=asked, **changes)


def test_each_stage_waits_for_its_own() -> None:
    scene = Scene()
    assert scene.roll(wish(SMOKE, LOAD)) is Outcome.PROMOTED
    assert [command.name for command in scene.verifier.started] == ["smoke", "load", "load"]
    told = [(event.verified.name, event.percent) for event in scene.told if isinstance(event, CommandEnded)]
    assert told == [("smoke", 0), ("load", 5), ("load", 25)]


def test_it_is_told_of_both_addresses_and_how_to_stay_out_of_the_evidence() -> None:
    scene = Scene()
    scene.roll(wish(SMOKE))
    command = scene.verifier.started[0]
    assert (command.revision, command.within) == (CANDIDATE, SMOKE.within)
    assert (command.url, command.stable_url) == ("http://candidate", "http://stable")
    assert len(command.probe_key) == 32


def test_nothing_is_raised_while_one_is_under_way() -> None:
    scene = Scene()
    scene.verifier.takes = timedelta(seconds=100)
    began = scene.clock.now()
    scene.start(wish(SMOKE), scene.driver)
    waited_for = set()
    while not scene.live.wanted.percent_of(CANDIDATE):
        waited_for.add(scene.rollout.waiting)
        scene.clock.sleep(max(scene.driver.tick().at - scene.clock.now(), SECOND))
    assert scene.clock.now() - began >= scene.verifier.takes
    assert "verifying: smoke" in waited_for


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (CommandEnd(1, 4.2, "1 failed, 11 passed"), "smoke ended with 1, 4s: 1 failed, 11 passed"),
        (CommandEnd(None, 300, "still dialling"), "smoke was ended after its time, 300s: still dialling"),
        (CommandEnd(137, 1.0), "smoke ended with 137, 1s"),
    ],
)
def test_a_failure_stops_the_candidate_before_users_meet_it(end: CommandEnd, words: str) -> None:
    scene = Scene()
    scene.verifier.ends = [end]
    assert scene.roll(wish(SMOKE)) is Outcome.STOPPED_AT_ZERO
    assert scene.rollout.reason == words
    assert not any(scene.shares)


def test_a_failure_under_traffic_sends_it_back() -> None:
    scene = Scene()
    scene.verifier.ends = [WELL, CommandEnd(7, 1.0, "p95 too high")]
    assert scene.roll(wish(SMOKE, LOAD)) is Outcome.ROLLED_BACK
    assert scene.live.serving.serving == {STABLE: 100}
    assert scene.shares[-2:] == [5, 0]
    assert [one.name for one in scene.rollout.verified] == ["load"]


def test_what_is_under_way_is_ended_when_traffic_goes_back_for_another_reason() -> None:
    scene = Scene()
    scene.verifier.takes = timedelta(hours=1)
    scene.reach(5, wish=wish(LOAD))
    scene.driver.tick()
    assert scene.verifier.is_busy
    scene.prober.failing.add(scene.verifier.started[0].url)
    assert scene.driver.run() is Outcome.ROLLED_BACK
    assert (scene.verifier.stopped, scene.verifier.is_busy) == (1, False)


def test_one_that_cannot_be_begun_says_nothing_of_the_candidate() -> None:
    """It is tried again, and in the end a human is called; traffic stays where it is."""
    scene = Scene()
    scene.verifier.ends = [CommandEnd(None, 0, obstacle="No such file or directory: k6")]
    assert scene.roll(wish(SMOKE)) is Outcome.PAUSED
    assert "smoke could not be run: No such file or directory: k6" in scene.rollout.reason
    assert len(scene.verifier.started) > 3
    scene = Scene()
    scene.verifier.ends = [CommandEnd(None, 0, obstacle="No such file or directory: k6"), WELL]
    assert scene.roll(wish(SMOKE)) is Outcome.PROMOTED


def test_another_driver_does_not_run_again_what_passed() -> None:
    scene = Scene()
    long = wish(SMOKE, stages=stages(0, 100, soak=60))
    scene.start(long, scene.engine("one"))
    engine = scene.engine("one")
    while not scene.rollout.verified:
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), SECOND))
    assert scene.engine("two").run(until=scene.clock.now() + timedelta(hours=1)) is Outcome.PROMOTED
    assert len(scene.verifier.started) == 1


def test_a_new_attempt_verifies_anew() -> None:
    scene = Scene()
    scene.verifier.ends = [CommandEnd(1, 1.0), WELL]
    assert scene.roll(wish(SMOKE)) is Outcome.STOPPED_AT_ZERO
    assert scene.roll(wish(SMOKE), retry=True) is Outcome.PROMOTED
    assert len(scene.verifier.started) == 2


def test_nobody_promotes_past_a_failure() -> None:
    scene = Scene()
    scene.reach(5, wish=wish(LOAD))
    failing = replace(
        scene.rollout, phase=Phase.PAUSED,
        verified=(verification.Verified("load", scene.rollout.split_epoch, 1),),
    )  # fmt: skip
    scene.platform.foreign_write(annotations=record.annotated(scene.live, failing))
    with pytest.raises(PlanRefused, match="failed: it is not promoted past that"):
        promote(scene.engine(), scene.clock, to_percent=25, reason="hurry", by="me")


def test_the_record_keeps_what_a_command_came_to_and_no_more_than_its_last_words() -> None:
    scene = Scene()
    scene.verifier.ends = [CommandEnd(1, 1.0, "x" * 5000)]
    scene.roll(wish(SMOKE))
    (kept,) = scene.rollout.verified
    assert (kept.name, kept.exit_code, len(kept.said)) == ("smoke", 1, 300)
    assert len(scene.live.record_text or "") < record.MAX_BYTES
