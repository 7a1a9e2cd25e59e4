"""A roll-back: what it waits for, what it does to a record that is none, and what cannot stop it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.rollout import Phase
from pipeline.driving.hand import Done
from pipeline.driving.restore import Cause, restore, target_of
from pipeline.errors import PlanRefused, PlatformUnavailable, UserError
from pipeline.events import RolloutEvent, Wrote
from pipeline.model import (
    RECORD_ANNOTATION,
    UNREADABLE_ANNOTATION,
    Outcome,
    Readiness,
    ServiceRef,
    Split,
    Target,
)
from pipeline.report.facts import words_of
from tests.fakes import REF, START
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages

BY_HAND = Cause("felt wrong", "ada", by_hand=True)
SECOND = timedelta(seconds=1)


def at_five_percent() -> Scene:
    scene = Scene()
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100)))
    return scene


def give_back(scene: Scene, **options: str) -> tuple[Done, list[RolloutEvent]]:
    told: list[RolloutEvent] = []
    done = restore(scene.platform, scene.clock, REF, BY_HAND, listen=told.append, **options)  # type: ignore[arg-type]
    return done, told


def test_it_is_read_back_only_once_the_write_is_observed() -> None:
    """A raise that is still on its way must not pass for the roll-back: its old status shows 100 % on stable."""
    scene = Scene()
    scene.start(a_wish(stages=stages(0, 5, 100)), scene.driver)
    while scene.rollout.phase is not Phase.ROLLING:
        scene.clock.sleep(max(scene.driver.tick().at - scene.clock.now(), SECOND))
    scene.clock.sleep(60 * SECOND)
    scene.platform.lag = 13 * SECOND
    scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 5))
    scene.clock.sleep(5 * SECOND)  # asked for 5 %, still showing 0 %
    begun = scene.clock.now()
    done, _ = give_back(scene)
    assert done.verified
    assert scene.clock.now() - begun >= 13 * SECOND
    scene.clock.sleep(60 * SECOND)
    assert scene.platform.served().serving == {STABLE: 100}


def test_what_is_edited_between_reading_back_and_recording_is_not_called_rolled_back() -> None:
    scene = at_five_percent()
    writes = iter(range(10))

    def edit() -> None:
        if next(writes) == 1:
            scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 10))

    scene.platform.before_write = edit
    give_back(scene)
    assert scene.rollout.phase is Phase.ROLLING_BACK


def test_a_stale_read_is_never_taken_for_the_answer() -> None:
    scene = at_five_percent()
    scene.platform.lag = 120 * SECOND
    done, _ = give_back(scene)
    assert not done.verified


NEWER = '{"v": 99, "plan": {"stable": "x"}}'


def of_another_service(scene: Scene) -> str:
    current = scene.rollout
    plan = replace(current.plan, ref=ServiceRef("p", "l", "another"), stable="another-1")
    return record.encode(replace(current, plan=plan))


def with_nan(scene: Scene) -> str:
    body = json.loads(record.encode(scene.rollout))
    body["judge"]["compared"]["server_error_1011"][0] = float("nan")
    return json.dumps(body)


def out_of_range(scene: Scene) -> str:
    return json.dumps({**json.loads(record.encode(scene.rollout)), "stage": 77})


def without_room(scene: Scene) -> str:
    """Our own shape, filled to the brim: nothing can be added to it."""
    body = json.loads(record.encode(scene.rollout)) | {"judge": {}, "phase": "rolled_back"}
    body = {key: value for key, value in body.items() if key not in ("last", "history")}
    body["plan"]["image"] = "x" * (record.MAX_BYTES - len(json.dumps(body)))
    return json.dumps(body, separators=(",", ":"))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda _: NEWER, id="newer"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "{" * 9_000, id="deep"),
        pytest.param(lambda _: "x" * 1_000_000, id="a-megabyte"),
        pytest.param(of_another_service, id="another-services"),
        pytest.param(with_nan, id="nan"),
        pytest.param(out_of_range, id="out-of-range"),
    ],
)
def test_an_unreadable_record_is_replaced(make: object) -> None:
    scene = at_five_percent()
    text = make(scene)  # type: ignore[operator]
    scene.platform.foreign_write(annotations={**scene.live.annotations, RECORD_ANNOTATION: text})
    done, told = give_back(scene)
    assert (done.target, done.verified) == (STABLE, True)
    assert scene.live.wanted.serving == {STABLE: 100}
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND
    assert scene.live.annotations[UNREADABLE_ANNOTATION] == text[: record.MAX_BYTES]
    assert any(p.kind == "record_replaced" for p in told)
    assert (
        scene.roll(a_wish(stages=stages(0, 5, 100)), engine=scene.engine("host/2"), retry=True).label
        == "promoted"
    )


def test_a_record_without_room_for_another_word_is_cut_to_what_a_roll_back_needs() -> None:
    scene = at_five_percent()
    text = without_room(scene)
    scene.platform.foreign_write(annotations={**scene.live.annotations, RECORD_ANNOTATION: text})
    done, _ = give_back(scene)
    assert done.verified
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND


def test_a_service_that_never_carried_a_record_gets_none() -> None:
    scene = Scene()
    scene.platform.add("bad")
    scene.platform.foreign_write(split=Split((Target(STABLE, 50, "stable"), Target("bad", 50))))
    done, _ = give_back(scene)
    assert done.verified
    assert scene.live.record_text is None


def test_a_wrong_target_is_refused_and_nothing_is_written() -> None:
    scene = at_five_percent()
    writes = len(scene.platform.writes)
    with pytest.raises(PlanRefused, match="typo is not a ready revision") as told:
        give_back(scene, to="typo")
    assert told.value.exit_code == 2
    assert len(scene.platform.writes) == writes


def test_whoever_listens_cannot_stop_it() -> None:
    def broken(_: RolloutEvent) -> None:
        raise BrokenPipeError

    scene = at_five_percent()
    scene.platform.fail = [PlatformUnavailable("503")]
    assert restore(scene.platform, scene.clock, REF, BY_HAND, listen=broken).verified


def test_the_same_roll_back_again_reads_back_what_a_killed_one_wrote_and_writes_it_no_second_time() -> None:
    scene = at_five_percent()
    restore(
        scene.platform, scene.clock, REF, BY_HAND, stop=lambda: True
    )  # ends as soon as the write is accepted
    assert scene.rollout.phase is Phase.ROLLING_BACK
    moved = len(scene.platform.history)
    done, _ = give_back(scene)
    assert (done.verified, scene.rollout.outcome) == (True, Outcome.ROLLED_BACK_BY_HAND)
    assert len(scene.platform.history) == moved
    assert [step.event for step in scene.rollout.history][-2:] == ["failed", "restored"]
    assert [step.event for step in scene.rollout.history].count("failed") == 1


def test_told_to_stop_it_does_not_wait_to_read_back() -> None:
    scene = at_five_percent()
    scene.platform.lag = 30 * SECOND
    begun = scene.clock.now()
    done = restore(scene.platform, scene.clock, REF, BY_HAND, stop=lambda: True)
    assert not done.verified
    assert scene.clock.now() - begun < 3 * SECOND
    assert scene.live.wanted.serving == {STABLE: 100}


@pytest.mark.parametrize("reason", ["felt wrong", "superseded by a hotfix"])
def test_a_roll_back_by_hand_is_one_whatever_reason_the_operator_gives(reason: str) -> None:
    scene = at_five_percent()
    restore(scene.platform, scene.clock, REF, Cause(reason, "ada", by_hand=True))
    assert words_of(scene.rollout.history[-2]) == "rolled back by hand"


def test_its_writes_are_told_with_their_etags() -> None:
    scene = at_five_percent()
    done, told = give_back(scene)
    wrote = [event for event in told if isinstance(event, Wrote)]
    assert [etag for _, etag in scene.platform.writes[-2:]] == [event.etag for event in wrote]
    assert [event.traffic for event in wrote] == [{STABLE: 100}, None]
    assert done.rollout == scene.rollout


def test_rollback_by_hand_during_a_rollout_ends_it_for_its_driver() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
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
    scene.reach(5, scene.engine())
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
    scene.reach(5, scene.engine())
    scene.platform.fail = [PlatformUnavailable("503"), PlatformUnavailable("429")]
    rivals = iter([True, True, False])
    scene.platform.before_write = lambda: next(rivals, False) and scene.platform.foreign_write()
    done = restore(scene.platform, scene.clock, REF, Cause("", by_hand=True))
    assert done.verified


def test_a_candidate_that_hangs_in_its_start_keeps_no_roll_back_waiting() -> None:
    scene = Scene()
    scene.deployer.readiness = Readiness.PENDING
    scene.start(engine=scene.driver)
    scene.driver.tick()
    scene.platform.hangs = CANDIDATE
    begun = scene.clock.now()
    done, _ = give_back(scene)
    assert done.verified
    assert scene.clock.now() - begun < 3 * SECOND
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND


def test_somebody_elses_revision_that_hangs_is_waited_for_while_a_raise_may_be_on_its_way() -> None:
    scene = at_five_percent()
    scene.platform.add("theirs", Readiness.PENDING)
    scene.platform.foreign_write()
    scene.platform.hangs = "theirs"
    scene.clock.at(
        (scene.clock.now() - START).total_seconds() + 100, lambda: setattr(scene.platform, "hangs", "")
    )
    begun = scene.clock.now()
    done, told = give_back(scene)
    assert done.verified
    assert scene.clock.now() - begun > 99 * SECOND
    assert any("judged theirs" in p.text for p in told)


def test_after_a_promotion_it_goes_to_what_was_good_wherever_the_tag_was_moved() -> None:
    scene = Scene()
    scene.roll()
    scene.platform.foreign_write(split=Split((Target(CANDIDATE, 100, "stable"),)))
    done, _ = give_back(scene)
    assert done.target == STABLE


def test_without_a_record_the_tag_that_is_served_speaks_too() -> None:
    untagged = replace(Scene().live, serving=Split((Target("good", 100, "stable"),)))
    assert target_of(untagged, None, ()) == "good"


@pytest.mark.parametrize("readiness", [Readiness.FAILED, Readiness.PENDING])
def test_nobody_is_sent_to_a_revision_that_is_not_ready(readiness: Readiness) -> None:
    scene = at_five_percent()
    scene.platform.known[STABLE] = replace(scene.platform.known[STABLE], readiness=readiness)
    with pytest.raises(PlanRefused, match=f"{STABLE} is not a ready revision"):
        give_back(scene)
    assert scene.live.wanted.percent_of(CANDIDATE) == 5


def test_what_was_served_is_told_as_it_was_before_the_first_try() -> None:
    scene = at_five_percent()
    scene.platform.answer_lost = True
    done, _ = give_back(scene)
    assert (done.was, done.already) == ({STABLE: 95, CANDIDATE: 5}, False)


def test_a_target_of_the_operators_own_is_the_new_known_good() -> None:
    scene = at_five_percent()
    scene.platform.add("older")
    done, _ = give_back(scene, to="older")
    assert done.verified
    assert scene.rollout.plan.stable == "older"
    assert scene.live.wanted.tagged("stable") == "older"


def test_evidence_is_not_of_the_split_that_it_leaves() -> None:
    scene = at_five_percent()
    before = scene.rollout
    give_back(scene)
    assert scene.rollout.split_epoch == before.split_epoch + 1
    assert scene.rollout.epoch == before.epoch + 2  # given back, and read back


def test_a_candidate_that_is_gone_takes_its_tag_with_it_and_others_keep_theirs() -> None:
    scene = Scene()
    scene.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, "green"))))
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100)))
    del scene.platform.known[CANDIDATE]
    done, _ = give_back(scene)
    assert done.verified
    assert scene.live.wanted.tagged("candidate") is None
    assert scene.live.wanted.tagged("green") == STABLE


def test_a_short_outage_is_ridden_out_within_seconds_and_one_while_reading_back_too() -> None:
    scene = at_five_percent()
    scene.platform.fail = [PlatformUnavailable("503")] * 4
    begun = scene.clock.now()

    def lose_the_next_read(call: str) -> None:
        if call == "after write" and not scene.platform.fail and scene.rollout.phase is Phase.ROLLING_BACK:
            scene.platform.fail = [PlatformUnavailable("503")]

    scene.platform.at_boundary = lose_the_next_read
    done, _ = give_back(scene)
    assert done.verified
    assert scene.clock.now() - begun < 6 * SECOND


def test_at_no_traffic_a_rollout_under_way_is_ended_all_the_same() -> None:
    scene = Scene()
    scene.start(engine=scene.driver)
    assert scene.live.wanted.serving == {STABLE: 100}
    done, _ = give_back(scene)
    assert done.already
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND
    assert scene.driver.run() is Outcome.ROLLED_BACK_BY_HAND


def test_a_promotion_that_somebody_undid_by_hand_is_recorded_as_rolled_back() -> None:
    scene = Scene()
    scene.roll()
    scene.platform.foreign_write(split=Split((Target(STABLE, 100, "stable"),)))
    give_back(scene)
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND


def test_an_unreadable_record_is_replaced_though_nobody_is_to_be_moved() -> None:
    scene = Scene()
    scene.start(engine=scene.driver)
    scene.platform.foreign_write(annotations={RECORD_ANNOTATION: NEWER})
    give_back(scene)
    assert scene.live.annotations[UNREADABLE_ANNOTATION] == NEWER
    assert scene.rollout.phase is Phase.ROLLED_BACK


def test_what_is_edited_right_after_it_was_read_back_is_not_called_rolled_back() -> None:
    scene = at_five_percent()

    def edit(call: str) -> None:
        if call == "after read" and scene.rollout.phase is Phase.ROLLING_BACK:
            scene.platform.at_boundary = lambda _: None
            scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 10))

    scene.platform.at_boundary = edit
    give_back(scene)
    assert scene.rollout.phase is Phase.ROLLING_BACK


def write_once_back(scene: Scene, **write: object) -> None:
    """Somebody's write, a second after our first one was accepted."""

    def later() -> None:
        scene.platform.before_write = lambda: None
        scene.clock.at(scene.clock.seconds + 1, lambda: scene.platform.foreign_write(**write))  # type: ignore[arg-type]

    scene.platform.before_write = later


