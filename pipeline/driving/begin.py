"""Begin a rollout, resume it, retry it, supersede another, or answer how it ended: ``intent.py`` says which."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.decision import LONGEST_START, VERIFY_WITHIN
from pipeline.core.differs import differences
from pipeline.core.intent import GOOD, Begin, Ended, First, Resume, Supersede, intent_of
from pipeline.core.plan import Wish
from pipeline.core.promoted import Admission
from pipeline.core.rollout import Phase, Rollout
from pipeline.driving.engine import Engine
from pipeline.driving.first_deployment import deploy_first
from pipeline.driving.ports import World
from pipeline.driving.restore import Cause, restore
from pipeline.errors import AnotherRunAlive, PlanRefused, PlatformError, ServiceNotFound, StaleWrite
from pipeline.model import LiveService, Outcome

_TRIES = 5


class Start(Struct, frozen=True):
    """One wish to have a rollout under way.

    Args:
        retry: start the next attempt of a rollout that ended.
        supersede: give up another rollout that is under way; its candidate's traffic goes back to stable first.
        take_tags: make somebody else's ``stable`` or ``candidate`` tag ours.
        is_dead: whether a driver is known to be dead (same machine, no such process); saves watching for it.
        aim: the wish with the candidate's name, which depends on the service as it is and on its record.
        gate: asked before the first write of a rollout that has not begun; an outcome is its refusal.
        admit: asked before the gate: why the image is let in, where the environment comes after another; raises NotYet or
            PlanRefused where it is not.
    """

    engine: Engine
    world: World
    wish: Wish
    retry: bool = False
    supersede: bool = False
    take_tags: bool = False
    say: Callable[[str], None] = lambda _: None
    is_dead: Callable[[str], bool] = lambda _: False
    aim: Callable[[Wish, LiveService | None, Rollout | None], Wish] = lambda wish, *_: wish
    admit: Callable[[], Admission | None] = lambda: None
    gate: Callable[[], Outcome | None] = lambda: None

    def __call__(self) -> Ended | None:
        """None once the wished rollout is under way and ours to drive; how it ended when it has.

        Raises: PlanRefused, NotYet, AnotherRunAlive, and what the ports raise.
        """
        for _ in range(_TRIES):
            try:
                return self._act()
            except StaleWrite:
                self._tell("the service changed meanwhile: reading again")
        raise AnotherRunAlive(
            f"{self.wish.ref.service} was written by somebody else {_TRIES} times while we tried to begin",
            fix="See who: spillway status --watch",
        )

    def _act(self, *, superseded: Rollout | None = None) -> Ended | None:
        live: LiveService | None = None
        with suppress(ServiceNotFound):
            live = self.world.platform.read(self.wish.ref)
        current = record.of(live) if live is not None else None
        aimed = replace(self, wish=self.aim(self.wish, live, current))
        return aimed._do(live, current, superseded)  # noqa: SLF001 - itself, aimed

    def _do(
        self, live: LiveService | None, current: Rollout | None, superseded: Rollout | None
    ) -> Ended | None:
        revisions = self.world.platform.revisions(self.wish.ref) if live is not None else ()
        retry = self.retry or superseded is not None
        match intent_of(self.wish, live, revisions, current, retry=retry):
            case Ended() as ended:
                return self._seen(ended)
            case Resume(rollout):
                assert live is not None
                self._resume(rollout, live)
                return None
            case Supersede(rollout):
                return self._supersede(rollout)
            case First() as first:
                return self._first(first)
            case Begin() as begin:
                assert live is not None
                return self._begin(live, begin, superseded)

    def _seen(self, ended: Ended) -> Ended:
        """An ending that says "it has the traffic", once that is read back."""
        if ended.outcome not in GOOD or self.engine.read_back(VERIFY_WITHIN, ended.candidate):
            return ended
        words = f"{ended.words}; traffic was asked for and is not seen yet"
        return Ended(Outcome.UNDER_WAY, ended.candidate, words, ended.rollout)

    def _refused(self) -> Ended | None:
        outcome = self.gate()
        return Ended(outcome, self.wish.candidate, outcome.label) if outcome is not None else None

    def _first(self, intent: First) -> Ended | None:
        intent = replace(intent, admission=self.admit())
        if refused := self._refused():
            return refused
        outcome = deploy_first(self.engine, self.world, intent)
        return Ended(outcome, self.wish.candidate, f"{outcome.label}: {self.wish.candidate}")

    def _begin(self, live: LiveService, intent: Begin, superseded: Rollout | None) -> Ended | None:
        proposal = intent.proposal
        for warning in proposal.warnings:
            self._tell(f"warning: {warning}")
        if proposal.foreign_tags and not self.take_tags:
            raise PlanRefused(
                f"{self.wish.ref.service}: {'; '.join(proposal.foreign_tags)}",
                "Spillway did not set it, and would move it to its own revisions.",
                "Rename that tag, or let Spillway have it: the same command with --take-tags",
            )
        intent = replace(intent, admission=self.admit())
        if refused := self._refused():
            return refused
        if superseded is not None:
            *earlier, last = intent.past
            intent = replace(intent, past=(*earlier, replace(last, outcome=Outcome.SUPERSEDED.label)))
        self.engine.begin(intent, live)
        return None

    def _supersede(self, current: Rollout) -> Ended | None:
        ref = self.wish.ref
        if not self.supersede:
            share = current.split.percent_of(current.plan.candidate)
            raise PlanRefused(
                f"{ref.service}: another rollout is under way: {current.plan.candidate} ({current.phase}, {share}%)",
                differences(self.wish, current.plan),
                "Let it end, roll it back (spillway rollback), or give the same command with --supersede.",
            )
        self.admit()
        if refused := self._refused():
            return refused
        cause = Cause(f"superseded by {self.wish.candidate}", self.engine.driver)
        platform, clock = self.world.platform, self.world.clock
        restored = restore(
            platform, clock, ref, cause, listen=lambda event: self._tell(event.text), stop=self.engine.stop
        )
        if not restored.verified:
            raise PlatformError(
                f"{ref.service}: traffic did not come back to {restored.target}",
                "The write was accepted and not seen within a minute.",
                f"See it: spillway status; give it back: spillway rollback {ref.name}",
            )
        return self._act(superseded=current)

    def _tell(self, text: str) -> None:
        """Whoever cannot be told stops nothing."""
        with suppress(Exception):
            self.say(text)

    def _resume(self, before: Rollout, live: LiveService) -> None:
        """Take the rollout over, once it is sure that nobody else drives it. A paused one has no driver."""
        self.engine.follow(before)
        if before.phase is Phase.PAUSED or before.driver == self.engine.driver:
            return
        is_applied = before.may_be_applied(live, self.world.clock.now())
        if self.is_dead(before.driver) and not (is_applied and self.world.deployer.outlives):
            self._tell(f"{before.driver} is dead: taking over at epoch {before.epoch}")
            return
        if self._watch(before, is_applied=is_applied):
            self._tell(f"no heartbeat from {before.driver}: taking over at epoch {before.epoch}")

    def _watch(self, before: Rollout, *, is_applied: bool) -> bool:
        """Look for one heartbeat period; False when told to stop. Raises AnotherRunAlive when epoch or heartbeat moved.

        While a write of its own is on its way a driver writes no heartbeat, so the period begins when it was seen. Nor does
        it while the program is applied, which may go on, and in the cloud without it, until the time that its record says.
        """
        clock, period = self.world.clock, self.engine.rhythm.heartbeat
        begun = clock.now()
        until = begun + period
        what = f"{before.driver} drives this rollout: watching {period.total_seconds():g}s for its heartbeat"
        if is_applied and before.apply_until:
            what = f"{before.driver} may still be applying the program: waiting until {before.apply_until:%H:%M:%S} UTC"
        self._tell(what)
        while not self.engine.stop():
            is_last = (
                clock.now() >= until
            )  # asked before the read: a slow one must not hide what came after it
            live = self.world.platform.read(self.wish.ref)
            after = record.of(live) or before
            if (after.epoch, after.heartbeat) != (before.epoch, before.heartbeat):
                raise AnotherRunAlive(
                    f"another run drives {self.wish.ref.service}: {after.driver}",
                    f"Its record moved from epoch {before.epoch} to {after.epoch} while we watched.",
                    "See it: spillway status --watch",
                )
            is_moving = not live.is_settled and clock.now() - begun < LONGEST_START
            if is_moving or before.may_be_applied(live, clock.now()):
                until, is_last = clock.now() + period, False
            if is_last:
                return True
            clock.sleep(min(max(timedelta(seconds=1), self.engine.rhythm.quiet), until - clock.now()))
        return False
