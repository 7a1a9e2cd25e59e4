"""The rollout as a table, and the decision of each step.  PURE.

Theory of operation. A rollout is always in one *phase*; what may follow is a dictionary
``(phase, event) -> phase``. A missing key is the error, so an illegal move costs no code:

    DEPLOYING ---------- the record is written, the candidate revision is being made (0 %)
      | deployed
    ROLLING   ---------- at ``plan.stages[stage]``; stage 0 is 0 % behind the tag. Raised stage by stage
      |  \\  held         (nobody to decide, drift, a stage that asks for it, a deadline)
      |  PAUSED -------- weight stays; an operator's ``promote`` resumes, a FAIL still sends traffic back
      | promoted
    PROMOTED  ---------- 100 %, certified
    ROLLING_BACK ------- traffic was given back to stable; not yet read back
      | restored
    ROLLED_BACK -------- read back and seen

``decide`` looks at one ``Situation`` and names one ``Action``. It is level-triggered: it derives the next step from
what is, never from what woke it. Its order is the safety argument:

 1. finish what was begun (a roll-back under way comes before everything);
 2. somebody else's hand on the service: never raise;
 3. FAIL: back to stable, whatever else is true, unless stable is gone or just as bad: then a human is called;
 4. INCONCLUSIVE: hold the weight, and after the deadline call a human;
 5. PASS, soak over, stable still ready: one step up.

(FAIL is looked at before the foreign hand: lowering is always allowed.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pipeline.judge import Judgement, JudgeState, Verdict
from pipeline.model import CANDIDATE_TAG, STABLE_TAG, LiveService, Outcome, Plan, Readiness, Split, Stage


class Phase(StrEnum):
    DEPLOYING = "deploying"
    ROLLING = "rolling"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


class Event(StrEnum):
    DEPLOYED = "deployed"
    RAISED = "raised"
    HELD = "held"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    FAILED = "failed"  # the judge, a deploy that never got ready, or an operator: back to stable
    RESTORED = "restored"
    RETRIED = "retried"


TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.DEPLOYING, Event.DEPLOYED): Phase.ROLLING,
    (Phase.DEPLOYING, Event.HELD): Phase.PAUSED,
    (Phase.DEPLOYING, Event.FAILED): Phase.ROLLING_BACK,
    (Phase.ROLLING, Event.RAISED): Phase.ROLLING,
    (Phase.ROLLING, Event.HELD): Phase.PAUSED,
    (Phase.ROLLING, Event.PROMOTED): Phase.PROMOTED,
    (Phase.ROLLING, Event.FAILED): Phase.ROLLING_BACK,
    (Phase.PAUSED, Event.RESUMED): Phase.ROLLING,
    (Phase.PAUSED, Event.RETRIED): Phase.DEPLOYING,  # paused before the candidate was there
    (Phase.PAUSED, Event.FAILED): Phase.ROLLING_BACK,
    (Phase.PROMOTED, Event.FAILED): Phase.ROLLING_BACK,
    (Phase.ROLLING_BACK, Event.FAILED): Phase.ROLLING_BACK,  # the write was lost or undone: once more
    (Phase.ROLLING_BACK, Event.RESTORED): Phase.ROLLED_BACK,
    (
        Phase.ROLLED_BACK,
        Event.FAILED,
    ): Phase.ROLLING_BACK,  # somebody moved traffic since; an operator gives it back
}

_REASON_CHARS = 400

ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK})
UNDER_WAY = frozenset(Phase) - ENDED


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the history: what was done, when, to which share, why, and by whom."""

    at: datetime
    event: Event
    percent: int
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a split that was replaced: its last blocks close a little later."""

    since: datetime
    until: datetime
    split_epoch: int
    percent: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """All that a rollout remembers: what the record on the service holds (``record.py`` writes it as text).

    Args:
        stage: index into ``plan.stages``; ``since`` is when it began.
        epoch: rises by one with each of our writes.
        split_epoch: rises when the live split changes; evidence is bound to it.
        generation: the service's generation at the read that the last write was decided on.
        driver: who wrote last.
        split: what traffic shall be, as last written.
        before: the split before it, while users met the candidate there.
        reached: the highest share of traffic that the candidate ever had.
        drift: what somebody else changed; set while paused for that reason.
    """

    plan: Plan
    phase: Phase
    started: datetime
    since: datetime
    heartbeat: datetime
    split: Split
    judge: JudgeState
    driver: str = ""
    attempt: int = 1
    stage: int = 0
    epoch: int = 0
    split_epoch: int = 0
    generation: int = 0
    candidate_uid: str = ""
    reached: int = 0
    drift: str = ""
    reason: str = ""
    by_hand: bool = False
    before: Span | None = None
    last: Mapping[str, object] | None = None
    history: tuple[Step, ...] = ()

    @property
    def current(self) -> Stage:
        return self.plan.stages[self.stage]

    @property
    def is_last_stage(self) -> bool:
        return self.stage == len(self.plan.stages) - 1

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, once it has; a paused rollout has an outcome too, and may still get another."""
        if self.phase is Phase.PROMOTED:
            return Outcome.PROMOTED
        if self.phase is Phase.PAUSED:
            return Outcome.PAUSED
        if self.phase is Phase.ROLLED_BACK:
            if self.by_hand:
                return Outcome.ROLLED_BACK_BY_HAND
            return Outcome.ROLLED_BACK if self.reached else Outcome.STOPPED_AT_ZERO
        return None

    def split_at(self, percent: int, foreign: Split) -> Split:
        """The split of a share, keeping other people's tags."""
        return Split.between(self.plan.stable, self.plan.candidate, percent, foreign.targets)

    def on(
        self, event: Event, now: datetime, *, reason: str = "", by: str = "", **changes: object
    ) -> Rollout:
        """The rollout after an event. A move that the table does not know is a KeyError: a bug, not a state.

        A long reason (it may hold a container's last log lines) is cut: the record must always fit.
        """
        phase = TRANSITIONS[self.phase, event]
        reason = reason[:_REASON_CHARS]
        after: Rollout = replace(self, phase=phase, reason=reason, **changes)  # type: ignore[arg-type]
        share = after.split.percent_of(after.plan.candidate)
        step = Step(now, event, share, reason, by)
        return replace(after, reached=max(self.reached, share), history=(*self.history, step))


