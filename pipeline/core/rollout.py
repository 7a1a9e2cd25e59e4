"""The rollout as a table, and all that it remembers.  PURE.

Theory of operation. A rollout is always in one *phase*; what may follow is a dictionary
``(phase, event) -> phase``. A missing key is the error, so an illegal move costs no code:

    DEPLOYING ---------- the record is written, the candidate revision is being made (0 %)
      | deployed
    ROLLING   ---------- at ``plan.terms.stages[stage]``; stage 0 is 0 % behind the tag. Raised stage by stage
      |  \\  held         (nobody to decide, drift, a stage that asks for it, a deadline)
      |  PAUSED -------- weight stays; an operator's ``promote`` resumes, a FAIL still sends traffic back
      | promoted
    PROMOTED  ---------- 100 %, certified
    ROLLING_BACK ------- traffic was given back to stable; not yet read back
      | restored
    ROLLED_BACK -------- read back and seen

What is done next is ``decision.py``'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core import draining, promoted
from pipeline.core.draining import Draining
from pipeline.core.promoted import Admission, Promoted
from pipeline.core.verification import Verified
from pipeline.judging.judgement import CriterionJudgement, Judgement, Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.spans import Span, Windows
from pipeline.judging.terms import Plan, Stage
from pipeline.model import LiveService, Outcome, Split


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
    # Somebody moved traffic since; an operator gives it back.
    (Phase.ROLLED_BACK, Event.FAILED): Phase.ROLLING_BACK,
}

_REASON_CHARS = 400
_WAITING_CHARS = 200
_KEPT_PAST = 12
_KEPT_BORDERS = 22  # with the two of the split of now 24: a shift has two
_KEPT_SPANS = 8  # an operator's hand may skip stages faster than their blocks close

ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK})
UNDER_WAY = frozenset(Phase) - ENDED


class Step(Struct, frozen=True):
    """One line of the history: what was done, when, to which share, why, and by whom.

    Args:
        by_hand: that was an operator's wish and not a driver's, who sends back what another rollout supersedes.
    """

    at: datetime
    event: Event
    percent: int
    reason: str = ""
    by: str = ""
    by_hand: bool = False


class Past(Struct, frozen=True):
    """An earlier rollout of the same service, and how it ended (``Outcome.label``)."""

    rollout_id: str
    candidate: str
    attempt: int
    outcome: str


class Last(Struct, frozen=True):
    """The judgement that its driver last wrote down, and what it waited for then, if it did.

    Who looks at a rollout that ended, or holds no probes himself, cannot come to it from the rest of the record.
    """

    verdict: Verdict
    reason: str
    blamed: str
    criteria: tuple[CriterionJudgement, ...]
    waiting: str = ""

    @classmethod
    def of(cls, judgement: Judgement, waiting: str = "") -> Last:
        said = judgement.rounded
        return cls(said.verdict, said.reason, said.blamed, said.criteria, waiting[:_WAITING_CHARS])

    @property
    def judgement(self) -> Judgement:
        return Judgement(self.verdict, self.reason, self.criteria, self.blamed)


class Rollout(Struct, frozen=True):
    """All that a rollout remembers: what the record on the service holds (``record.py`` writes it as text).

    Args:
        stage_index: into ``plan.terms.stages``; ``since`` is when its traffic was asked for.
        arrived: when that was first seen to be served; the stage's soak, deadline and evidence begin here. None until then.
        watched: of the running stage since then, until ``heartbeat``, in which somebody looked: see ``soak.py``.
        epoch: rises by one with each of our writes.
        split_epoch: rises when the live split changes; evidence is bound to it.
        generation: the service's generation at the read that the last write was decided on.
        driver: who wrote last.
        split: what traffic shall be, as last written.
        spans: the splits before it under which users met the candidate and whose last blocks are still to be judged.
        borders: when earlier splits were asked for, and when they were served, oldest first.
        reached: the highest share of traffic that the candidate ever had.
        drift: what somebody else changed; set while paused for that reason.
        blamed: the metric for which the judge sent it back; empty when something else was the reason.
        unhealthy: of a first deployment: it was deployed, and answers its probes badly.
        past: the rollouts before this one, oldest first.
        apply_until: while deploying, until when the program may still be being applied, without an etag: its driver is
            silent meanwhile, or gone. Until then nobody but a roll-back writes the service. None where an etag guards it.
        verified: what the commands of the running stage came to.
        promoted: the last times that an image had all traffic, oldest first, this rollout's among them.
        admission: why its image was let in, where the environment comes after another.
        draining: of the revision that lost its traffic, once that was seen.
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
    stage_index: int = 0
    epoch: int = 0
    split_epoch: int = 0
    generation: int = 0
    candidate_uid: str = ""
    reached: int = 0
    drift: str = ""
    reason: str = ""
    blamed: str = ""
    by_hand: bool = False
    spans: tuple[Span, ...] = ()
    borders: tuple[datetime, ...] = ()
    arrived: datetime | None = None
    watched: timedelta = timedelta(0)
    last: Last | None = None
    history: tuple[Step, ...] = ()
    unhealthy: bool = False
    past: tuple[Past, ...] = ()
    apply_until: datetime | None = None
    verified: tuple[Verified, ...] = ()
    promoted: tuple[Promoted, ...] = ()
    admission: Admission | None = None
    draining: Draining | None = None

    @property
    def stage(self) -> Stage:
        return self.plan.terms.stages[self.stage_index]

    def may_be_applied(self, live: LiveService, now: datetime) -> bool:
        """The program may be being applied at this moment, and its write is still to come."""
        is_bounded = self.apply_until is not None and now < self.apply_until
        return is_bounded and self.phase is Phase.DEPLOYING and live.latest_created != self.plan.candidate

    @property
    def windows(self) -> Windows:
        """Between which moments sockets were accepted under one split."""
        return Windows.between((*self.borders, self.since, self.arrived))

    @property
    def stage_began(self) -> datetime:
        """From when its soak and its deadline count: until its traffic arrived, the request for it."""
        return self.arrived or self.since

    @property
    def was_begun_again(self) -> bool:
        """Its stage was entered twice in a row, with nobody's hand between."""
        last = self.history[-2:]
        return len(last) > 1 and last[1].event is Event.RAISED and last[0].percent == last[1].percent

    @property
    def is_last_stage(self) -> bool:
        return self.stage_index == len(self.plan.terms.stages) - 1

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, once it has; a paused rollout has an outcome too, and may still get another."""
        if self.phase is Phase.PROMOTED:
            if self.plan.stable != self.plan.candidate:
                return Outcome.PROMOTED
            return Outcome.FIRST_DEPLOYMENT_UNHEALTHY if self.unhealthy else Outcome.FIRST_DEPLOYMENT
        if self.phase is Phase.PAUSED:
            return Outcome.PAUSED
        if self.phase is Phase.ROLLED_BACK:
            if self.by_hand:
                return Outcome.ROLLED_BACK_BY_HAND
            return Outcome.ROLLED_BACK if self.reached else Outcome.STOPPED_AT_ZERO
        return None

    @property
    def waiting(self) -> str:
        """What its driver waited for when it last wrote; an onlooker, who holds no probes, cannot know by himself."""
        return self.last.waiting if self.last and self.phase is Phase.ROLLING else ""

    def is_only_one(self, live: LiveService) -> bool:
        """It is a first deployment, and still all there is."""
        is_first = self.phase is Phase.PROMOTED and self.plan.stable == self.plan.candidate
        return is_first and live.pinned.serving == {self.plan.candidate: 100}

    def spans_until(self, until: datetime, judge: JudgeState) -> tuple[Span, ...]:
        """``spans`` once this split is replaced, by what the judge has taken in until then."""
        percent = self.split.percent_of(self.plan.candidate)
        own = Span(self.since, until, self.split_epoch, percent, self.arrived)
        spans = (*self.spans, own) if percent and until > self.since else self.spans
        block = self.plan.terms.sampling.block
        unjudged = [span for span in spans if judge.seen < (span.split_epoch, span.last_block(block))]
        return tuple(unjudged[-_KEPT_SPANS:])

    def becomes_past(self) -> tuple[Past, ...]:
        """What the next rollout remembers of this one and of those before it."""
        ended = self.outcome.label if self.outcome else Outcome.SUPERSEDED.label
        own = Past(self.plan.rollout_id, self.plan.candidate, self.attempt, ended)
        return (*self.past, own)[-_KEPT_PAST:]

    def on(
        self, event: Event, now: datetime, *, reason: str = "", by: str = "", **changes: object
    ) -> Rollout:
        """The rollout after an event. A move that the table does not know is a KeyError: a bug, not a state.

        Long words (they may hold a container's last log lines) are cut: the record must always fit. A split that is
        written now has not arrived.
        """
        phase = TRANSITIONS[self.phase, event]
        reason = reason[:_REASON_CHARS]
        if "drift" in changes:
            changes["drift"] = str(changes["drift"])[:_REASON_CHARS]
        if "split" in changes:
            changes["arrived"], changes["watched"] = None, timedelta(0)
            changes["borders"] = self.windows.borders[-_KEPT_BORDERS:]
            changes.setdefault("verified", ())
        changes.setdefault("apply_until", None)
        changes.setdefault("draining", self._draining_after(event, now))
        after: Rollout = replace(self, phase=phase, reason=reason, **changes)
        share = after.split.percent_of(after.plan.candidate)
        step = Step(now, event, share, reason, by, by_hand=bool(by) and after.by_hand)
        known = self._promoted_after(after, event, now, is_superseded=bool(by) and not after.by_hand)
        history = (*self.history, step)
        return replace(after, reached=max(self.reached, share), history=history, promoted=known)

    def _draining_after(self, event: Event, now: datetime) -> Draining | None:
        """A candidate that never had traffic has no users: it stays as it is, to be looked at."""
        decided = None
        if event is Event.RESTORED and self.reached:
            decided = draining.after_roll_back(self.plan, self.plan.terms.drain, now)
        elif event is Event.PROMOTED:
            decided = draining.after_promotion(self.plan, now)
        return decided or draining.carried(self.draining, self.plan)

    def _promoted_after(
        self, after: Rollout, event: Event, now: datetime, *, is_superseded: bool
    ) -> tuple[Promoted, ...]:
        """Who soaks once this has happened. Of traffic that somebody else moved we know when it was still as we had set it."""
        known, plan, serving = self.promoted, after.plan, after.split.serving
        if event is Event.FAILED and not is_superseded:
            known = promoted.failed(known, plan.candidate, now)
        if after.drift:
            known = promoted.left(known, self.heartbeat)
        known = promoted.unless_alone(known, "".join(serving) if len(serving) == 1 else "", now)
        if event is Event.PROMOTED:
            return promoted.joined(known, after.as_promoted(now))
        if event is Event.RESTORED:
            return promoted.given_back(known, plan.stable, plan.stable_uid, now)
        return known

    def as_promoted(self, at: datetime) -> Promoted:
        """The candidate, with all traffic from this moment on."""
        plan = self.plan
        digest = promoted.digest_of(plan.image)
        return Promoted(digest, plan.config, plan.candidate, self.candidate_uid, at, commit=plan.commit)
