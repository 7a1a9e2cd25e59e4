"""The engine on virtual time: good and bad candidates, kills, rivals, drift, lost answers, operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline import record
from pipeline.engine import Engine, Rhythm
from pipeline.errors import AnotherRunAlive, PlanRefused, PlatformUnavailable, UserError
from pipeline.judge import Verdict
from pipeline.model import RECORD_ANNOTATION, Outcome, Probing, Readiness, Split, Target
from pipeline.observer import Observer
from pipeline.probe.scenario import Conversation, Kind, ProbeReport
from pipeline.progress import Progress
from pipeline.promotion import promote
from pipeline.restore import Cause, restore
from pipeline.rollout import Event, Phase
from tests.fakes import REF, FakePlatform
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


def test_the_first_deployment_is_ungated_and_probed_at_once() -> None:
    scene = Scene()
    scene.platform.live = None
    scene.platform.known.clear()
    assert scene.start() is Outcome.FIRST_DEPLOYMENT
    assert scene.live.serving.serving == {CANDIDATE: 100}
    assert len(scene.prober.rounds) == 1
    again = scene.start()
    assert again is Outcome.FIRST_DEPLOYMENT
    assert len(scene.prober.rounds) == 1


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
    scene.start(engine=engine)
    while scene.live.serving.percent_of(CANDIDATE) == 0:
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), timedelta(seconds=1)))
    other = a_wish("agent-chat-other")
    with pytest.raises(PlanRefused, match="--supersede"):
        scene.start(other)
    assert scene.roll(other, supersede=True) is Outcome.PROMOTED
    assert scene.live.serving.serving == {"agent-chat-other": 100}
    assert scene.rollout.plan.stable == STABLE


def _at_five_percent(scene: Scene, engine: Engine) -> None:
    scene.start(engine=engine)
    while scene.live.serving.percent_of(CANDIDATE) != 5:
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), timedelta(seconds=1)))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda s: s.platform.foreign_write(split=Split((Target(STABLE, 50), Target(CANDIDATE, 50)))), id="by-hand"),
        pytest.param(lambda s: s.platform.foreign_write(split=replace_tag(s)), id="tag-moved"),
        pytest.param(lambda s: s.platform.foreign_write(), id="same-values"),
    ],
)  # fmt: skip
def test_after_a_foreign_write_nothing_is_raised(edit: Callable[[Scene], None]) -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    edit(scene)
    if edit.__name__ == "<lambda>" and scene.live.wanted.percent_of(CANDIDATE) == 5:
        scene.platform.foreign_write(split=scene.live.wanted)
    before = scene.live.wanted.percent_of(CANDIDATE)
    assert engine.run() is Outcome.PAUSED
    assert scene.live.wanted.percent_of(CANDIDATE) == before
    assert "drift" in scene.rollout.reason


def replace_tag(scene: Scene) -> Split:
    return Split((Target(STABLE, 95, "candidate"), Target(CANDIDATE, 5, "stable")))


def test_an_apply_that_brings_an_old_record_and_split_back_is_drift() -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    old = scene.live
    while scene.live.serving.percent_of(CANDIDATE) != 25:
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), timedelta(seconds=1)))
    scene.platform.foreign_write(split=old.wanted, annotations=old.annotations)
    assert engine.run() is Outcome.PAUSED
    assert "older record" in scene.rollout.reason
    assert scene.live.wanted.percent_of(CANDIDATE) == 5


def test_a_new_process_notices_the_old_record_by_its_generation() -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    old = scene.live
    while scene.live.serving.percent_of(CANDIDATE) != 25:
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), timedelta(seconds=1)))
    scene.platform.foreign_write(split=old.wanted, annotations=old.annotations)
    assert scene.roll(engine=scene.engine("host/9")) is Outcome.PAUSED
    assert "drift" in scene.rollout.reason


def test_a_stable_revision_that_is_gone_pauses() -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    del scene.platform.known[STABLE]
    assert engine.run() is Outcome.PAUSED
    assert f"{STABLE} is gone" in scene.rollout.reason


def test_a_candidate_made_again_under_its_name_is_not_the_candidate() -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], uid="another")
    assert engine.run() is Outcome.PAUSED
    assert "made again" in scene.rollout.reason


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
    _at_five_percent(scene, engine)
    scene.users.failing[CANDIDATE] = 1.0
    scene.clock.sleep(timedelta(seconds=30))
    with pytest.raises(PlanRefused, match="is not promoted past that"):
        promote(engine, scene.clock, to_percent=100, reason="hurry", by="ada")
    assert scene.live.serving.percent_of(CANDIDATE) == 5


def test_skipping_ahead_needs_a_reason() -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    with pytest.raises(UserError, match="needs a reason"):
        promote(engine, scene.clock, to_percent=100, reason="", by="ada")
    promote(engine, scene.clock, to_percent=100, reason="checked by hand", by="ada")
    assert scene.live.serving.percent_of(CANDIDATE) == 100


def test_rollback_by_hand_during_a_rollout_ends_it_for_its_driver() -> None:
    scene = Scene()
    engine = scene.engine()
    _at_five_percent(scene, engine)
    done = restore(scene.platform, scene.clock, REF, Cause("felt wrong", "ada", by_hand=True))
    assert (done.target, done.verified) == (STABLE, True)
    assert engine.run() is Outcome.ROLLED_BACK_BY_HAND


def test_rollback_after_promotion_goes_to_the_revision_before() -> None:
    scene = Scene()
    scene.roll()
    done = restore(scene.platform, scene.clock, REF, Cause("", by_hand=True))
    assert done.target == STABLE
    assert scene.live.serving.serving == {STABLE: 100}
    assert scene.rollout.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("record_text", [None, "", "{", '{"v": 99}', '{"v": 1, "plan": 3}', "[" * 5000])
def test_rollback_works_from_the_tag_alone(record_text: str | None) -> None:
    scene = Scene()
    _at_five_percent(scene, scene.engine())
    annotations = {} if record_text is None else {RECORD_ANNOTATION: record_text}
    scene.platform.foreign_write(annotations=annotations)
    done = restore(scene.platform, scene.clock, REF, Cause("no record", by_hand=True))
    assert (done.target, done.verified) == (STABLE, True)


def test_rollback_with_neither_record_nor_tag_lists_what_is_ready() -> None:
    scene = Scene()
    with pytest.raises(UserError, match=f"Ready revisions: {STABLE}"):
        restore(scene.platform, scene.clock, REF, Cause(""))
    done = restore(scene.platform, scene.clock, REF, Cause(""), to=STABLE)
    assert done.already


def test_rollback_goes_through_storms_and_rivals() -> None:
    scene = Scene()
    _at_five_percent(scene, scene.engine())
    scene.platform.fail = [PlatformUnavailable("503"), PlatformUnavailable("429")]
    rivals = iter([True, True, False])
    scene.platform.before_write = lambda: next(rivals, False) and scene.platform.foreign_write()
    done = restore(scene.platform, scene.clock, REF, Cause("", by_hand=True))
    assert done.verified


def test_foreign_tags_survive_every_shift() -> None:
    scene = Scene()
    scene.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, "green"))))
    assert scene.roll() is Outcome.PROMOTED
    assert scene.live.wanted.tagged("green") == STABLE


def test_a_stable_that_hangs_stops_every_raise_and_calls_a_human() -> None:
    scene = Scene()
    _at_five_percent(scene, scene.driver)
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


def test_going_on_without_a_stable_that_answers_needs_a_reason() -> None:
    scene = Scene()
    _at_five_percent(scene, scene.driver)
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


def test_superseded_is_told_to_the_driver_of_the_first() -> None:
    scene = Scene()
    _at_five_percent(scene, scene.driver)
    scene.start(a_wish("agent-chat-other"), scene.engine("host/2"), supersede=True)
    assert scene.driver.run() is Outcome.SUPERSEDED
    assert scene.driver.candidate == CANDIDATE


def test_a_probe_round_that_began_under_the_split_before_vouches_for_nothing_at_this_one() -> None:
    scene = Scene()
    _at_five_percent(scene, scene.driver)
    look = scene.driver.observer.look()
    assert look.situation.stage_verdict.verdict is not Verdict.FAIL
    scene.driver.enter(look, 2, Event.RAISED)
    scene.prober._done = ProbeReport(
        scene.clock.now() - timedelta(seconds=2), 2.0, (Conversation("agent-run", Kind.OK, 0.1),)
    )
    scene.driver.observer._probe_due = scene.clock.now() + timedelta(hours=1)
    late = scene.driver.observer.look()
    assert late.probe is not None
    assert late.judge.probes_ok == 0


def test_a_fail_that_met_a_conflict_is_still_a_fail() -> None:
    """The bound is on ever reaching it: blocks that come later take nothing back."""
    scene = Scene()
    _at_five_percent(scene, scene.driver)
    scene.users.failing[CANDIDATE] = 1.0
    while scene.driver.observer.look().situation.stage_verdict.verdict is not Verdict.FAIL:
        scene.clock.sleep(timedelta(seconds=1))
    scene.users.failing.clear()
    scene.clock.sleep(timedelta(minutes=4))
    assert scene.driver.observer.look().situation.stage_verdict.verdict is Verdict.FAIL
    assert scene.driver.run() is Outcome.ROLLED_BACK


def test_a_listener_that_fails_stops_nothing() -> None:
    def broken(_: Progress) -> None:
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


def test_watching_another_driver_ends_when_told_to_stop() -> None:
    scene = Scene()
    scene.start(engine=scene.engine("host/1"))
    second = scene.engine("host/2")
    second.stop = lambda: True
    begun = scene.clock.now()
    assert scene.roll(engine=second) is Outcome.UNDER_WAY
    assert scene.clock.now() - begun < timedelta(seconds=3)


def test_a_start_that_lies_in_the_future_neither_stands_still_nor_pauses() -> None:
    scene = Scene()
    _at_five_percent(scene, scene.driver)
    later = record.utc(scene.clock.now() + timedelta(hours=3))
    text = record.encode(replace(scene.rollout, since=later, heartbeat=later))
    scene.platform.live = replace(scene.live, annotations={RECORD_ANNOTATION: text})
    begun = scene.clock.now()
    assert scene.roll(engine=scene.engine("host/2")) is Outcome.PROMOTED
    assert scene.clock.now() - begun < timedelta(minutes=10)


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