def drift_of(rollout: Rollout, live: LiveService, last_epoch: int = 0) -> str:
    """What somebody else changed since our last write, in words; empty when nothing.

    Args:
        last_epoch: the highest epoch this process has seen. An older record is the mark of an apply that replayed
            an old state: it brings annotations and split back together, so neither betrays it alone.
    """
    by = f" (last modified by {live.last_modifier})" if live.last_modifier else ""
    if rollout.epoch < last_epoch:
        return f"an older record came back: epoch {rollout.epoch}, ours was {last_epoch}{by}"
    if not live.wanted.shares_with(rollout.split):
        return f"traffic was set to {_shares(live.wanted)}, we had set {_shares(rollout.split)}{by}"
    for tag in (STABLE_TAG, CANDIDATE_TAG):
        ours, theirs = rollout.split.tagged(tag), live.wanted.tagged(tag)
        if ours != theirs:
            return f"the tag {tag!r} was moved from {ours} to {theirs}{by}"
    # While deploying, the Pulumi program writes too; the first write after it reads the generation again.
    if rollout.phase is not Phase.DEPLOYING and live.generation > rollout.generation + 1:
        count = live.generation - rollout.generation - 1
        return f"the service was written {count} time{'s' * (count > 1)} by somebody else{by}"
    return ""


def _shares(split: Split) -> str:
    return (
        ", ".join(f"{revision or 'LATEST'} {percent}%" for revision, percent in split.serving.items())
        or "nothing"
    )


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that one decision rests on.

    Args:
        candidate: its readiness; None when there is no such revision.
        candidate_note: the condition's message of a failed candidate.
        stage_verdict: of the running stage. ``certification`` is asked for at the last stage only.
        blind: a reason why nothing could be looked at (logs unreadable, probe host cut off); not good, not bad.
        is_stable_bad: the last probe of stable was answered, and wrongly.
    """

    rollout: Rollout
    live: LiveService
    now: datetime
    candidate: Readiness | None
    stable: Readiness | None
    stage_verdict: Judgement
    certification: Judgement | None = None
    candidate_note: str = ""
    drift: str = ""
    blind: str = ""
    is_stable_bad: bool = False
    verify_within: timedelta = timedelta(seconds=60)


# -- actions: what the engine is to do, each one line there ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until then."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Deploy:
    """Run the Pulumi program: make the candidate revision."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Set traffic to this stage's share and start its clock."""

    stage: int
    event: Event


@dataclass(frozen=True, slots=True)
class Pause:
    reason: str
    drift: str = ""


@dataclass(frozen=True, slots=True)
class Promote:
    reason: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Give all traffic back to stable."""

    reason: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Stable was seen to have all traffic: the roll-back is done."""


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome


Action = Wait | Deploy | Enter | Pause | Promote | Restore | Settle | Finish

LOOK_AGAIN = timedelta(seconds=1)


def decide(s: Situation) -> Action:
    """The one next step. See the module docstring for the order and why it is the order."""
    rollout = s.rollout
    if rollout.phase is Phase.ROLLING_BACK:
        return _finish_rolling_back(s)
    if rollout.phase in ENDED:
        assert rollout.outcome is not None
        return Finish(rollout.outcome)
    if s.stage_verdict.verdict is Verdict.FAIL:
        return _give_back(s, s.stage_verdict.reason)
    if s.drift and rollout.phase is not Phase.PAUSED:
        return Pause(f"drift: {s.drift}", s.drift)
    if rollout.phase is Phase.PAUSED:
        return Finish(Outcome.PAUSED)
    if rollout.phase is Phase.DEPLOYING:
        return _deploy(s)
    return _roll(s)