def without_record(scene: Scene) -> dict[str, str]:
    return {key: text for key, text in scene.live.annotations.items() if key != RECORD_ANNOTATION}


@pytest.mark.parametrize("to", [{}, {"to": STABLE}], ids=["by-tag", "by-name"])
def test_without_a_record_a_split_that_an_apply_brings_back_is_sent_back(to: dict[str, str]) -> None:
    scene = at_five_percent()
    scene.platform.foreign_write(annotations=without_record(scene))
    before = scene.live.wanted
    write_once_back(scene, split=before)
    done, told = give_back(scene, **to)
    assert (done.target, done.verified, done.rollout) == (STABLE, True, None)
    assert scene.live.wanted.serving == {STABLE: 100}
    assert [each.text for each in told if each.kind == "retrying"] == [
        "an apply of the program brought back what it had read: once more"
    ]


def test_without_a_record_what_latest_meant_is_brought_back_by_name_too() -> None:
    scene = Scene()
    scene.platform.add(CANDIDATE)
    split = Split((Target(None, 100), Target(STABLE, 0, "stable")))
    scene.platform.foreign_write(split=split, latest_created=CANDIDATE, latest_ready=CANDIDATE)
    write_once_back(scene, split=Split((Target(CANDIDATE, 100), Target(STABLE, 0, "stable"))))
    assert give_back(scene)[0].verified
    scene.clock.sleep(3 * SECOND)
    assert scene.live.wanted.serving == {STABLE: 100}


