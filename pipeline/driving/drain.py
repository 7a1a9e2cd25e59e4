"""Delete a revision that was sent back, where that is wished: its instances get SIGTERM, and its sockets end with them.

Theory of operation. Only ever of a revision that lost its traffic, with that read back, and in nobody's way: whatever goes
wrong here is told, and changes no outcome. Cloud Run refuses to delete the latest revision that was made, so stable's
template is put back first, as a new revision that gets nothing; that, the loss of the candidate's tag (one that names a
revision which is gone makes every later write fail) and the record of both are one write. Then the revision goes.

Each step follows from the record and from what is live, and writes under the etag of the read that it was decided on. So
it may be killed and begun again anywhere, and any number of processes may do it at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec.structs import replace

from pipeline.core import draining, record
from pipeline.core.draining import Draining
from pipeline.core.rollout import Phase, Rollout
from pipeline.driving.hand import Hand
from pipeline.driving.ports import Clock, Platform
from pipeline.errors import AccessError, PlanRefused, PlatformError, RevisionNotFound, StaleWrite
from pipeline.events import Listener, harmless, unheard
from pipeline.judging.terms import Drain
from pipeline.model import CANDIDATE_TAG, LiveService, Revision, ServiceRef, Split

PATIENCE = timedelta(minutes=2)  # then whoever comes next goes on
JUST_NOW = timedelta(minutes=1)
LOOK_EVERY = timedelta(milliseconds=500)
LOOK_IN_THE_CLOUD_EVERY = timedelta(seconds=3)
ASK_AGAIN_AFTER = timedelta(seconds=15)
_NOTE_CHARS = 200
LAST_WORDS = timedelta(seconds=12)  # the ten that instances are given, and their last lines in the log


def drain(
    platform: Platform,
    clock: Clock,
    ref: ServiceRef,
    *,
    by: str,
    listen: Listener = unheard,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Do what the record says is to be done about the sockets of a revision, as far as it is somebody's to do.

    Returns once the revision is gone and its instances had their time, once it was given up, or after two minutes; at
    once where nothing is to be done.

    Args:
        by: who does it, for the record.
        stop: whether the process was told to end.
    """
    _Drain(platform, clock, ref, by, harmless(listen), stop).run()


def wish(platform: Platform, clock: Clock, ref: ServiceRef, how: Drain, *, by: str) -> None:
    """An operator wants this to become of the sockets on a candidate that was sent back, whatever was agreed to.

    Raises: PlanRefused where there is no such candidate; AccessError, PlatformUnavailable; StaleWrite where others write
        all the time.
    """
    hand, give_up = Hand(platform, clock, ref, by), clock.now() + PATIENCE
    while True:
        live = platform.read(ref)
        current = record.readable(live)
        if current is None or current.phase is not Phase.ROLLED_BACK:
            raise PlanRefused(
                f"{ref.service}: --drain {how}: no candidate of ours was sent back",
                "The service carries no record of a roll-back, so nothing says whose sockets are meant.",
                "Look at its revisions: gcloud run revisions list; spillway status",
            )
        now, old = record.utc(clock.now()), current.draining
        if _is_wished(old, how, now):
            return
        plan = draining.wished(current.plan, how)
        asked = draining.after_roll_back(plan, how, now, old.put_back if old else "")
        try:
            hand.write(live, replace(current, plan=plan, draining=asked))
        except StaleWrite:
            if clock.now() >= give_up:
                raise
            clock.sleep(LOOK_EVERY)
        else:
            return


def _is_wished(old: Draining | None, how: Drain, now: datetime) -> bool:
    """Nothing is to be written: it is so already, or the revision is gone, and what was kept of it is not forgotten."""
    if old is None or old.deleted_at is not None:
        return old is not None or how is Drain.KEEP
    if how is Drain.DELETE:
        return old.is_to_delete
    return old.how is how and now - old.since < JUST_NOW


