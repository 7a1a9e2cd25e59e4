"""The one next step of a rollout.  PURE.

Theory of operation. ``decide`` looks at one ``Situation`` and names one ``Action``. It is level-triggered: it derives the
next step from what is, never from what woke it. Its order is the safety argument:

 1. finish what was begun (a roll-back under way comes before everything);
 2. somebody else's hand on the service: never raise;
 3. FAIL, by the judge or by a command of the team's own: back to stable, whatever else is true, unless stable is gone
    or just as bad: then a human is called;
 4. INCONCLUSIVE: hold the weight, and after the deadline call a human;
 5. PASS, soak over, stable ready and answering a probe round of this very look: one step up.

(FAIL is looked at before the foreign hand: lowering is always allowed.)

Traffic has arrived once a settled service shows it: until then what is read back may be an older write's. A stage begins
there; a write that stalls, or a status that lags, takes nothing from its soak.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.core import soak, verification
from pipeline.core.actions import (
    Action,
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
from pipeline.core.rollout import ENDED, Event, Phase, Rollout
from pipeline.core.verification import Verified
from pipeline.judging.judgement import Judgement, Verdict
from pipeline.model import LiveService, Outcome, Readiness, Revision, Split
from pipeline.units import format_duration


class Situation(Struct, frozen=True):
    """Everything that one decision rests on.

    Args:
        candidate, stable: the two revisions; None when there is no such revision.
        stage_verdict: of the running stage. ``certification`` is asked for at the last stage only.
        blind: a reason why nothing could be looked at (logs unreadable, probe host cut off); not good, not bad.
        is_stable_bad: the last probe of stable was answered, and wrongly; or hung as often as the candidate beside it.
        stable_fails: how stable failed its last probe, if it did; that it was not answered counts too.
        is_probed_now: a probe round of this stage, with candidate and stable, ended with this look.
        verified: what the stage's own commands came to so far.
        unverified: why those that are left have not ended, in words; empty when none is left.
        watched: of the running stage's time, with this look, and ``rounds``, its probe rounds: what its soak is made of. All of
            it, where nobody says otherwise.
        raises_nothing: why this driver only judges users' evidence and gives back.
        gives_up: a rollout with a share of the traffic that nobody drove for so long goes back; None: it goes on.
    """

    rollout: Rollout
    live: LiveService
    now: datetime
    candidate: Revision | None
    stable: Revision | None
    stage_verdict: Judgement
    certification: Judgement | None = None
    drift: str = ""
    blind: str = ""
    is_stable_bad: bool = False
    stable_fails: str = ""
    is_probed_now: bool = False
    verified: tuple[Verified, ...] = ()
    unverified: str = ""
    watched: timedelta = timedelta.max
    rounds: int = soak.ROUNDS
    raises_nothing: str = ""
    gives_up: timedelta | None = None

    @property
    def failure(self) -> str | None:
        """Why the candidate has failed, by the judge or by a command of the team's own; None while it has not."""
        if self.stage_verdict.verdict is Verdict.FAIL:
            return self.stage_verdict.reason
        return verification.failed(self.verified) or None


LOOK_AGAIN = timedelta(seconds=1)
VERIFY_WITHIN = timedelta(seconds=60)  # from a write that was accepted until it is seen
LONGEST_START = timedelta(minutes=5)  # Cloud Run gives a container 4 to listen; then its revision is judged
MOVING = "traffic is moving"
CLOCKS_AGREE = timedelta(minutes=1)  # two machines' clocks: beyond that one of them is wrong


def decide(s: Situation) -> Action:
    """The one next step. See the module docstring for the order and why it is the order."""
    rollout = s.rollout
    if rollout.phase is Phase.ROLLING_BACK:
        return _finish_rolling_back(s)
    if rollout.phase in ENDED:
        assert rollout.outcome is not None
        return Finish(rollout.outcome)
    if (failure := s.failure) is not None:
        return _give_back(s, failure)
    if s.drift and rollout.phase is not Phase.PAUSED:  # a paused one raises nothing, and its human was told
        return Pause(f"drift: {s.drift}", s.drift)
    if rollout.phase is Phase.PAUSED:
        return Finish(Outcome.PAUSED)
    action = _deploy(s) if rollout.phase is Phase.DEPLOYING else _roll(s)
    if s.raises_nothing and isinstance(action, Deploy | Enter | Promote):
        return _hold(s, s.raises_nothing)
    return action


