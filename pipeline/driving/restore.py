"""Give all traffic back to a known good revision: the one write that nothing else may block.

Needs the platform and a clock. No config, Pulumi, lock, logs, metrics, probe host, local file or output is needed here,
and nothing is decided: the caller says where to. Every try reads again and carries the etag of that read; a lost answer
is settled by looking at the service, which is the truth, not at the operation. A record that cannot be read is replaced.

"Read back" is said of a settled service only: right after a write the status may still be an older one's, and that may
show what is wanted by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.budget import urgent
from pipeline.core import draining, drift, record
from pipeline.core.decision import LONGEST_START, VERIFY_WITHIN, is_given_back
from pipeline.core.rollout import Event, Phase, Rollout
from pipeline.driving.hand import LOOK_AT_LEAST_EVERY, LOOK_EVERY, Done, Hand
from pipeline.driving.ports import Clock, Platform
from pipeline.errors import (
    PlanRefused,
    PlatformError,
    PlatformUnavailable,
    StaleWrite,
    UserError,
)
from pipeline.events import Listener, RolledBack, harmless, unheard
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.terms import Drain, Plan, Stage, Terms
from pipeline.model import CANDIDATE_TAG, STABLE_TAG, LiveService, Revision, ServiceRef, Split

#: From the write that was accepted. An apply that carries no etag may have looked before it and write after it.
STANDS_BY = timedelta(seconds=2)
AFTER_CONFLICT = timedelta(milliseconds=50)
MAX_PAUSE = timedelta(seconds=10)
REPLACED = "replaced"  # the rollout id of a record that took the place of an unreadable one


class Cause(Struct, frozen=True):
    """Why traffic goes back, and who says so.

    Args:
        by_hand: an operator asked, the judge did not.
        drain: what becomes of the sockets that it leaves, other than the record says.
    """

    reason: str
    by: str = ""
    by_hand: bool = False
    drain: Drain | None = None


def target_of(live: LiveService, rollout: Rollout | None, revisions: Iterable[Revision]) -> str:
    """The last known good revision: from the record, else from the ``stable`` tag alone.

    Raises: UserError listing the ready revisions when neither names one.
    """
    if rollout is not None:
        return rollout.plan.stable
    tagged = live.wanted.tagged(STABLE_TAG) or live.serving.tagged(STABLE_TAG)
    if tagged:
        return tagged
    ready = ", ".join(r.name for r in revisions if r.is_ready) or "none"
    raise UserError(
        f"{live.ref.service}: no rollout record and no {STABLE_TAG!r} tag, so nothing says what was good",
        f"Ready revisions: {ready}",
        f"Choose one: spillway rollback {live.ref.name} --to REVISION",
    )


def restore(
    platform: Platform,
    clock: Clock,
    ref: ServiceRef,
    cause: Cause,
    *,
    to: str | None = None,
    listen: Listener = unheard,
    stop: Callable[[], bool] = lambda: False,
) -> Done:
    """Send 100 % to the roll-back target, read it back, and record both.

    Args:
        to: a revision by name; None: the last known good one.
        stop: whether the process was told to end; then nothing is waited for any more.

    Raises: ServiceNotFound, AccessError, UserError (no such target: nothing was written); PlatformUnavailable or
        StaleWrite only when nothing could be read and written within ``VERIFY_WITHIN``.
    """
    with urgent():
        return _Restore(platform, clock, ref, cause.by, harmless(listen), stop, cause=cause, to=to).run()


class _Restore(Hand, kw_only=True):
    """One roll-back."""

    cause: Cause
    to: str | None

    def run(self) -> Done:
        was, target, decided_on = self._write_until_accepted()
        until = self.clock.now() + STANDS_BY
        self.to = target  # decided: what an apply brings back must not choose another
        seen = self._read_back(target, decided_on)
        if seen is None:
            return Done(target, verified=False, was=was)
        self.listen(RolledBack(self.clock.now(), target))
        had_it = was == {target: 100}
        if decided_on.wanted.serving == {target: 100} and record.readable(seen) is None:
            return Done(target, verified=True, was=was, already=had_it)  # nothing was written
        verified, rollout = self._outlast(decided_on, seen, target, until)
        return Done(target, verified, was, already=verified and had_it, rollout=rollout)

    def _outlast(
        self, decided_on: LiveService, seen: LiveService, target: str, until: datetime
    ) -> tuple[bool, Rollout | None]:
        """Stay while a program that is being applied may bring back what it had read. Traffic is back, and that is said first.

        False when what was brought back was sent back and not seen to go.

        Where a rollout applies it, its record says until when. Who else does (a bare ``pulumi up``) says nothing, and
        looks once more right before it writes: then it is a matter of moments.
        """
        before = record.readable(decided_on)
        applied = before if before and before.may_be_applied(decided_on, self.clock.now()) else None
        until = max(until, applied.apply_until) if applied and applied.apply_until else until
        watched = f"watching until {until:%H:%M:%S} UTC that no apply brings back what it had read"
        self.say("reading_back", f"traffic is back: 100% on {target}, read back; {watched}")
        ours = self._settle(seen)
        while not self.stop() and self.clock.now() < until:
            with suppress(PlatformUnavailable, StaleWrite):
                live = self.platform.read(self.ref)
                if drift.is_brought_back(live, record.readable(live), decided_on, ours, target):
                    self.say("retrying", "an apply of the program brought back what it had read: once more")
                    again = self._read_back(self._write(live), live)
                    if again is None:
                        return False, ours
                    ours = self._settle(again)
                elif applied and live.latest_created == applied.plan.candidate:
                    break
            is_soon = self.ref.is_local or until - self.clock.now() <= STANDS_BY
            self.clock.sleep(LOOK_EVERY if is_soon else LOOK_AT_LEAST_EVERY)
        return True, ours

    def _write_until_accepted(self) -> tuple[Mapping[str, int], str, LiveService]:
        """What was served, the target, and the read that the accepted write was decided on."""
        give_up = self.clock.now() + VERIFY_WITHIN
        pause = LOOK_EVERY
        was: Mapping[str, int] | None = None
        while True:
            try:
                live = self.platform.read(self.ref)
                # Of the first read: a write whose answer was lost may have moved it since.
                was = was or live.wanted.serving
                return was, self._write(live), live
            except StaleWrite:
                if self.clock.now() >= give_up or self.stop():
                    raise
                self.say("retrying", "the service changed meanwhile: reading again")
                self.clock.sleep(AFTER_CONFLICT)
            except PlatformUnavailable as error:
                if self.clock.now() >= give_up or self.stop():
                    raise
                self.say("retrying", f"{error.what}: trying again in {pause.total_seconds():.1f}s")
                self.clock.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE)

    def _write(self, live: LiveService) -> str:
        """One write under the etag of this read; none when there is nothing to change. Returns the target."""
        rollout = record.readable(live)
        revisions = tuple(self.platform.revisions(live.ref))
        target = self.to or target_of(live, rollout, revisions)
        _refuse_the_only_one(live, rollout, self.to)
        ready = _ready(live.ref, revisions, target)
        if live.wanted.serving == {target: 100} and _is_written(live, rollout, target, self.cause):
            return target
        split = split_back(live, target, ready)
        self.write(live, self._explained(live, rollout, target, split), split)
        return target

    def _explained(
        self, live: LiveService, rollout: Rollout | None, target: str, split: Split
    ) -> Rollout | None:
        """The record of the roll-back write: a service that carries none gets none, one that cannot be read is replaced."""
        if live.record_text is None:
            return None
        cause, now = self.cause, record.utc(self.clock.now())
        if rollout is None:
            text = live.record_text[:200]
            self.say("record_replaced", f"the record cannot be read and is replaced: {text!r}")
            rollout = _in_place_of(live, target, now)
        after = rollout.on(
            Event.FAILED, now, reason=cause.reason, by=cause.by, split=split, since=now, by_hand=cause.by_hand,
            split_epoch=rollout.split_epoch + 1, blamed="",
        )  # fmt: skip
        if target != after.plan.stable:  # an operator's --to is the new known good
            plan = replace(after.plan, stable=target, stable_uid="")
            after = replace(after, plan=plan, draining=draining.carried(after.draining, plan))
        if cause.drain is not None:
            after = replace(after, plan=draining.wished(after.plan, cause.drain))
        return after

    def _read_back(self, target: str, decided_on: LiveService) -> LiveService | None:
        """The read that showed everything on the target, in a status that cannot be older than our write."""
        wanted = Split.between(target, None, 0)
        begun, told = self.clock.now(), False
        for live in self.reads():
            patience = VERIFY_WITHIN
            if live is not None and self._is_seen(target, decided_on, live):
                if found := drift.side_effects(
                    replace(decided_on, wanted=split_back(decided_on, target, ())), live
                ):
                    self.say("side_effect", f"this write changed more than traffic and record: {found}")
                return live
            if live is not None and live.awaits_revision and live.serving.shares_with(wanted):
                patience = LONGEST_START
                if not told:
                    self.say(
                        "reading_back", f"shown; waiting until Cloud Run has judged {live.latest_created}"
                    )
                told = True
            if self.clock.now() - begun >= patience:
                break
        return None

    def _is_seen(self, target: str, decided_on: LiveService, live: LiveService) -> bool:
        if live.generation < decided_on.generation:
            return False
        wanted = Split.between(target, None, 0)
        if live.shows(wanted):
            return True
        rollout = record.readable(live)
        had_it = decided_on.wanted.shares_with(wanted) and decided_on.serving.shares_with(wanted)
        return (
            rollout is not None and rollout.plan.stable == target and had_it and is_given_back(rollout, live)
        )

    def _settle(self, seen: LiveService) -> Rollout | None:
        """Record that traffic was seen, under the etag of the read that showed it.

        Failing here loses nothing: the next look at the record settles it.
        """
        rollout = record.readable(seen)
        if rollout is None or rollout.phase is not Phase.ROLLING_BACK:
            return rollout
        now = record.utc(self.clock.now())
        try:
            return self.write(seen, rollout.on(Event.RESTORED, now, reason=rollout.reason, by=self.by))
        except PlatformError:
            return rollout


def _in_place_of(live: LiveService, target: str, now: datetime) -> Rollout:
    """What is known of a rollout whose record says nothing: where traffic goes back to, and from what."""
    others = [name for name in live.wanted.revisions if name != target]
    candidate = live.wanted.tagged(CANDIDATE_TAG) or next(iter(others), target)
    plan = Plan(
        rollout_id=REPLACED, ref=live.ref, stable=target, stable_uid="", candidate=candidate, image="",
        terms=Terms((Stage(0),)),
    )  # fmt: skip
    return Rollout(
        plan=plan, phase=Phase.ROLLING_BACK, started=now, since=now, heartbeat=now, split=live.wanted,
        judge=JudgeState(), reached=live.wanted.percent_of(candidate),
    )  # fmt: skip


def _refuse_the_only_one(live: LiveService, rollout: Rollout | None, to: str | None) -> None:
    """Asked to leave the first revision, with nothing said of where to."""
    if not to and rollout is not None and rollout.is_only_one(live):
        raise PlanRefused(
            f"{live.ref.service}: nothing to roll back to",
            f"{rollout.plan.candidate} is its first revision, and has 100%.",
            f"Deploy the next image: spillway rollout --image DIGEST; or: spillway rollback {live.ref.name} --to REVISION",
        )


def _is_written(live: LiveService, rollout: Rollout | None, target: str, cause: Cause) -> bool:
    """Nothing is left to write where all traffic is on the target already, or was sent there by a process that died."""
    if rollout is not None and rollout.phase is Phase.ROLLING_BACK:
        return rollout.plan.stable == target and rollout.by_hand == cause.by_hand
    if rollout is None:
        return live.record_text is None
    return rollout.phase is Phase.ROLLED_BACK or (
        rollout.phase is Phase.PROMOTED and rollout.plan.candidate == target
    )


def split_back(live: LiveService, target: str, ready: Iterable[str]) -> Split:
    """100 % to the target; the candidate's tag stays where it is, at 0 %, while its revision is ready.

    The other revision keeps its tag so that it can be looked at.
    """
    other = live.wanted.tagged(CANDIDATE_TAG)
    keep = other is not None and other != target and other in ready
    return Split.between(target, other if keep else None, 0, live.wanted.targets)


def _ready(ref: ServiceRef, revisions: Iterable[Revision], target: str) -> tuple[str, ...]:
    """The ready revisions, target among them: never send users to one that is gone or failed."""
    ready = tuple(r.name for r in revisions if r.is_ready)
    if target in ready:
        return ready
    raise PlanRefused(
        f"{target} is not a ready revision of {ref.service}",
        f"Ready revisions: {', '.join(ready) or 'none'}",
        f"Choose one: spillway rollback {ref.name} --to REVISION",
    )
