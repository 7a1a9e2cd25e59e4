"""Begin a rollout, resume it, retry it, supersede another, or answer how it ended.

``spillway rollout`` twice with the same digest and config is the same rollout. Which of the five it is follows from the
record on the service alone, so it does not matter where, or how often, the command is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pipeline import plan, record
from pipeline.engine import Engine
from pipeline.errors import AnotherRunAlive, PlanRefused, PlatformError, ServiceNotFound, StaleWrite
from pipeline.model import LiveService, Outcome
from pipeline.ports import World
from pipeline.restore import Cause, restore
from pipeline.rollout import UNDER_WAY, Phase, Rollout

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Start:
    """One wish to have a rollout under way.

    Args:
        retry: start the next attempt of a rollout that ended badly.
        supersede: give up another rollout that is under way; its candidate's traffic goes back to stable first.
        is_dead: whether a driver is known to be dead (same machine, no such process); saves watching for it.
        gate: asked before the first write of a rollout that has not begun; an outcome is its refusal.
    """

    engine: Engine
    world: World
    wish: plan.Wish
    retry: bool = False
    supersede: bool = False
    say: Callable[[str], None] = lambda _: None
    is_dead: Callable[[str], bool] = lambda _: False
    gate: Callable[[], Outcome | None] = lambda: None

    def __call__(self) -> Outcome | None:
        """None once the wished rollout is under way and ours to drive; its outcome when it has ended.

        Raises: PlanRefused, AnotherRunAlive, and what the ports raise.
        """
        for _ in range(_TRIES):
            try:
                return self._decide()
            except StaleWrite:
                self.say("the service changed meanwhile: reading again")
        raise AnotherRunAlive(
            f"{self.wish.ref.service} was written by somebody else {_TRIES} times while we tried to begin",
            fix="See who: spillway status --watch",
        )

    def _decide(self) -> Outcome | None:
        try:
            live = self.world.platform.read(self.wish.ref)
        except ServiceNotFound:
            return self.gate() or self.engine.begin_service(plan.first(self.wish))
        current = record.decode(live.record_text) if live.record_text is not None else None
        is_ours = current is not None and current.plan.rollout_id == self.wish.rollout_id
        if current is None and self._is_first(live):
            return self.gate() or self.engine.begin_service(plan.first(self.wish))
        if current is None or (not is_ours and current.phase not in UNDER_WAY):
            return self._begin(live, current)
        if not is_ours:
            return self._supersede(current)
        if current.phase in UNDER_WAY:
            self._resume(current)
            return None
        if current.phase is Phase.ROLLED_BACK and self.retry:
            return self._begin(live, current, attempt=current.attempt + 1)
        return current.outcome

    def _is_first(self, live: LiveService) -> bool:
        """A service without a record whose first deployment failed, or ended before its record was written.

        Nobody was ever served by anything else, so there is no traffic to move.
        """
        if not (live.reconciling or live.serving.serving or live.latest_ready):
            return True
        revisions = self.world.platform.revisions(self.wish.ref)
        serving = {revision or live.latest_created for revision in live.wanted.serving}
        return [r.name for r in revisions] == [self.wish.candidate] and serving == {self.wish.candidate}

    def _begin(self, live: LiveService, before: Rollout | None, *, attempt: int = 1) -> Outcome | None:
        """Begin it; an outcome is the gate's refusal."""
        revisions = self.world.platform.revisions(self.wish.ref)
        proposal = plan.make(self.wish, live, revisions, knows_service=before is not None)
        for warning in proposal.warnings:
            self.say(f"warning: {warning}")
        refused = self.gate()
        if refused is not None:
            return refused
        self.engine.begin(proposal.plan, live, attempt=attempt, epoch=before.epoch if before else 0)
        return None

    def _supersede(self, current: Rollout) -> Outcome | None:
        ref = self.wish.ref
        if not self.supersede:
            share = current.split.percent_of(current.plan.candidate)
            raise PlanRefused(
                f"{ref.service}: another rollout is under way: {current.plan.candidate} ({current.phase}, {share}%)",
                f"Its image is {current.plan.image}; yours is {self.wish.image}.",
                "Let it end, roll it back (spillway rollback), or give the same command with --supersede.",
            )
        refused = self.gate()
        if refused is not None:
            return refused
        cause = Cause(f"superseded by {self.wish.candidate}", self.engine.driver)
        restored = restore(self.world.platform, self.world.clock, ref, cause, tell=self.say)
        if not restored.verified:
            raise PlatformError(
                f"{ref.service}: traffic did not come back to {restored.target}",
                "The write was accepted and not seen within a minute.",
                f"See it: spillway status; give it back: spillway rollback {ref.name}",
            )
        live = self.world.platform.read(ref)
        return self._begin(live, record.decode(live.record_text or ""))

    def _resume(self, before: Rollout) -> None:
        """Take the rollout over, once it is sure that nobody else drives it. A paused one has no driver."""
        self.engine.follow(before)
        if before.phase is Phase.PAUSED or before.driver == self.engine.driver:
            return
        if self.is_dead(before.driver):
            self.say(f"{before.driver} is dead: taking over at epoch {before.epoch}")
            return
        self._watch(before)
        self.say(f"no heartbeat from {before.driver}: taking over at epoch {before.epoch}")

    def _watch(self, before: Rollout) -> None:
        """Look for one heartbeat period. Raises AnotherRunAlive when epoch or heartbeat moved."""
        clock, period = self.world.clock, self.engine.rhythm.heartbeat
        until = clock.now() + period
        self.say(
            f"{before.driver} drives this rollout: watching {period.total_seconds():g}s for its heartbeat"
        )
        while clock.now() < until:
            clock.sleep(min(timedelta(seconds=1), until - clock.now()))
            text = self.world.platform.read(self.wish.ref).record_text
            after = record.decode(text) if text is not None else before
            if (after.epoch, after.heartbeat) != (before.epoch, before.heartbeat):
                raise AnotherRunAlive(
                    f"another run drives {self.wish.ref.service}: {after.driver}",
                    f"Its record moved from epoch {before.epoch} to {after.epoch} while we watched.",
                    "See it: spillway status --watch",
                )
