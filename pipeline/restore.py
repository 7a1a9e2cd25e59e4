"""Give all traffic back to a known good revision: the one write that nothing else may block.

Needs the platform and a clock. No config, Pulumi, lock, logs, metrics, probe host or local file is touched here, and
nothing is decided: the caller says where to. Every try reads again and carries the etag of that read; a lost answer
is settled by looking at the service, which is the truth, not at the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline import record
from pipeline.errors import PlatformUnavailable, RevisionNotFound, StaleWrite, UserError
from pipeline.model import (
    CANDIDATE_TAG,
    RECORD_ANNOTATION,
    STABLE_TAG,
    LiveService,
    Revision,
    ServiceRef,
    Split,
)
from pipeline.ports import Clock, Platform
from pipeline.rollout import Event, Phase, Rollout

VERIFY_WITHIN = timedelta(seconds=60)
LOOK_EVERY = timedelta(milliseconds=200)
AFTER_CONFLICT = timedelta(milliseconds=50)
MAX_PAUSE = timedelta(seconds=10)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why traffic goes back, and who says so. ``by_hand``: an operator asked, the judge did not."""

    reason: str
    by: str = ""
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What a roll-back did. ``verified`` means traffic was read back and seen, not that the write was accepted."""

    target: str
    verified: bool
    was: Mapping[str, int]
    already: bool = False


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


def readable_record(live: LiveService) -> Rollout | None:
    """The record, or None when there is none or it cannot be read: a roll-back must not depend on it."""
    if live.record_text is None:
        return None
    try:
        return record.decode(live.record_text)
    except record.RecordUnreadable:
        return None


def restore(
    platform: Platform,
    clock: Clock,
    ref: ServiceRef,
    cause: Cause,
    *,
    to: str | None = None,
    tell: Tell = lambda _: None,
) -> Restored:
    """Send 100 % to the roll-back target, read it back, and record both.

    Args:
        to: a revision by name; None: the last known good one.

    Raises: ServiceNotFound, AccessError, RevisionNotFound, UserError; PlatformUnavailable or StaleWrite only when
        nothing could be read and written within ``VERIFY_WITHIN``.
    """
    give_up = clock.now() + VERIFY_WITHIN
    pause = LOOK_EVERY
    was: Mapping[str, int] | None = None
    while True:
        try:
            live = platform.read(ref)
            was = was or live.wanted.serving
            target = _write(platform, clock, live, cause, to)
            break
        except StaleWrite:
            if clock.now() >= give_up:
                raise
            tell("the service changed meanwhile: reading again")
            clock.sleep(AFTER_CONFLICT)
        except PlatformUnavailable as error:
            if clock.now() >= give_up:
                raise
            tell(f"{error.what}: trying again in {pause.total_seconds():.1f}s")
            clock.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE)
    tell(f"100% to {target}: accepted")
    verified = _verify(platform, clock, ref, target, tell)
    if verified:
        _settle(platform, clock, ref, cause.by)
    return Restored(target, verified, was, already=was == {target: 100})


def _write(platform: Platform, clock: Clock, live: LiveService, cause: Cause, to: str | None) -> str:
    """One write under the etag of this read; none when there is nothing to change. Returns the target."""
    rollout = readable_record(live)
    revisions = tuple(platform.revisions(live.ref))
    target = to or target_of(live, rollout, revisions)
    ready = _ready(live.ref, revisions, target)
    is_settled = rollout is None or rollout.phase is Phase.ROLLED_BACK
    if live.wanted.serving == {target: 100} and is_settled:
        return target
    annotations, split = rolled_back(live, rollout, target, cause, clock.now(), ready=ready)
    platform.write(live.ref, etag=live.etag, annotations=annotations, split=split)
    return target


def rolled_back(
    live: LiveService,
    rollout: Rollout | None,
    target: str,
    cause: Cause,
    now: datetime,
    *,
    ready: Iterable[str],
) -> tuple[Mapping[str, str], Split]:
    """Annotations and split of the roll-back write. Without a record only the split and the tags speak.

    The other revision keeps its tag at 0 %, if it is ready, so that it can be looked at.
    """
    split = split_back(live, target, ready)
    if rollout is None:
        return live.annotations, split
    now = record.utc(now)
    after = rollout.on(
        Event.FAILED, now, reason=cause.reason, by=cause.by, split=split, since=now, by_hand=cause.by_hand
    )
    if target != after.plan.stable:  # an operator's --to is the new known good
        after = replace(after, plan=replace(after.plan, stable=target, stable_uid=""))
    after = replace(
        after,
        epoch=rollout.epoch + 1,
        split_epoch=rollout.split_epoch + 1,
        generation=live.generation,
        heartbeat=now,
    )
    return {**live.annotations, RECORD_ANNOTATION: record.encode(after)}, split


def split_back(live: LiveService, target: str, ready: Iterable[str]) -> Split:
    """100 % to the target; the candidate's tag stays where it is, at 0 %, while its revision is ready."""
    other = live.wanted.tagged(CANDIDATE_TAG)
    keep = other is not None and other != target and other in ready
    return Split.between(target, other if keep else None, 0, live.wanted.targets)


def _ready(ref: ServiceRef, revisions: Iterable[Revision], target: str) -> tuple[str, ...]:
    """The ready revisions, target among them: never send users to one that is gone or failed."""
    ready = tuple(r.name for r in revisions if r.is_ready)
    if target in ready:
        return ready
    raise RevisionNotFound(
        f"{target} is not a ready revision of {ref.service}",
        f"Ready revisions: {', '.join(ready) or 'none'}",
        f"Choose one: spillway rollback {ref.name} --to REVISION",
    )


def _verify(platform: Platform, clock: Clock, ref: ServiceRef, target: str, tell: Tell) -> bool:
    give_up = clock.now() + VERIFY_WITHIN
    while clock.now() < give_up:
        try:
            if platform.read(ref).serving.serving == {target: 100}:
                return True
        except PlatformUnavailable as error:
            tell(f"{error.what}: reading back again")
        clock.sleep(LOOK_EVERY)
    return False


def _settle(platform: Platform, clock: Clock, ref: ServiceRef, by: str) -> None:
    """Record that traffic was seen. Failing here loses nothing: the next look at the record settles it."""
    try:
        live = platform.read(ref)
        rollout = readable_record(live)
        if rollout is None or rollout.phase is not Phase.ROLLING_BACK:
            return
        now = record.utc(clock.now())
        after = replace(
            rollout.on(Event.RESTORED, now, reason=rollout.reason, by=by),
            epoch=rollout.epoch + 1,
            generation=live.generation,
            heartbeat=now,
        )
        platform.write(
            ref, etag=live.etag, annotations={**live.annotations, RECORD_ANNOTATION: record.encode(after)}
        )
    except (StaleWrite, PlatformUnavailable):
        return
