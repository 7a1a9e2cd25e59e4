"""The table of a rollout, and the order in which a step is decided."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline import judge, plan, rollout
from pipeline.decision import Deploy, Enter, Finish, Pause, Promote, Restore, Settle, Situation, Wait, decide
from pipeline.judge import Judgement, Verdict
from pipeline.model import LiveService, Outcome, Readiness, Split, Target
from pipeline.rollout import ENDED, TRANSITIONS, UNDER_WAY, Event, Phase, Rollout
from tests.fakes import REF, START
from tests.rollouts import CANDIDATE, STABLE, a_wish, stages

PASS = Judgement(Verdict.PASS, "all good", ())
UNDECIDED = Judgement(Verdict.INCONCLUSIVE, "3 of 10 trials", ())
FAIL = Judgement(Verdict.FAIL, "server_error_1011: 5/9 against 0/200", ())
MINUTE = timedelta(minutes=1)


def a_rollout(phase: Phase = Phase.ROLLING, stage: int = 1, **changes: object) -> Rollout:
    made = plan.first(a_wish(stages=stages(0, 5, 25, 100)))
    made = replace(made, stable=STABLE)
    split = Split.between(STABLE, CANDIDATE, made.stages[stage].percent)
    base = Rollout(
        plan=made, phase=phase, started=START, since=START, heartbeat=START, split=split, judge=judge.begin(made),
        stage=stage, generation=7, candidate_uid="c",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def a_situation(
    current: Rollout, verdict: Judgement = PASS, after: timedelta = MINUTE, **changes: object
) -> Situation:
    live = LiveService(REF, "u", "e", 8, current.split, current.split, {}, "http://main")
    base = Situation(
        rollout=current, live=live, now=START + after, candidate=Readiness.READY, stable=Readiness.READY,
        stage_verdict=verdict,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


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
        pytest.param(lambda: a_situation(a_rollout(stage=3), certification=UNDECIDED), id="not-certified"),
        pytest.param(lambda: a_situation(a_rollout(stage=3)), id="certification-not-asked"),
        pytest.param(
            lambda: a_situation(a_rollout(Phase.DEPLOYING, 0), candidate=Readiness.PENDING), id="starting"
        ),
    ],
)
def test_waits_while_it_must_and_calls_a_human_after_the_deadline(situation: Callable[[], Situation]) -> None:
    assert isinstance(decide(situation()), Wait)


@pytest.mark.parametrize("changes", [{"stage_verdict": UNDECIDED}, {"blind": "no logs"}])
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
            candidate=candidate, stable=stable,
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wanted": Split((Target(STABLE, 50), Target(CANDIDATE, 50)))}, "traffic was set to"),
        (
            {
                "wanted": Split(
                    (Target(STABLE, 95, "stable"), Target(CANDIDATE, 5), Target(STABLE, 0, "candidate"))
                )
            },
            "tag",
        ),
        ({"generation": 9}, "written 1 time by somebody else"),
        ({"generation": 8}, ""),
        ({"wanted": Split((*Split.between(STABLE, CANDIDATE, 5).targets, Target(STABLE, 0, "green")))}, ""),
    ],
)
def test_drift(change: dict[str, object], words: str) -> None:
    current = a_rollout()
    live = replace(a_situation(current).live, last_modifier="eve", **change)  # type: ignore[arg-type]
    said = rollout.drift_of(current, live)
    assert words in said
    assert bool(said) is bool(words)


def test_an_older_epoch_is_drift() -> None:
    current = a_rollout(epoch=4)
    assert "older record" in rollout.drift_of(current, a_situation(current).live, last_epoch=5)