def _finish_rolling_back(s: Situation) -> Action:
    plan = s.rollout.plan
    if s.live.serving.serving == {plan.stable: 100}:
        return Settle()
    if s.live.wanted.serving != {plan.stable: 100} and s.stable is Readiness.READY:
        return Restore(s.rollout.reason)
    if s.now - s.rollout.since > s.verify_within:
        return Finish(Outcome.ROLLBACK_UNVERIFIED)
    return Wait(s.now + LOOK_AGAIN / 4, "reading traffic back")


def _give_back(s: Situation, reason: str) -> Action:
    """Back to stable; where that would help nobody the weight stays, which is the least bad, and a human is called."""
    stable = s.rollout.plan.stable
    if s.stable is not Readiness.READY:
        obstacle = f"the roll-back target {stable} {_is(s.stable)}"
    elif s.is_stable_bad and s.rollout.current.percent == 100:  # judged alone, so stable may be no better
        obstacle = f"{stable} fails its probe too"
    else:
        return Restore(reason)
    if s.rollout.phase is Phase.PAUSED:
        return Finish(Outcome.PAUSED)
    if s.stable is Readiness.PENDING:
        return _hold(s, f"{reason}; {obstacle}")
    return Pause(f"{reason}; not sent back: {obstacle}")


def _deploy(s: Situation) -> Action:
    candidate = s.rollout.plan.candidate
    if s.candidate is None:
        return _overdue(s, f"{candidate} was not made") or Deploy()
    if s.candidate is Readiness.FAILED:
        return _give_back(s, f"{candidate} never became ready: {s.candidate_note}")
    if s.candidate is Readiness.PENDING:
        return _hold(s, f"{candidate} is starting")
    return Enter(0, Event.DEPLOYED)


def _roll(s: Situation) -> Action:
    rollout, stage = s.rollout, s.rollout.current
    if s.candidate in (None, Readiness.FAILED):
        what = f"the candidate {rollout.plan.candidate} {_is(s.candidate)}: {s.candidate_note}"
        return _give_back(s, what.rstrip(": "))
    if s.stable in (None, Readiness.FAILED):
        return Pause(f"the roll-back target {rollout.plan.stable} {_is(s.stable)}")
    unsure = _unsure(s)
    if unsure:
        return _hold(s, unsure)
    soaked = rollout.since + stage.soak
    if s.now < soaked:
        return Wait(min(soaked, s.now + LOOK_AGAIN), f"soaking at {stage.percent}%")
    if stage.hold:
        return Pause(f"stage {rollout.stage} ({stage.percent}%) asks for a human: everything passed")
    return _last(s) if rollout.is_last_stage else Enter(rollout.stage + 1, Event.RAISED)


def _unsure(s: Situation) -> str:
    """Why this stage may not pass now, in words; empty when it may."""
    plan = s.rollout.plan
    for name, readiness in ((plan.candidate, s.candidate), (plan.stable, s.stable)):
        if readiness is not Readiness.READY:
            return f"{name} {_is(readiness)}"
    if not s.live.serving.shares_with(s.rollout.split):
        return "traffic is moving"
    return s.blind or ("" if s.stage_verdict.verdict is Verdict.PASS else s.stage_verdict.reason)


def _is(readiness: Readiness | None) -> str:
    return "is gone" if readiness is None else f"is {readiness}"


def _last(s: Situation) -> Action:
    certification = s.certification
    if certification is None or certification.verdict is Verdict.INCONCLUSIVE:
        return _hold(s, certification.reason if certification else "certification was not asked")
    if certification.verdict is Verdict.FAIL:
        return _give_back(s, certification.reason)
    return Promote(certification.reason)


def _hold(s: Situation, why: str) -> Action:
    """The weight stays; once the stage's deadline has passed, a human is called."""
    return _overdue(s, why) or Wait(s.now + LOOK_AGAIN, why)


def _overdue(s: Situation, why: str) -> Pause | None:
    stage = s.rollout.current
    if s.now - s.rollout.since <= stage.deadline:
        return None
    return Pause(f"stage {s.rollout.stage} ({stage.percent}%) passed its deadline undecided: {why}")


def stage_after(rollout: Rollout, to_percent: int | None) -> int:
    """Where an operator's ``promote`` goes: on from a stage that asked to be held, else the same stage again.

    Args:
        to_percent: skip ahead to the first stage with at least this share; never back.
    """
    stages = rollout.plan.stages
    if to_percent is not None:
        index = next((i for i, stage in enumerate(stages) if stage.percent >= to_percent), len(stages) - 1)
        return max(index, rollout.stage)
    was_held = rollout.phase is Phase.PAUSED and not rollout.drift and rollout.current.hold
    return rollout.stage + 1 if was_held and not rollout.is_last_stage else rollout.stage
