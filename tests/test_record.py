"""The record survives being written and read, fits, and says what is wrong with one that does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.rollout import Event, Phase
from pipeline.errors import PlanRefused, RecordUnreadable
from pipeline.judging import judge
from pipeline.judging.counts import Counts
from pipeline.judging.probes import Probes
from pipeline.judging.terms import Criterion
from pipeline.model import RECORD_ANNOTATION, Outcome
from pipeline.report.facts import words_of
from tests.fakes import REF, START
from tests.rollouts import CANDIDATE, STABLE, Scene
from tests.test_rollout import LAST, a_rollout

VERSION_1 = Path(__file__).parent / "records" / "v1"  # written by the last Spillway that wrote them
VERSION_2 = VERSION_1.parent / "v2"  # likewise


def test_what_was_written_is_read() -> None:
    current = a_rollout(epoch=3, drift="x", last=LAST).on(Event.RAISED, START, reason="ok", by="ada")
    assert record.decode(record.encode(current)) == current


def test_a_record_of_a_real_rollout_is_small() -> None:
    scene = Scene()
    scene.roll()
    text = scene.live.record_text or ""
    assert record.decode(text) == scene.rollout
    assert len(text.encode()) < record.MAX_BYTES / 2


def test_a_long_history_loses_its_middle_not_its_ends() -> None:
    current = a_rollout()
    for number in range(300):
        now = START + timedelta(seconds=number)
        current = current.on(Event.RAISED, now, reason=f"step {number} " + "x" * 50)
    text = record.encode(current)
    assert len(text.encode()) <= record.MAX_BYTES
    kept = record.decode(text).history
    assert kept[0].reason.startswith("step 0 ")
    assert kept[-1].reason.startswith("step 299 ")


def test_what_cannot_fit_is_refused() -> None:
    with pytest.raises(record.RecordUnreadable, match="16,384 are allowed"):
        record.encode(replace(a_rollout(), reason="x" * 20_000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"v": 4}', "version '4', this Spillway reads 1 to 3"),
        ('{"v": 2}', "plan"),
        ('{"v": 1}', "plan"),
        ("[" * 100_000, "cannot be read"),
        (json.dumps({"v": 1, "phase": "flying"}), "cannot be read"),
    ],
)
def test_what_is_no_record(text: str, words: str) -> None:
    with pytest.raises(record.RecordUnreadable) as caught:
        record.decode(text)
    assert words in str(caught.value)
    assert "spillway rollback" in caught.value.fix


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("plan", "terms", "criteria", 0, "metric"), "nobody_knows"),
        (("plan", "terms", "criteria", 0, "limit"), 1e30),
        (("plan", "terms", "criteria", 0, "certify"), 0),
        (("plan", "terms", "alpha"), 0),
        (("plan", "terms", "sampling", "block"), "PT0S"),
        (("plan", "terms", "sampling", "block"), "PT0.000001S"),
        (("plan", "terms", "sampling", "within"), "P10000000D"),
        (("plan", "terms", "sampling", "lateness"), "-P3000D"),
        (("plan", "terms", "sampling", "warm_up"), "P999999D"),
        (("plan", "terms", "stages", 1, "soak"), "P999999D"),
        (("plan", "terms", "stages", 1, "deadline"), "-PT1S"),
        (("plan", "terms", "probing", "every"), "P999999D"),
        (("plan", "terms", "probing", "sessions"), 10**9),
        (("plan", "terms", "probing", "concurrency"), 0),
        (("last",), {"verdict": "pass"}),
        (("last", "verdict"), "fine"),
        (("last", "criteria", 0, "e_value"), float("inf")),
        (("since",), "0001-01-01T00:00:00Z"),
        (("since",), "2026-01-01T00:00:00"),
        (("arrived",), "9999-12-31T23:59:59Z"),
        (("heartbeat",), "9999-12-31T23:59:59Z"),
        (("history",), [{"at": "2026-01-01T00:00:00", "event": "raised", "percent": 5}]),
        (
            ("spans",),
            [
                {
                    "since": "2026-01-01T00:00:00",
                    "until": "2026-01-01T00:01:00Z",
                    "split_epoch": 1,
                    "percent": 5,
                }
            ],
        ),
        (("spans",), [{"since": "2026-01-01T00:00:00Z", "until": None, "split_epoch": 1, "percent": 5}]),
        (("judge", "blocks"), 10**300),
        (("judge", "seen"), [0, -5]),
        (("plan", "terms", "stages"), []),
        (("plan", "stable"), ""),
        (("stage",), 9),
        (("epoch",), -1),
        (("judge", "compared"), {}),
        (("split", "targets", 0, "percent"), 500),
    ],
)
def test_what_has_the_right_types_and_no_sense(where: tuple[str | int, ...], value: object) -> None:
    body = json.loads(record.encode(a_rollout(last=LAST)))
    body["plan"]["terms"].setdefault("sampling", {})
    body["plan"]["terms"].setdefault("probing", {})
    inner = body
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(record.RecordUnreadable):
        record.decode(json.dumps(body))


def test_a_phase_is_kept_by_name() -> None:
    assert json.loads(record.encode(a_rollout(Phase.PAUSED)))["phase"] == "paused"


def test_a_stage_is_kept_by_its_number() -> None:
    body = json.loads(record.encode(a_rollout(stage=2)))
    assert body["stage"] == 2
    assert record.decode(json.dumps(body)).stage_index == 2
    assert record.decode(record.encode(a_rollout(stage=0))).stage_index == 0


def test_whatever_else_does_not_fit_a_roll_back_is_recorded() -> None:
    for phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        current = a_rollout(phase, stage=0)
        text = record.encode(replace(current, plan=replace(current.plan, image="x" * 20_000)))
        kept = record.decode(text)
        assert (kept.phase, kept.plan.stable, kept.plan.candidate) == (phase, STABLE, CANDIDATE)


def test_a_record_that_could_outgrow_its_place_is_refused_before_it_is_written() -> None:
    """It fits as it begins; what the judge comes to remember of these criteria does not."""
    current, many = a_rollout(), tuple(Criterion(f"metric-{n}", limit=0.01) for n in range(25))
    plan = replace(current.plan, terms=replace(current.plan.terms, criteria=many))
    begun = replace(a_rollout(Phase.DEPLOYING, 0), plan=plan, judge=judge.begin(plan))
    assert len(record.encode(begun)) < record.MAX_BYTES
    with pytest.raises(PlanRefused, match="16,384 are allowed"):
        record.must_fit(begun, Scene().live)


def test_a_record_needs_room_beside_other_peoples_annotations() -> None:
    begun = a_rollout(Phase.DEPLOYING, 0)
    full = record.MAX_ANNOTATION_BYTES - record.MAX_BYTES - len(RECORD_ANNOTATION) - len("theirs")
    record.must_fit(begun, replace(Scene().live, annotations={"theirs": "x" * full}))
    with pytest.raises(PlanRefused, match="no room for the rollout record"):
        record.must_fit(begun, replace(Scene().live, annotations={"theirs": "x" * (full + 1)}))


def test_other_peoples_annotations_stay() -> None:
    before = record.encode(a_rollout(epoch=2))
    live = replace(Scene().live, annotations={"theirs": "kept", RECORD_ANNOTATION: before})
    made = record.annotated(live, a_rollout())
    assert made == {"theirs": "kept", RECORD_ANNOTATION: record.encode(a_rollout())}


@pytest.mark.parametrize("changes", [{"service": "another"}, {"location": "elsewhere"}, {"project": "q"}])
def test_a_record_of_another_service_is_not_believed(changes: dict[str, str]) -> None:
    current = a_rollout()
    assert record.of(replace(Scene().live, annotations=record.annotated(Scene().live, current))) == current
    theirs = replace(current, plan=replace(current.plan, ref=replace(REF, **changes)))
    live = replace(Scene().live, annotations=record.annotated(Scene().live, theirs))
    assert record.readable(live) is None
    with pytest.raises(RecordUnreadable, match="another service's"):
        record.of(live)


@pytest.mark.parametrize(
    "changes",
    [
        {"stage_index": 4},
        {"stage_index": -1},
        {"epoch": -1},
        {"reached": -5},
        {"started": START.replace(tzinfo=None)},
    ],
)
def test_what_no_record_of_ours_holds_is_not_believed(changes: dict[str, object]) -> None:
    current = a_rollout(stage=3)
    assert record.decode(record.encode(current)) == current
    with pytest.raises(RecordUnreadable):
        record.decode(record.encode(replace(current, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "criterion",
    [Criterion("metric-of-tomorrow", limit=0.1), Criterion("agent_completed", limit=1.5), Criterion("agent_completed", certify=0.0)],
    ids=str,
)  # fmt: skip
def test_criteria_that_nobody_can_judge_are_not_believed(criterion: Criterion) -> None:
    current = a_rollout()
    plan = replace(current.plan, terms=replace(current.plan.terms, criteria=(criterion,)))
    with pytest.raises(RecordUnreadable, match="cannot judge"):
        record.decode(record.encode(replace(current, plan=plan, judge=judge.begin(plan))))


def test_a_time_is_kept_as_the_same_moment_in_utc() -> None:
    there = datetime(2026, 7, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    kept = record.utc(there)
    assert kept == datetime(2026, 7, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert kept.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", [pytest.param(p.read_text(), id=p.stem) for p in sorted(VERSION_1.glob("*.json"))]
)
def test_a_record_of_version_1_is_read_and_written_as_one_of_now(text: str) -> None:
    old = json.loads(text)
    found = record.decode(text.strip())
    assert (found.plan.rollout_id, found.phase, found.epoch) == (
        old["plan"]["rollout_id"],
        old["phase"],
        old["epoch"],
    )
    terms = found.plan.terms
    assert [stage.percent for stage in terms.stages] == [stage["percent"] for stage in old["plan"]["stages"]]
    assert [each.metric for each in terms.criteria] == [each["metric"] for each in old["plan"]["criteria"]]
    assert terms.scenarios == tuple(old["plan"]["scenarios"])
    assert terms.sampling.min_trials == old["plan"]["sampling"]["min_trials"]
    assert terms.probing.sessions == old["plan"]["probing"]["sessions"]
    assert found.arrived is None
    assert [span.split_epoch for span in found.spans] == (
        [old["before"]["split_epoch"]] if "before" in old else []
    )
    again = record.encode(found)
    assert json.loads(again)["v"] == record.VERSION
    assert record.decode(again) == found


@pytest.mark.parametrize(
    "text", [pytest.param(p.read_text(), id=p.stem) for p in sorted(VERSION_2.glob("*.json"))]
)
def test_a_record_of_version_2_is_read_and_written_as_one_of_now(text: str) -> None:
    old = json.loads(text)
    found = record.decode(text.strip())
    assert (found.phase, found.epoch, found.stage_index) == (old["phase"], old["epoch"], old.get("stage", 0))
    for metric, counts in old["judge"].get("total", {}).items():
        assert found.judge.total[metric] == Counts(**counts)
    assert found.judge.compared == {m: tuple(bets) for m, bets in old["judge"]["compared"].items()}
    again = record.encode(found)
    assert json.loads(again)["v"] == record.VERSION
    assert record.decode(again) == found


@pytest.mark.parametrize(("name", "share"), [("rolling", 25), ("at_full_traffic", 100), ("rolling_back", 5)])
def test_a_rollout_that_version_2_began_goes_on_to_its_end(name: str, share: int) -> None:
    """Its bets go on; whom version 2 counted it did not remember, so they are counted from now on."""
    scene = Scene()
    scene.reach(share)
    old = json.loads((VERSION_2 / f"{name}.json").read_text())
    text = json.dumps({**old, "generation": scene.live.generation})
    scene.platform.foreign_write(annotations={RECORD_ANNOTATION: text})
    ended = scene.engine("host/2").run(until=scene.clock.now() + timedelta(hours=2))
    assert ended is (Outcome.ROLLED_BACK if name == "rolling_back" else Outcome.PROMOTED)


@pytest.mark.parametrize("name", ["rolled_back", "rolling_back"])
def test_what_version_1_blamed_in_a_sentence_is_a_field(name: str) -> None:
    """What the report says of an old record is what it said before."""
    found = record.decode((VERSION_1 / f"{name}.json").read_text().strip())
    assert found.reason.startswith(f"{found.blamed}: ")
    assert found.last
    assert found.blamed == found.judge.blamed == found.last.blamed
    assert not any(step.by_hand for step in found.history)
    body = json.loads((VERSION_1 / f"{name}.json").read_text())
    body["history"] += [
        {"at": "2026-01-01T13:00:00Z", "event": "failed", "percent": 0, "reason": reason, "by": "ada"}
        for reason in ("felt wrong", "superseded by b")
    ]
    old = record.decode(json.dumps({**body, "by_hand": True}))
    assert [words_of(step) for step in old.history[-2:]] == ["rolled back by hand", "superseded"]
    assert not old.blamed


def test_a_stage_that_version_1_began_counts_from_its_arrival() -> None:
    scene = Scene()
    scene.reach(25)
    old = json.loads((VERSION_1 / "rolling.json").read_text())
    assert old["judge"]["stage"]
    text = json.dumps({**old, "generation": scene.live.generation})
    scene.platform.foreign_write(annotations={RECORD_ANNOTATION: text})
    other = scene.engine("host/2")
    while scene.rollout.arrived is None:
        other.tick()
        scene.clock.sleep(timedelta(seconds=1))
    assert scene.rollout.judge.stage == {}
    assert scene.rollout.judge.total
    assert other.run() is Outcome.PROMOTED


def test_what_probes_had_proved_before_they_had_bets_stays_proved() -> None:
    body = json.loads(record.encode(a_rollout()))
    body["judge"] |= {"probes_ok": 7, "probes_bad": 3}
    seen = record.decode(json.dumps(body)).judge
    assert (seen.failed, seen.blamed) == ("3 probe conversations failed, confirmed against stable", "")
    assert seen.probes == Probes(ok=7)
    del body["judge"]["probes_bad"]
    assert not record.decode(json.dumps(body)).judge.failed
