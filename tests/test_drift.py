"""What other people's writes are: drift, or told and no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core import drift
from pipeline.core.rollout import Phase, Rollout
from pipeline.errors import PlanRefused
from pipeline.judging.judgement import Verdict
from pipeline.model import LiveService, Outcome, Split, Target
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.probe_report import ProbeReport
from tests.rollouts import CANDIDATE, STABLE, Scene
from tests.test_rollout import a_rollout, a_situation

GREEN = Target(STABLE, 0, "green")
AT = datetime(2026, 11, 1, 12, 34, 56, tzinfo=UTC)
AS_SET = Split.between(STABLE, CANDIDATE, 5)


def live_of(current: Rollout, **changes: Any) -> LiveService:
    """A service as our last write left it, but for these changes by eve."""
    return replace(a_situation(current).live, last_modifier="eve", **changes)


def said(current: Rollout, live: LiveService, last_epoch: int = 0, *, has_candidate: bool = True) -> str:
    count = drift.foreign_writes(current, live, has_candidate=has_candidate)
    return drift.drift_of(current, live, count, last_epoch)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"wanted": Split((Target(STABLE, 50), Target(CANDIDATE, 50)))}, "traffic was set to", id="shares"),
        pytest.param({"wanted": Split((Target(STABLE, 95, "stable"), Target(CANDIDATE, 5), Target(STABLE, 0, "candidate")))}, "the tag 'candidate' was moved", id="tag-moved"),
        pytest.param({"wanted": Split((Target(STABLE, 95, "stable"), Target(CANDIDATE, 5)))}, "the tag 'candidate' was moved", id="tag-removed"),
        pytest.param({"wanted": Split((Target(None, 95, "stable"), Target(CANDIDATE, 5, "candidate")))}, "LATEST 95%", id="latest"),
        pytest.param({"generation": 10}, "written 2 times by somebody else", id="more-than-one-write"),
        pytest.param({"generation": 9}, "", id="one-write"),
        pytest.param({"generation": 8}, "", id="our-write"),
        pytest.param({"wanted": Split((*AS_SET.targets, GREEN))}, "", id="a-tag-of-theirs"),
    ],
)  # fmt: skip
def test_drift(change: dict[str, Any], words: str) -> None:
    current = a_rollout()
    found = said(current, live_of(current, **change))
    assert words in found
    assert bool(found) is bool(words)
    assert not found or "eve" in found


def test_an_older_epoch_is_drift() -> None:
    current = a_rollout(epoch=4)
    assert "older record" in said(current, live_of(current), last_epoch=5)
    assert not said(current, live_of(current), last_epoch=4)


@pytest.mark.parametrize(
    ("has_candidate", "generation", "is_drift"),
    [(False, 8, False), (False, 9, False), (False, 10, True), (True, 10, False), (True, 11, True)],
)
def test_while_deploying_only_our_own_apply_is_let_through(
    has_candidate: bool, generation: int, is_drift: bool
) -> None:
    current = a_rollout(Phase.DEPLOYING, 0)
    found = said(current, live_of(current, generation=generation), has_candidate=has_candidate)
    assert bool(found) is is_drift


def test_what_was_seen_before_is_not_counted_again() -> None:
    current = a_rollout()
    live = live_of(current, generation=10)
    assert drift.foreign_writes(current, live, has_candidate=True) == 2
    assert drift.foreign_writes(current, live, has_candidate=True, known=9) == 1
    assert drift.foreign_writes(current, live, has_candidate=True, known=10) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"labels": {"team": "x"}}, "label team added", id="label"),
        pytest.param({"annotations": {"note": "x"}}, "annotation note added", id="annotation"),
        pytest.param({"wanted": Split((*AS_SET.targets, GREEN))}, "tag green added", id="tag"),
        pytest.param({"latest_created": "preview"}, "revision preview was made", id="preview"),
        pytest.param({"session_affinity": True}, "session affinity was False, is True", id="affinity"),
        pytest.param({}, "what changed is not known", id="nothing-to-see"),
    ],
)
def test_what_changed_is_said(change: dict[str, Any], words: str) -> None:
    before = live_of(a_rollout())
    text = drift.told(before, replace(before, **change), 1)
    assert "written once by somebody else (last modified by eve)" in text
    assert words in text


@pytest.mark.parametrize("edit", ["label", "tag", "preview", "annotation"])
def test_a_write_that_touches_nothing_of_ours_is_told_and_stops_nothing(edit: str) -> None:
    scene = Scene()
    scene.reach(5)
    match edit:
        case "label":
            scene.platform.foreign_write(labels={"team": "x"})
        case "tag":
            scene.platform.foreign_write(split=Split((*scene.live.wanted.targets, GREEN)))
        case "annotation":
            scene.platform.foreign_write(annotations={**scene.live.annotations, "note": "x"})
        case _:
            scene.platform.add("preview")
            scene.platform.foreign_write(latest_created="preview")
    assert scene.driver.run().label == "promoted"
    told = [p.text for p in scene.told if p.kind == "foreign_write"]
    assert len(told) == 1
    assert "somebody@else" in told[0]
    assert edit in told[0]


def test_each_harmless_write_is_taken_note_of_so_that_the_next_is_the_only_one() -> None:
    scene = Scene()
    scene.reach(5)
    scene.platform.foreign_write(labels={"team": "x"})
    scene.driver.tick()
    scene.platform.foreign_write(labels={"team": "y"})
    assert not scene.engine("host/2").observer.look(probe=False).situation.drift


@pytest.mark.parametrize("name", [STABLE, CANDIDATE])
def test_a_revision_that_was_made_again_is_another_one(name: str) -> None:
    scene = Scene()
    scene.reach(5)
    candidate, stable = scene.platform.known[CANDIDATE], scene.platform.known[STABLE]
    assert not drift.reborn(scene.rollout, candidate, stable)
    assert not drift.reborn(scene.rollout, None, None)
    remade = [replace(r, uid="another") if r.name == name else r for r in (candidate, stable)]
    assert drift.reborn(scene.rollout, *remade).startswith(f"{name} was deleted and made again")


def test_a_deploying_record_that_comes_back_is_drift_to_a_new_process() -> None:
    """An apply from the time of the deployment replays record and split together."""
    scene = Scene()
    scene.start(engine=scene.driver)
    old = scene.live
    scene.reach(5)
    scene.platform.foreign_write(split=old.wanted, annotations=old.annotations)
    assert scene.roll(engine=scene.engine("host/9")).label == "paused"
    assert "drift" in scene.rollout.reason
    assert scene.live.wanted.percent_of(CANDIDATE) == 0


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
    scene.reach(5, engine)
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
    scene.reach(5, engine)
    old = scene.live
    scene.reach(25, engine)
    scene.platform.foreign_write(split=old.wanted, annotations=old.annotations)
    assert engine.run() is Outcome.PAUSED
    assert "older record" in scene.rollout.reason
    assert scene.live.wanted.percent_of(CANDIDATE) == 5


def test_a_new_process_notices_the_old_record_by_its_generation() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    old = scene.live
    scene.reach(25, engine)
    scene.platform.foreign_write(split=old.wanted, annotations=old.annotations)
    assert scene.roll(engine=scene.engine("host/9")) is Outcome.PAUSED
    assert "drift" in scene.rollout.reason


def test_a_candidate_made_again_under_its_name_is_not_the_candidate() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], uid="another")
    assert engine.run() is Outcome.PAUSED
    assert "made again" in scene.rollout.reason


def test_a_round_at_a_tag_that_was_taken_away_blames_nobody() -> None:
    """Its address answers 404: that is somebody's hand, not the candidate's fault."""
    scene = Scene()
    scene.reach(25)
    scene.platform.foreign_write(split=Split((Target(STABLE, 75, "stable"), Target(CANDIDATE, 25))))
    nobody, held = (Conversation("agent-run", kind, 0.1) for kind in (Kind.REFUSED, Kind.OK))
    scene.prober._done = ProbeReport(scene.clock.now(), 0.1, (nobody,), (held,))
    look = scene.driver.observer.look()
    assert look.situation.stage_verdict.verdict is not Verdict.FAIL
    assert scene.driver.run() is Outcome.PAUSED
    assert scene.live.wanted.percent_of(CANDIDATE) == 25


def test_an_edit_that_is_taken_back_before_anybody_looks_is_drift_all_the_same() -> None:
    scene = Scene()
    scene.reach(25)
    was = scene.live.wanted
    scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 60))
    scene.platform.foreign_write(split=was)
    assert scene.driver.run() is Outcome.PAUSED
    assert "nobody saw what the first of them did" in scene.rollout.reason


def test_promoted_is_no_answer_of_a_driver_either_once_traffic_was_moved_away() -> None:
    scene = Scene()
    scene.roll()
    scene.platform.foreign_write(
        split=Split((Target(STABLE, 100, "stable"), Target(CANDIDATE, 0, "candidate")))
    )
    with pytest.raises(PlanRefused, match="does not have the traffic"):
        scene.engine("host/2").tick()


def test_rolled_back_is_no_answer_once_the_candidate_has_traffic_again() -> None:
    scene = Scene()
    scene.prober.failing.add("http://candidate")
    assert scene.roll() is Outcome.STOPPED_AT_ZERO
    scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 50))
    for ask in (scene.start, scene.engine("host/2").tick):
        with pytest.raises(PlanRefused, match="was rolled back, and has 50%"):
            ask()


@pytest.mark.parametrize(
    ("by", "at", "hint"),
    [
        ("eve", AT, " (last modified by eve at 2026-11-01 12:34:56 UTC)"),
        ("eve", None, " (last modified by eve)"),
        ("", AT, " (last modified at 2026-11-01 12:34:56 UTC)"),
        ("", None, ""),
    ],
)
def test_who_and_when_as_far_as_cloud_run_says_it(by: str, at: datetime | None, hint: str) -> None:
    current = a_rollout()
    live = replace(live_of(current, wanted=Split((Target(STABLE, 100),))), last_modifier=by, update_time=at)
    assert drift.author(live) == hint
    assert said(current, live).endswith(f"5%{hint}")
    assert drift.told(None, live, 1).startswith(f"written once by somebody else{hint}: ")
