"""The orchestrator: read, observe, judge, decide, do one thing, say when to come again.

``tick`` is level-triggered: whatever it needs to know is on the service (traffic, etag, record) or in the logs, so any
process may call it, die, and leave the rest to another. ``run`` is tick and sleep. Nothing here waits for long: a
revision that starts is looked at again, like everything else, so that heartbeats go on and a signal is heard.

What each action does is said in ``acts.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from pipeline.core import decision, record
from pipeline.core.intent import Begin
from pipeline.core.rollout import Event, Phase, Rollout
from pipeline.driving.acts import Acts, Next
from pipeline.driving.pace import Pace
from pipeline.errors import PlanRefused, PlatformUnavailable, RequestRejected, StaleWrite
from pipeline.events import Look, Looked, Started
from pipeline.judging import judge
from pipeline.judging.terms import Plan
from pipeline.model import LiveService, Outcome, Split


class Engine(Acts):
    """Drives one service's rollout through the ports; arguments as for ``Acts``."""

    def begin(self, intent: Begin, live: LiveService) -> None:
        """Write the first record: stable pinned by name and tag, the candidate still to be made.

        Raises: StaleWrite when the service changed since ``live`` was read; PlanRefused when its record could outgrow
            its place midway.
        """
        plan = intent.proposal.plan
        split = Split.between(plan.stable, None, 0, live.wanted.targets)
        fresh = self.fresh(plan, Phase.DEPLOYING, split)
        first = replace(
            fresh, attempt=intent.attempt, epoch=intent.epoch, past=intent.past, promoted=intent.promoted,
            admission=intent.admission, draining=intent.draining,
        )  # fmt: skip
        record.must_fit(first, live)
        self.follow(first)
        self.commit(live, first, split)
        self._listen(Started(self._clock.now(), first))

    def follow(self, current: Rollout) -> None:
        """Drive this attempt and no other: once another one is on the service, ours was superseded."""
        self._followed = (current.plan.rollout_id, current.attempt)
        self.candidate = current.plan.candidate

    def redeploy(self, live: LiveService, current: Rollout, *, reason: str, by: str) -> None:
        """Back to deploying: a rollout that was paused before its candidate was there. Stable gets everything again."""
        now = record.utc(self._clock.now())
        split = Split.between(current.plan.stable, None, 0, live.wanted.targets)
        after = current.on(
            Event.RETRIED, now, reason=reason, by=by, drift="", since=now, split=split,
            split_epoch=current.split_epoch + 1,
        )  # fmt: skip
        self.commit(live, after, split)

    def fresh(self, plan: Plan, phase: Phase, split: Split) -> Rollout:
        """A rollout as it begins, nothing judged yet."""
        now = record.utc(self._clock.now())
        return Rollout(
            plan=plan,
            phase=phase,
            started=now,
            since=now,
            heartbeat=now,
            split=split,
            judge=judge.begin(plan),
        )

    def read_back(self, patience: timedelta, only: str = "") -> bool:
        """Look until the split that was last written is served; whether it was seen.

        Args:
            only: the revision that must have everything then; another split is not waited for.
        """
        give_up, pace = self._clock.now() + patience, self.rhythm.pace()
        while not self.stop():
            try:
                live = self._world.platform.read(self.observer.ref)
                if only and live.pinned.serving != {only: 100}:
                    return False
                if live.shows(live.wanted):
                    return True
            except PlatformUnavailable as error:
                self.say("retrying", error.what)
            if self._clock.now() >= give_up:
                break
            self._clock.sleep(pace.rest())
        return False

    def tick(self) -> Next:
        """One step. Raises AccessError, RequestRejected, RecordUnreadable; a conflict is not an error."""
        look = self._look()
        current = look.situation.rollout
        if self._followed is None:
            self.follow(current)
        if self._followed != (current.plan.rollout_id, current.attempt):
            return Next(look.situation.now, f"superseded by {current.plan.candidate}", Outcome.SUPERSEDED)
        self._listen(Looked(self._clock.now(), look))
        # An apply carries no etag: a write of ours beside somebody else's would be lost, or bring his to nothing.
        if current.driver != self.driver and current.may_be_applied(look.situation.live, look.situation.now):
            assert current.apply_until
            return Next(current.apply_until, f"the program may still be being applied by {current.driver}")
        try:
            return self.do(decision.decide(look.situation), look)
        except StaleWrite:
            return Next(self._clock.now(), "somebody else wrote the service: reading again")

    def _look(self) -> Look:
        """Who raises nothing holds no probes either: his scenarios may be others than the rollout's."""
        look = self.observer.look(probe=not self.raises_nothing, pause=self.rhythm.pause)
        situation = replace(look.situation, raises_nothing=self.raises_nothing, gives_up=self.rhythm.gives_up)
        return replace(look, situation=situation)

    def hold(self, reason: str) -> None:
        """Pause it where it is, by hand. Raises PlanRefused where there is nothing to hold; StaleWrite."""
        look = self.observer.look(probe=False)
        if look.situation.rollout.phase not in (Phase.ROLLING, Phase.DEPLOYING):
            raise PlanRefused("there is nothing to hold", f"it is {look.situation.rollout.phase.value}")
        self._stop_at(Event.HELD, "paused", reason, look)

    def run(
        self,
        *,
        until: datetime | None = None,
        interrupted: Callable[[], bool] = lambda: False,
        sleep: Callable[[timedelta], None] | None = None,
    ) -> Outcome:
        """Tick until the rollout ends, pauses, is told to stop, is ``interrupted`` or time is up.

        Args:
            sleep: how it rests between two steps, where whoever interrupts it ends that too; None: as in a step.

        Raises: what ``tick`` raises; PlatformUnavailable only after ``rhythm.patience`` without an answer. Whatever is
            raised, the service keeps its state.
        """
        unreachable_since: datetime | None = None
        was_refused, pace, sleep = False, self.rhythm.pace(), sleep or self._clock.sleep
        while not (self.stop() or interrupted()) and (until is None or self._clock.now() < until):
            try:
                upcoming = self.tick()
            except RequestRejected as error:
                # A revision may have broken between our read and our write: the next look tells. Twice is not chance.
                if was_refused:
                    raise
                was_refused = True
                self.observer.forget_revisions()
                self.say("refused", f"{error.what}: looking again")
                continue
            except PlatformUnavailable as error:
                unreachable_since = unreachable_since or self._clock.now()
                if self._clock.now() - unreachable_since > self.rhythm.patience:
                    raise
                self.say("retrying", f"{error.what}: trying again in {error.retry_after_s:g}s")
                sleep(timedelta(seconds=error.retry_after_s))
                continue
            unreachable_since, was_refused = None, False
            if upcoming.outcome is not None:
                return upcoming.outcome
            sleep(self._rest(upcoming, pace))
        return Outcome.UNDER_WAY

    def _rest(self, upcoming: Next, pace: Pace) -> timedelta:
        left = upcoming.at - self._clock.now()
        if left <= timedelta(0):
            pace.again()
        rest = pace.rest()
        return rest if self.rhythm.quiet else max(timedelta(0), min(left, rest))