def _finish_rolling_back(s: Situation) -> Action:
    given_back = Split.between(s.rollout.plan.stable, None, 0)
    if not s.live.wanted.shares_with(given_back):
        if _is_ready(s.stable):
            return Restore(s.rollout.reason, s.rollout.blamed)
    elif is_given_back(s.rollout, s.live):
        return Settle()
    patience = LONGEST_START if s.live.awaits_revision else VERIFY_WITHIN
    if s.now - s.rollout.since > patience:
        return Finish(Outcome.ROLLBACK_UNVERIFIED)
    # More often than while a stage soaks: users may still be on a bad revision.
    return Wait(s.now + LOOK_AGAIN / 4, "reading traffic back")


def is_given_back(rollout: Rollout, live: LiveService) -> bool:
    """Whether stable was seen to have everything, in a status that cannot be an older split's.

    A service stays unsettled for as long as a revision hangs in its start. A candidate that no stage was ever entered
    with has never been given a share, so there is no older split that could still be on its way.
    """
    given_back = Split.between(rollout.plan.stable, None, 0)
    had_nothing = not (rollout.candidate_uid or rollout.reached or rollout.drift)
    shows_it = live.wanted.shares_with(given_back) and live.serving.shares_with(given_back)
    return live.shows(given_back) or (had_nothing and live.awaits_revision and shows_it)


def _give_back(s: Situation, reason: str) -> Action:
    """Back to stable; where that would help nobody the weight stays, which is the least bad, and a human is called."""
    stable = s.rollout.plan.stable
    if not _is_ready(s.stable):
        obstacle = f"the roll-back target {stable} {_is(s.stable)}"
    elif s.is_stable_bad and s.rollout.stage.percent == 100:  # judged alone, so stable may be no better
        obstacle = f"{stable} fails its probe too"
    else:
        return Restore(reason, s.stage_verdict.blamed)
    if s.rollout.phase is Phase.PAUSED:
        return Finish(Outcome.PAUSED)
    if s.stable is not None and s.stable.readiness is Readiness.PENDING:  # it may come back within moments
        return _hold(s, f"{reason}; {obstacle}")
    return Pause(f"{reason}; not sent back: {obstacle}")


def _deploy(s: Situation) -> Action:
    candidate = s.rollout.plan.candidate
    if s.candidate is None:
        return _overdue(s, f"{candidate} was not made") or Deploy()
    if s.candidate.readiness is Readiness.FAILED:
        return _give_back(s, f"{candidate} never became ready: {s.candidate.message}")
    if not s.candidate.is_ready:
        return _hold(s, f"{candidate} is starting")
    return Enter(0, Event.DEPLOYED)


def _roll(s: Situation) -> Action:
    rollout = s.rollout
    if _is_lost(s.candidate):
        note = s.candidate.message if s.candidate else ""
        what = f"the candidate {rollout.plan.candidate} {_is(s.candidate)}: {note}"
        return _give_back(s, what.rstrip(": "))
    if _is_lost(s.stable):
        return Pause(f"the roll-back target {rollout.plan.stable} {_is(s.stable)}")
    if _is_abandoned(s):
        silent = format_duration(soak.whole(s.now - rollout.heartbeat))
        return _give_back(s, f"nobody has driven it for {silent}, and nobody watched its users")
    ahead = max(rollout.since, rollout.stage_began) - s.now
    if ahead > CLOCKS_AGREE:
        ahead_s = ahead.total_seconds()
        if rollout.was_begun_again:
            return Pause(
                f"the stage's start lies {ahead_s:.0f}s in the future again: the clocks of its drivers differ"
            )
        why = f"the stage begins again: its start lies {ahead_s:.0f}s in the future, so a clock was wrong"
        return Enter(rollout.stage_index, Event.RAISED, why)
    if rollout.arrived is None:
        return Arrive() if s.live.shows(rollout.split) else _hold(s, _moving(s.live, rollout.split))
    unsure = _unsure(s)
    if unsure:
        return _hold(s, unsure)
    return _soak(s, rollout.arrived) or _passed(s)