def test_what_an_apply_brings_back_does_not_choose_another_target() -> None:
    scene = at_five_percent()
    scene.platform.foreign_write(annotations=without_record(scene))
    without_tags = Split(tuple(replace(target, tag="") for target in scene.live.wanted.targets))
    write_once_back(scene, split=without_tags)
    assert give_back(scene)[0].target == STABLE
    assert scene.live.wanted.serving == {STABLE: 100}


def test_a_record_that_an_apply_takes_away_with_the_split_is_sent_back() -> None:
    scene = at_five_percent()
    write_once_back(scene, split=scene.live.wanted, annotations=without_record(scene))
    done, _ = give_back(scene)
    assert (done.target, done.verified) == (STABLE, True)
    assert scene.live.wanted.serving == {STABLE: 100}


def test_another_split_after_a_roll_back_without_a_record_is_an_edit_and_stays() -> None:
    scene = at_five_percent()
    scene.platform.foreign_write(annotations=without_record(scene))
    write_once_back(scene, split=Split.between(STABLE, CANDIDATE, 30))
    give_back(scene)
    assert scene.live.wanted.serving == {STABLE: 70, CANDIDATE: 30}


def test_where_nothing_was_written_nothing_is_watched() -> None:
    scene = at_five_percent()
    scene.platform.foreign_write(annotations=without_record(scene), split=Split.between(STABLE, CANDIDATE, 0))
    begun = scene.clock.now()
    done, told = give_back(scene)
    assert (done.already, done.verified, scene.clock.now()) == (True, True, begun)
    assert not [each for each in told if each.kind == "reading_back"]


@pytest.mark.parametrize("has_record", [True, False])
def test_that_traffic_is_back_is_said_before_it_is_watched(*, has_record: bool) -> None:
    scene = at_five_percent()
    if not has_record:
        scene.platform.foreign_write(annotations=without_record(scene))
    _, told = give_back(scene)
    (said,) = (each for each in told if each.kind == "reading_back")
    assert said.text.startswith(f"traffic is back: 100% on {STABLE}, read back; watching until ")
    assert scene.clock.now() - said.at >= 1.5 * SECOND
    settled = [each.at for each in told if isinstance(each, Wrote) and each.rollout and each.rollout.outcome]
    assert all(at >= said.at for at in settled)
