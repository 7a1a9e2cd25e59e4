"""Each action that ``core/decision.py`` may name, done to the service: one write at most, and when to come again.

Every write goes through ``commit``: one ``UpdateService`` with traffic, record and the etag of the read that was
decided on. A conflict means that somebody else was faster: read again, decide again, never resend.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from pipeline.budget import urgent
from pipeline.core import decision, record
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
from pipeline.core.decision import LONGEST_START
from pipeline.core.drift import must_still_hold
from pipeline.core.rollout import Event, Last, Phase, Rollout
from pipeline.driving import restore
from pipeline.driving.hand import Hand
from pipeline.driving.observer import Observer
from pipeline.driving.pace import USUAL, Rhythm
from pipeline.driving.ports import World
from pipeline.errors import FieldsLost, PlatformError, SpillwayError, StaleWrite
from pipeline.events import Arrived, Listener, Look, RolledBack, Shifted, Topic, harmless, unheard
from pipeline.judging import judge
from pipeline.judging.terms import Plan
from pipeline.model import LiveService, Outcome, Split


class Next(Struct, frozen=True):
    """When to come again; or, with an outcome, that there is nothing left to do."""

    at: datetime
    why: str = ""
    outcome: Outcome | None = None


class Acts:
    """What one process does about one service's rollout.

    Args:
        driver: who writes: host, process and a random part; tells two drivers apart.
        stop: whether the process was told to end; asked wherever something is waited for.
    """

    def __init__(
        self,
        observer: Observer,
        world: World,
        *,
        driver: str,
        listen: Listener = unheard,
        rhythm: Rhythm = USUAL,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.observer = observer
        self.driver = driver
        self.rhythm = rhythm
        self.stop = stop
        self.raises_nothing = ""  # why this driver only judges users' evidence and gives back
        self._followed: tuple[str, int] | None = None
        self.candidate = ""  # of the rollout that is driven
        self._world = world
        self._clock = world.clock
        self._listen = harmless(listen)
        self._hand = Hand(world.platform, world.clock, observer.ref, driver, self._listen, stop)

    def do(self, action: Action, look: Look) -> Next:
        """Raises what the ports raise; StaleWrite when the service changed since the look."""
        match action:
            case Wait():
                return self._wait(action, look)
            case Deploy():
                return self._deploy(look)
            case Enter(stage, event, reason):
                self.enter(look, stage, event, reason=reason)
                return Next(self._clock.now(), decision.MOVING)
            case Arrive():
                return self._arrive(look)
            case Pause(reason, drift):
                return self._stop_at(Event.HELD, "paused", reason, look, drift)
            case Promote(reason):
                return self._stop_at(Event.PROMOTED, "promoted", reason, look)
            case Restore():
                return self._restore(action, look)
            case Settle():
                return self._settle(look)
            case Finish(outcome):
                must_still_hold(look.situation.rollout, look.situation.live)
                return Next(look.situation.now, outcome=outcome)
            case _:
                assert_never(action)

    def _wait(self, action: Wait, look: Look) -> Next:
        current, now = look.situation.rollout, look.situation.now
        if action.probe:
            self.observer.rounds.soon()
        # A heartbeat from the future is another machine's wrong clock: no reason to stay silent until then.
        is_due = not timedelta(0) <= now - current.heartbeat < self.rhythm.heartbeat / 2
        # After other people's writes the record says again which generation is ours.
        # Each write begins a generation of its own: on top of one that is not seen yet it would keep that unseen.
        is_moving = not look.situation.live.is_settled and now - current.heartbeat < LONGEST_START
        verified = look.situation.verified
        is_news = bool(look.foreign) or verified != current.verified
        if is_news or (is_due and not is_moving):
            last = Last.of(look.situation.stage_verdict, action.why)
            watched = look.situation.watched
            after = replace(current, judge=look.judge, last=last, verified=verified, watched=watched)
            self.commit(look.situation.live, after)
        return Next(action.until, action.why)

    def _deploy(self, look: Look) -> Next:
        """Apply the program. Where no etag guards that, the record says first until when: see ``Rollout.apply_until``."""
        current, now = look.situation.rollout, look.situation.now
        lasts, is_ours = self._world.deployer.lasts, current.driver == self.driver
        left = current.apply_until - now if current.apply_until and is_ours else timedelta(0)
        if left < lasts / 2:
            current = self.commit(look.situation.live, replace(current, apply_until=record.utc(now + lasts)))
        self.say("deploying", f"{current.plan.candidate} at 0%")
        try:
            self.deploy(current.plan)
        except FieldsLost as error:
            return self._lost(look, current, error)
        except StaleWrite:
            raise  # what was written beside it is to be seen by the next look: nothing of ours on top of that
        except SpillwayError:
            if lasts and not self.stop():  # told to stop, we may have left it behind
                self._not_applied(current)
            raise
        return Next(self._clock.now(), "deployed")

    def _lost(self, look: Look, current: Rollout, error: FieldsLost) -> Next:
        """Pause where we are. Decided on a read of now: an apply that lost something has written the service."""
        live, found = self._ours_now(current)
        after = found.on(
            Event.HELD, record.utc(self._clock.now()), reason=f"{error.what}; {error.why}",
            judge=look.judge, last=Last.of(look.situation.stage_verdict),
        )  # fmt: skip
        self.commit(live, after)
        self.say("paused", str(error))
        return Next(self._clock.now(), outcome=after.outcome)

    def _not_applied(self, current: Rollout) -> None:
        """Nothing goes on: the next run need not wait. Failing here costs that wait alone."""
        with suppress(SpillwayError):
            live, found = self._ours_now(current)
            self.commit(live, replace(found, apply_until=None))

    def _ours_now(self, current: Rollout) -> tuple[LiveService, Rollout]:
        """The service after an apply, and its record. Raises StaleWrite when that is not the one we had written."""
        live = self._world.platform.read(self.observer.ref)
        found = record.of(live)
        if found is None or (found.driver, found.epoch) != (current.driver, current.epoch):
            raise StaleWrite("somebody else wrote the service while the program was applied")
        return live, found

    def deploy(self, plan: Plan) -> None:
        """Have the Pulumi program applied. Whether its revision gets ready, the next look sees."""
        self._world.deployer.deploy(self.observer.ref, image=plan.image, revision=plan.candidate)

    def enter(self, look: Look, stage: int, event: Event, *, reason: str = "", by: str = "") -> None:
        """Move traffic to a stage's share; also what an operator's promote does.

        Evidence of a revision that was made again under the candidate's name starts from nothing.
        """
        live, current = look.situation.live, look.situation.rollout
        now = record.utc(self._clock.now())
        plan, percent = current.plan, current.plan.terms.stages[stage].percent
        split = Split.between(plan.stable, plan.candidate, percent, live.wanted.targets)
        made = look.situation.candidate
        uid = made.uid if made else current.candidate_uid
        is_same = uid == current.candidate_uid
        after = current.on(
            event, now, reason=reason or look.situation.stage_verdict.reason,
            by=by, stage_index=stage, since=now, split=split,
            candidate_uid=uid, drift="", split_epoch=current.split_epoch + 1,
            last=Last.of(look.situation.stage_verdict, decision.MOVING),
            judge=judge.new_stage(look.judge if is_same else judge.begin(current.plan)),
            spans=current.spans_until(now, look.judge) if is_same and not current.drift else (),
        )  # fmt: skip
        before = current.split.percent_of(current.plan.candidate)
        self.commit(live, after, split)
        self._listen(Shifted(self._clock.now(), stage, before, percent, by))

    def _arrive(self, look: Look) -> Next:
        """What counts for the stage is what begins from now on; what began before counts for the rollout."""
        current = look.situation.rollout
        # The driver that asked for the traffic may have had a clock ahead of ours; a stage does not begin before that.
        now = max(current.since, record.utc(self._clock.now()))
        after = replace(current, arrived=now, watched=timedelta(0), judge=judge.new_stage(look.judge))
        self.commit(look.situation.live, after)
        self.observer.rounds.soon()  # a new share wants a fresh round
        self._listen(Arrived(self._clock.now(), current.stage_index, current.stage.percent))
        return Next(self._clock.now(), "traffic has arrived")

    def _stop_at(self, event: Event, topic: Topic, reason: str, look: Look, drift: str = "") -> Next:
        """The weight stays: for a human to look at, or for good."""
        s = look.situation
        last = Last.of(s.stage_verdict)
        after = s.rollout.on(
            event, record.utc(s.now), reason=reason, drift=drift, judge=look.judge, last=last,
            verified=s.verified,
        )  # fmt: skip
        self.commit(s.live, after)
        self._read_last_write(after)
        self.say(topic, reason)
        return Next(self._clock.now(), reason, outcome=after.outcome)

    def _read_last_write(self, after: Rollout) -> None:
        """What a write changed is seen by the next look; after the last one there is none, but for this.

        Raises: PlatformError when it changed what it must not, and the rollout cannot pause for it any more; PlanRefused
            when somebody has undone already what would be answered.
        """
        try:
            live = self._world.platform.read(self.observer.ref)
        except SpillwayError:
            return
        current = record.readable(live)
        found = self.observer.side_effects(current, live) if current is not None else ""
        if found:
            self.say("side_effect", found)
        if found and after.phase is Phase.PROMOTED:
            raise PlatformError(
                f"{self.observer.ref.service}: {found}",
                "Cloud Run did not take the update mask as it was meant.",
                f"Set back what is named; what has the traffic says: spillway status; spillway rollback {self.observer.ref.name}",
            )
        must_still_hold(after, live)

    def _restore(self, action: Restore, look: Look) -> Next:
        s = look.situation
        stable = s.rollout.plan.stable
        ready = [r.name for r in (s.candidate, s.stable) if r is not None and r.is_ready]
        split = restore.split_back(s.live, stable, ready)
        now = record.utc(self._clock.now())
        after = s.rollout.on(
            Event.FAILED, now, reason=action.reason, blamed=action.blamed, split=split, since=now,
            split_epoch=s.rollout.split_epoch + 1, judge=look.judge, last=Last.of(s.stage_verdict),
            verified=s.verified,
        )  # fmt: skip
        self.say("restoring", action.reason)
        with urgent():
            self.commit(s.live, after, split)
        self.say("restored", f"100% to {stable}: accepted")
        return Next(self._clock.now(), "reading traffic back")

    def _settle(self, look: Look) -> Next:
        s = look.situation
        now = record.utc(s.now)
        after = s.rollout.on(Event.RESTORED, now, reason=s.rollout.reason)
        self.commit(s.live, after)
        self._listen(RolledBack(self._clock.now(), after.plan.stable, s.rollout.since))
        assert after.outcome is not None
        return Next(self._clock.now(), outcome=after.outcome)

    def commit(self, live: LiveService, after: Rollout, split: Split | None = None) -> Rollout:
        """The one way to write: record, and traffic with it, under the etag of the read that was decided on.

        Returns: the record as it is written.
        """
        after, annotations = self._hand.recorded(live, after)
        self.observer.about_to_write(self.driver, after.epoch, live, split)
        self._world.platform.write(self.observer.ref, etag=live.etag, annotations=annotations, split=split)
        self.observer.written(after.epoch)
        self._hand.wrote(live, after, split)
        return after

    def say(self, topic: Topic, text: str) -> None:
        """Tell whoever listens what needs no value beside its words."""
        self._hand.say(topic, text)