def _is_abandoned(s: Situation) -> bool:
    silent = s.now - s.rollout.heartbeat
    return s.gives_up is not None and silent > s.gives_up and 0 < s.rollout.stage.percent < 100


def _soak(s: Situation, arrived: datetime) -> Action | None:
    """What is waited for until the stage has had its time, and somebody who looked; None once it has."""
    stage = s.rollout.stage
    soaked = arrived + stage.soak
    if s.now < soaked:
        return Wait(min(soaked, s.now + LOOK_AGAIN), f"soaking at {stage.percent}%")
    if s.watched < stage.soak:  # it grows with each look, so this ends
        left = stage.soak - s.watched
        return Wait(s.now + min(left, LOOK_AGAIN), soak.told(stage, s.watched))
    owed = soak.rounds_owed(stage, s.rollout.plan.terms.probing)
    if s.rounds < owed:  # whoever comes back after a deadline holds them first
        why = f"{s.rounds} of {owed} probe rounds at {stage.percent}%"
        return _hold(s, why) if s.watched > stage.deadline else Wait(s.now + LOOK_AGAIN, why)
    return None


def _passed(s: Situation) -> Action:
    stage = s.rollout.stage
    if stage.hold:
        return Pause(f"stage {s.rollout.stage_index} ({stage.percent}%) asks for a human: everything passed")
    return _last(s) if s.rollout.is_last_stage else _raise(s)


def _raise(s: Situation) -> Action:
    """One step up, right after a round in which stable answered: nobody is moved away from what cannot take him back."""
    stage = s.rollout.stage
    # A stable revision that was never well is no place to go back to, now or later: waiting for it helps nobody.
    if s.stable_fails and not s.rollout.plan.stable_unhealthy:
        return _hold(
            s, f"{s.rollout.plan.stable} fails its probe ({s.stable_fails}): there is nothing to go back to"
        )
    if not s.is_probed_now:
        why = f"{stage.percent}% passed: probing both revisions before the raise"
        return _overdue(s, why) or Wait(s.now + LOOK_AGAIN / 4, why, probe=True)
    return Enter(s.rollout.stage_index + 1, Event.RAISED)


def _unsure(s: Situation) -> str:
    """Why this stage may not pass now, in words; empty when it may."""
    plan = s.rollout.plan
    for name, revision in ((plan.candidate, s.candidate), (plan.stable, s.stable)):
        if not _is_ready(revision):
            return f"{name} {_is(revision)}"
    if not s.live.serving.shares_with(s.rollout.split):
        return _moving(s.live, s.rollout.split)
    open_question = s.blind or s.unverified
    return open_question or ("" if s.stage_verdict.verdict is Verdict.PASS else s.stage_verdict.reason)


def _moving(live: LiveService, split: Split) -> str:
    """Why a split has not arrived, as far as Cloud Run says."""
    if live.failure and not live.reconciling:
        return f"Cloud Run does not serve it: {live.failure}"
    if not live.serving.shares_with(split):
        return MOVING
    what = f"bringing up {live.latest_created}" if live.awaits_revision else "reconciling"
    return f"traffic is served, and Cloud Run is still {what}"


def _is(revision: Revision | None) -> str:
    return "is gone" if revision is None else f"is {revision.readiness}"


def _is_ready(revision: Revision | None) -> bool:
    return revision is not None and revision.is_ready


def _is_lost(revision: Revision | None) -> bool:
    return revision is None or revision.readiness is Readiness.FAILED


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
    stage = s.rollout.stage
    if s.now - s.rollout.stage_began <= stage.deadline:
        return None
    return Pause(f"stage {s.rollout.stage_index} ({stage.percent}%) passed its deadline undecided: {why}")
