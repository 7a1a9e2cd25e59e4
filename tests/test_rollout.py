"""The table of a rollout, and the order in which a step is decided."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import plan
from pipeline.core.actions import (
    Arrive,
    Deploy,
    Enter,
    Finish,
    Pause,
    Promote,
    Restore,
    Settle,
    Wait,
)
from pipeline.core.decision import Situation, decide
from pipeline.core.rollout import ENDED, TRANSITIONS, UNDER_WAY, Event, Last, Phase, Rollout
from pipeline.driving.promote import stage_after
from pipeline.judging import judge
from pipeline.judging.judgement import CriterionJudgement, Judgement, Verdict
from pipeline.model import LiveService, Outcome, Readiness, Revision, Split, Target
from tests.fakes import REF, START
from tests.rollouts import CANDIDATE, STABLE, a_wish, stages

PASS = Judgement(Verdict.PASS, "all good", ())
JUDGED = CriterionJudgement("first_event", Verdict.PASS, 9, 1, 8, 0, 0.5, 1000.0, None, "1/9 failed")
LAST = Last(Verdict.PASS, "all good", "", (JUDGED,), "soaking")
UNDECIDED = Judgement(Verdict.INCONCLUSIVE, "3 of 10 trials", ())
FAIL = Judgement(Verdict.FAIL, "server_error_1011: 5/9 against 0/200", ())
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def a_rollout(phase: Phase = Phase.ROLLING, stage: int = 1, **changes: object) -> Rollout:
    made = plan.first(a_wish(stages=stages(0, 5, 25, 100)))
    made = replace(made, stable=STABLE)
    split = Split.between(STABLE, CANDIDATE, made.terms.stages[stage].percent)
    base = Rollout(
        plan=made, phase=phase, started=START, since=START, heartbeat=START, split=split, judge=judge.begin(made),
        stage_index=stage, generation=7, candidate_uid="c", arrived=START if phase is Phase.ROLLING else None,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def a_revision(
    name: str, readiness: Readiness | None = Readiness.READY, message: str = ""
) -> Revision | None:
    """None: there is none."""
    return Revision(name, "u", START, readiness, message=message) if readiness else None


def a_situation(
    current: Rollout, verdict: Judgement = PASS, after: timedelta = MINUTE, **changes: object
) -> Situation:
    live = LiveService(
        REF, "u", "e", 8, current.split, current.split, {}, "http://main", observed_generation=8
    )
    base = Situation(
        rollout=current, live=live, now=START + after, candidate=a_revision(CANDIDATE),
        stable=a_revision(STABLE),        stage_verdict=verdict, is_probed_now=True,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def unsettled(current: Rollout, **changes: object) -> Situation:
    """What is served looks right, and may be the status of an older write."""
    s = a_situation(current, after=timedelta(seconds=30), **changes)
    return replace(s, live=replace(s.live, observed_generation=7))


def moved_away(s: Situation) -> Situation:
    """What is served is not what was written, though it was seen before."""
    return replace(s, live=replace(s.live, serving=Split((Target(STABLE, 100),))))


def test_every_phase_is_ended_or_under_way_and_no_move_leaves_the_table() -> None:
    assert set(Phase) == ENDED | UNDER_WAY
    assert not ENDED & UNDER_WAY
    for phase, event in itertools.product(Phase, Event):
        if (phase, event) in TRANSITIONS:
            assert a_rollout(phase).on(event, START).phase is TRANSITIONS[phase, event]
        else:
            with pytest.raises(KeyError):
                a_rollout(phase).on(event, START)


def test_every_phase_can_be_reached_and_every_phase_under_way_can_fail() -> None:
    assert {Phase.DEPLOYING, *TRANSITIONS.values()} == set(Phase)
    for phase in UNDER_WAY | {Phase.PROMOTED}:
        assert TRANSITIONS[phase, Event.FAILED] is Phase.ROLLING_BACK


DECISIONS: list[tuple[str, Callable[[], Situation], object]] = [
    ("deploys what is not there", lambda: a_situation(a_rollout(Phase.DEPLOYING, 0), candidate=None), Deploy()),
    ("enters stage 0 when it is ready", lambda: a_situation(a_rollout(Phase.DEPLOYING, 0)), Enter(0, Event.DEPLOYED)),
    ("rises after the soak", lambda: a_situation(a_rollout()), Enter(2, Event.RAISED)),
    ("sends back on FAIL", lambda: a_situation(a_rollout(), FAIL), Restore(FAIL.reason)),
    ("sends back on FAIL while paused", lambda: a_situation(a_rollout(Phase.PAUSED), FAIL), Restore(FAIL.reason)),
    ("sends back on FAIL in spite of drift", lambda: a_situation(a_rollout(), FAIL, drift="edited"), Restore(FAIL.reason)),
    ("pauses on drift", lambda: a_situation(a_rollout(), drift="edited"), Pause("drift: edited", "edited")),
    ("stays paused", lambda: a_situation(a_rollout(Phase.PAUSED)), Finish(Outcome.PAUSED)),
    ("pauses when stable is gone", lambda: a_situation(a_rollout(), stable=None), Pause(f"the roll-back target {STABLE} is gone")),
    ("sends back when the candidate is gone", lambda: a_situation(a_rollout(), candidate=None), Restore(f"the candidate {CANDIDATE} is gone")),
    ("promotes what is certified", lambda: a_situation(a_rollout(stage=3), certification=PASS), Promote(PASS.reason)),
    ("probes both before it rises", lambda: a_situation(a_rollout(), is_probed_now=False), Wait(START + MINUTE + timedelta(seconds=0.25), "5% passed: probing both revisions before the raise", probe=True)),
    ("begins a stage again whose start lies in the future", lambda: a_situation(a_rollout(since=START + 10 * MINUTE)), Enter(1, Event.RAISED, "the stage begins again: its start lies 540s in the future, so a clock was wrong")),
    ("ends what has ended", lambda: a_situation(a_rollout(Phase.PROMOTED, 3)), Finish(Outcome.PROMOTED)),
    ("settles what was read back", lambda: a_situation(a_rollout(Phase.ROLLING_BACK, split=Split((Target(STABLE, 100),)))), Settle()),
    ("gives back once more", lambda: a_situation(a_rollout(Phase.ROLLING_BACK, reason="bad")), Restore("bad")),
]  # fmt: skip


@pytest.mark.parametrize(("make", "action"), [pytest.param(m, a, id=i) for i, m, a in DECISIONS])
def test_decisions(make: Callable[[], Situation], action: object) -> None:
    assert decide(make()) == action


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(lambda: a_situation(a_rollout(), after=timedelta(seconds=5)), id="soaking"),
        pytest.param(lambda: a_situation(a_rollout(), UNDECIDED), id="undecided"),
        pytest.param(lambda: a_situation(a_rollout(), blind="no logs"), id="blind"),
        pytest.param(
            lambda: a_situation(a_rollout(), stable_fails="timed_out: no answer"), id="stable-hangs"
        ),
        pytest.param(lambda: unsettled(a_rollout(arrived=None)), id="old-status"),
        pytest.param(
            lambda: unsettled(a_rollout(stage=3, arrived=None), certification=PASS),
            id="old-status-at-the-end",
        ),
        pytest.param(lambda: moved_away(a_situation(a_rollout())), id="another-split-is-served"),
        pytest.param(
            lambda: unsettled(a_rollout(Phase.ROLLING_BACK, split=Split((Target(STABLE, 100),)))),
            id="old-status-of-a-roll-back",
        ),
        pytest.param(lambda: a_situation(a_rollout(stage=3), certification=UNDECIDED), id="not-certified"),
        pytest.param(lambda: a_situation(a_rollout(stage=3)), id="certification-not-asked"),
        pytest.param(
            lambda: a_situation(
                a_rollout(Phase.DEPLOYING, 0), candidate=a_revision(CANDIDATE, Readiness.PENDING)
            ),
            id="starting",
        ),
    ],
)
def test_waits_while_it_must_and_calls_a_human_after_the_deadline(situation: Callable[[], Situation]) -> None:
    assert isinstance(decide(situation()), Wait)


@pytest.mark.parametrize(
    "changes",
    [
        {"stage_verdict": UNDECIDED},
        {"blind": "no logs"},
        {"stable_fails": "timed_out"},
        {"is_probed_now": False},  # a round that never ends
    ],
)
def test_after_the_deadline_a_human_is_called(changes: dict[str, object]) -> None:
    action = decide(a_situation(a_rollout(), after=timedelta(hours=1), **changes))
    assert isinstance(action, Pause)
    assert "deadline" in action.reason


def test_nothing_but_pass_ever_raises() -> None:
    """S3: no path leads from missing or bad evidence to more traffic."""
    flags = itertools.product(
        Phase, range(4), (PASS, UNDECIDED, FAIL), (PASS, UNDECIDED, None), ("", "edited"), ("", "no logs"),
        (None, *Readiness), (None, *Readiness), (timedelta(seconds=1), MINUTE, timedelta(hours=1)),
    )  # fmt: skip
    raised = 0
    for phase, stage, verdict, certified, drift, blind, candidate, stable, after in flags:
        s = a_situation(
            a_rollout(phase, stage), verdict, after, certification=certified, drift=drift, blind=blind,
            candidate=a_revision(CANDIDATE, candidate), stable=a_revision(STABLE, stable),
        )  # fmt: skip
        action = decide(s)
        if (isinstance(action, Enter) and action.stage > 0) or isinstance(action, Promote):
            raised += 1
            assert verdict is PASS
            assert not drift
            assert not blind
            assert candidate is Readiness.READY
            assert stable is Readiness.READY
            assert not isinstance(action, Promote) or certified is PASS
    assert raised


def test_a_roll_back_that_is_never_seen_is_unverified() -> None:
    current = a_rollout(Phase.ROLLING_BACK, split=Split((Target(STABLE, 100),)))
    live = replace(a_situation(current).live, serving=Split((Target(CANDIDATE, 100),)))
    assert isinstance(decide(a_situation(current, live=live, after=timedelta(seconds=5))), Wait)
    assert decide(a_situation(current, live=live, after=2 * MINUTE)) == Finish(Outcome.ROLLBACK_UNVERIFIED)


def test_a_roll_back_waits_longer_while_a_revision_is_being_judged() -> None:
    current = a_rollout(Phase.ROLLING_BACK, split=Split((Target(STABLE, 100),)))
    live = replace(a_situation(current).live, reconciling=True, latest_created=CANDIDATE, latest_ready=STABLE)
    assert isinstance(decide(a_situation(current, live=live, after=2 * MINUTE)), Wait)
    assert decide(a_situation(current, live=live, after=6 * MINUTE)) == Finish(Outcome.ROLLBACK_UNVERIFIED)


def test_a_reconciliation_that_failed_is_settled() -> None:
    """Its observed generation stays where it was for good, and the traffic that it reports is right."""
    current = a_rollout(Phase.ROLLING_BACK, split=Split((Target(STABLE, 100),)))
    live = replace(a_situation(current).live, observed_generation=6, failure="it exited with 1")
    assert decide(a_situation(current, live=live)) == Settle()


FIVE_MINUTES = timedelta(minutes=5)  # the deadline of each stage here; its soak is 20 s
JUST = timedelta(milliseconds=1)
STARTING = Readiness.PENDING


@pytest.mark.parametrize(
    "undecided",
    [
        lambda after: a_situation(a_rollout(), UNDECIDED, after),
        lambda after: a_situation(
            a_rollout(Phase.DEPLOYING, 0), PASS, after, candidate=a_revision(CANDIDATE, STARTING)
        ),
    ],
    ids=["rolling", "starting"],
)
def test_a_deadline_is_from_the_stages_start_and_no_moment_longer(
    undecided: Callable[[timedelta], Situation],
) -> None:
    assert isinstance(decide(undecided(FIVE_MINUTES)), Wait)
    assert isinstance(decide(undecided(FIVE_MINUTES + JUST)), Pause)


def test_a_stage_is_left_when_its_soak_is_over_and_no_moment_before() -> None:
    soak = timedelta(seconds=20)
    waiting = decide(a_situation(a_rollout(), after=soak - JUST))
    assert waiting == Wait(START + soak, "soaking at 5%")
    assert decide(a_situation(a_rollout(), after=soak)) == Enter(2, Event.RAISED)


def test_a_stage_begins_when_its_traffic_is_seen() -> None:
    moving = a_rollout(arrived=None)
    assert decide(a_situation(moving)) == Arrive()
    assert isinstance(decide(unsettled(moving)), Wait)
    assert decide(moved_away(a_situation(moving))) == Wait(START + MINUTE + SECOND, "traffic is moving")
    late = a_rollout(arrived=START + MINUTE)
    assert isinstance(decide(a_situation(late, after=MINUTE + 20 * SECOND - JUST)), Wait)
    assert decide(a_situation(late, after=MINUTE + 20 * SECOND)) == Enter(2, Event.RAISED)
    assert isinstance(decide(a_situation(late, UNDECIDED, MINUTE + FIVE_MINUTES)), Wait)
    assert isinstance(decide(a_situation(late, UNDECIDED, MINUTE + FIVE_MINUTES + JUST)), Pause)


def test_traffic_that_never_arrives_is_told_to_a_human() -> None:
    moving = unsettled(a_rollout(arrived=None))
    told = decide(replace(moving, now=START + FIVE_MINUTES + JUST))
    assert isinstance(told, Pause)
    assert "still reconciling" in told.reason


@pytest.mark.parametrize(
    ("live", "words"),
    [
        ({"serving": Split((Target(STABLE, 100),)), "observed_generation": 7}, "traffic is moving"),
        ({"observed_generation": 7, "reconciling": True}, "served, and Cloud Run is still reconciling"),
        (
            {
                "observed_generation": 7,
                "reconciling": True,
                "latest_created": "preview-1",
                "latest_ready": STABLE,
            },
            "served, and Cloud Run is still bringing up preview-1",
        ),
        (
            {"serving": Split((Target(STABLE, 100),)), "failure": "revision quota exceeded"},
            "revision quota exceeded",
        ),
    ],
)
def test_why_traffic_has_not_arrived_is_told(live: dict[str, object], words: str) -> None:
    s = a_situation(a_rollout(arrived=None))
    waiting = decide(replace(s, live=replace(s.live, **live)))  # type: ignore[arg-type]
    assert isinstance(waiting, Wait)
    assert words in waiting.why


def test_a_stage_that_lies_in_the_future_again_is_told_to_a_human() -> None:
    """Two machines whose hours differ would begin it again by turns, for ever."""
    first = a_rollout(since=START + 10 * MINUTE)
    again = first.on(Event.RAISED, START, split=first.split)
    assert isinstance(decide(a_situation(replace(first, history=again.history))), Enter)
    twice = again.on(Event.RAISED, START, split=first.split)
    told = decide(a_situation(twice))
    assert isinstance(told, Pause)
    assert "clocks" in told.reason


def test_a_split_that_was_just_written_has_not_arrived() -> None:
    at_5 = a_rollout(arrived=START)
    back = at_5.on(Event.FAILED, START, split=Split.between(STABLE, CANDIDATE, 0))
    assert (at_5.arrived, back.arrived) == (START, None)
    assert at_5.on(Event.HELD, START).arrived == START


def test_a_heartbeat_on_top_of_a_stage_that_arrived_keeps_nothing_back() -> None:
    """The status cannot be older than what was seen before."""
    assert decide(unsettled(a_rollout())) == Enter(2, Event.RAISED)


def test_a_stage_that_asks_for_a_human_waits_for_one() -> None:
    held = a_rollout()
    held = replace(
        held, plan=replace(held.plan, terms=replace(held.plan.terms, stages=stages(0, 5, 25, 100, hold_at=5)))
    )
    asked = decide(a_situation(held))
    assert isinstance(asked, Pause)
    assert "asks for a human" in asked.reason


@pytest.mark.parametrize(
    ("stable", "kind"),
    [(None, Pause), (Readiness.FAILED, Pause), (STARTING, Wait), (Readiness.READY, Restore)],
)
def test_users_are_sent_back_only_to_what_is_ready(stable: Readiness | None, kind: type) -> None:
    assert isinstance(decide(a_situation(a_rollout(), FAIL, stable=a_revision(STABLE, stable))), kind)
    again = decide(
        a_situation(
            a_rollout(Phase.ROLLING_BACK), stable=a_revision(STABLE, stable), after=timedelta(seconds=5)
        )
    )
    assert isinstance(again, Restore if stable is Readiness.READY else Wait)


@pytest.mark.parametrize(("stage", "kind"), [(0, Restore), (1, Restore), (2, Restore), (3, Pause)])
def test_a_stable_that_answers_wrongly_keeps_users_only_where_it_was_not_compared(
    stage: int, kind: type
) -> None:
    assert isinstance(decide(a_situation(a_rollout(stage=stage), FAIL, is_stable_bad=True)), kind)


def test_a_candidate_that_breaks_at_its_stage_is_sent_back() -> None:
    broken = decide(
        a_situation(
            a_rollout(),
            candidate=a_revision(CANDIDATE, Readiness.FAILED, "out of memory"),
            after=timedelta(0),
        )
    )
    assert broken == Restore(f"the candidate {CANDIDATE} is failed: out of memory")


# -- what a rollout remembers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to_percent", "stage"), [(1, 1), (5, 1), (6, 2), (25, 2), (26, 3), (100, 3)], ids=str
)
def test_skipping_ahead_goes_to_the_first_stage_with_that_share(to_percent: int, stage: int) -> None:
    assert stage_after(a_rollout(Phase.PAUSED, 1), to_percent) == stage


def test_skipping_ahead_never_goes_back() -> None:
    assert stage_after(a_rollout(Phase.PAUSED, 2), 5) == 2


@pytest.mark.parametrize(
    ("hold_at", "drift", "stage"), [(5, "", 2), (5, "edited", 1), (None, "", 1), (100, "", 1)]
)
def test_going_on_leaves_only_a_stage_that_passed_and_asked_for_it(
    hold_at: int | None, drift: str, stage: int
) -> None:
    current = a_rollout(Phase.PAUSED, drift=drift)
    current = replace(
        current,
        plan=replace(
            current.plan, terms=replace(current.plan.terms, stages=stages(0, 5, 25, 100, hold_at=hold_at))
        ),
    )
    assert stage_after(current, None) == stage


def test_what_users_met_is_remembered_after_traffic_went_back() -> None:
    met = a_rollout().on(Event.RAISED, START, stage_index=1)
    back = met.on(Event.FAILED, START, split=Split.between(STABLE, CANDIDATE, 0)).on(Event.RESTORED, START)
    assert (back.reached, back.outcome) == (5, Outcome.ROLLED_BACK)
    assert replace(back, by_hand=True).outcome is Outcome.ROLLED_BACK_BY_HAND
    never = a_rollout(stage=0).on(Event.FAILED, START).on(Event.RESTORED, START)
    assert (never.reached, never.outcome) == (0, Outcome.STOPPED_AT_ZERO)


def test_long_words_are_cut() -> None:
    said = a_rollout().on(Event.HELD, START, reason="x" * 9000, drift="y" * 9000)
    assert len(said.reason) == len(said.drift) == len(said.history[-1].reason) == 400