class _Drain(Hand):
    asked_at: datetime | None = None  # Cloud Run, to delete it

    def run(self) -> None:
        give_up, problem = self.clock.now() + PATIENCE, "it takes longer than usual"
        while not self.stop():
            try:
                if self._step():
                    return
            except StaleWrite:
                problem = "somebody else writes the service"
            except (AccessError, PlatformError) as error:
                problem = error.what
            if self.clock.now() >= give_up:
                self.say("draining", f"not deleted yet: {problem}. The same command, or a tick, goes on")
                return
            self.clock.sleep(LOOK_EVERY if self.ref.is_local else LOOK_IN_THE_CLOUD_EVERY)

    def _step(self) -> bool:
        """Whether nothing is left to do. Raises AccessError, PlatformError."""
        live = self.platform.read(self.ref)
        current = record.readable(live)
        asked = current.draining if current and current.phase is Phase.ROLLED_BACK else None
        if current is None or asked is None or not asked.is_to_delete:
            return True
        found = {each.name: each for each in self.platform.revisions(self.ref)}.get(asked.revision)
        if found is None:
            return self._end(live, current, asked)
        try:
            self._go_on(live, current, asked, found)
        except (_Kept, AccessError, PlanRefused) as error:
            return self._end(live, current, asked, str(error) if isinstance(error, _Kept) else error.what)
        return False

    def _go_on(self, live: LiveService, current: Rollout, asked: Draining, found: Revision) -> None:
        name, stable = asked.revision, current.plan.stable
        if live.wanted.serving != {stable: 100}:
            raise _Kept(f"traffic is not on {stable} alone any more: {live.wanted}")
        if tags := sorted(
            t.tag for t in live.wanted.targets if t.revision == name and t.tag != CANDIDATE_TAG
        ):
            raise _Kept(f"somebody's tag {tags[0]!r} is on it")
        if asked.begun is None or name in live.wanted.revisions:
            # Before it is settled, a revision that somebody deploys may be the latest, and not be shown yet.
            if live.is_settled:
                self._begin(live, current, asked, found)
        elif name not in (live.latest_created, *live.serving.revisions):
            self._delete(name)

    def _begin(self, live: LiveService, current: Rollout, asked: Draining, found: Revision) -> None:
        stable, now = current.plan.stable, record.utc(self.clock.now())
        is_latest = live.latest_created == asked.revision
        put_back = _name(live.ref, current) if is_latest else asked.put_back
        split = Split.between(stable, None, 0, live.wanted.targets)
        asked = replace(asked, begun=now, nonce=found.nonce, put_back=put_back)
        after, annotations = self.recorded(live, replace(current, split=split, draining=asked))
        if is_latest:
            self.say(
                "draining", f"{stable}'s template is put back as {put_back}, so that {found.name} can go"
            )
            self.platform.write_put_back(
                self.ref,
                etag=live.etag,
                annotations=annotations,
                split=split,
                template_of=stable,
                name=put_back,
            )
        else:
            self.platform.write(self.ref, etag=live.etag, annotations=annotations, split=split)
        self.wrote(live, after)

    def _delete(self, name: str) -> None:
        """Asked for once in a while: one that is being deleted may still be listed."""
        now = self.clock.now()
        if self.asked_at is not None and now - self.asked_at < ASK_AGAIN_AFTER:
            return
        self.asked_at = now
        self.say("draining", f"deleting {name}: its instances have ten seconds to close their sockets")
        with suppress(RevisionNotFound):  # somebody was faster
            self.platform.delete_revision(self.ref, name)

    def _end(self, live: LiveService, current: Rollout, asked: Draining, note: str = "") -> bool:
        asked = replace(asked, ended=record.utc(self.clock.now()), note=note[:_NOTE_CHARS])
        self.write(live, replace(current, draining=asked))
        if note:
            self.say("draining", f"{asked.revision} is not deleted: {note}")
            return True
        if self.asked_at is not None and not self.stop():
            self.clock.sleep(max(timedelta(0), self.asked_at + LAST_WORDS - self.clock.now()))
        self.say("drained", f"{asked.revision} is deleted")
        return True


class _Kept(Exception):
    """Why the revision is left alone, in words."""


def _name(ref: ServiceRef, current: Rollout) -> str:
    """Of the revision that is put back: one that there never was, since an epoch comes once."""
    seed = f"{current.plan.rollout_id}/{current.attempt}/{current.epoch}"
    return f"{ref.service}-{sha256(seed.encode()).hexdigest()[:10]}"
