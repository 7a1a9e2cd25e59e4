"""Look at the service, the probes and the logs, and think; change nothing.

What decides is read afresh at each look, so any process sees the same, but for the probe rounds since the last write
(``written`` forgets them once they are in the record). Blocks that were judged and not yet written are remembered only
to save reading their lines again; any other process comes to the same from the logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pipeline.budget import urgent
from pipeline.core import drift, record, soak
from pipeline.core.decision import Situation
from pipeline.core.rollout import Phase, Rollout
from pipeline.driving import due
from pipeline.driving.ports import World
from pipeline.driving.rounds import Rounds
from pipeline.driving.verifications import Verifications
from pipeline.errors import PlatformUnavailable, RecordLost, RecordUnreadable, UserError
from pipeline.events import Listener, Look, Said, harmless, unheard
from pipeline.judging import evidence, judge
from pipeline.judging.counts import Block, Counts
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.reading import Arm
from pipeline.judging.spans import Reach, Span, last_closed
from pipeline.judging.terms import Plan
from pipeline.model import LiveService, Revision, ServiceRef, Split
from pipeline.probe.route import Ways

if TYPE_CHECKING:
    from pipeline.probe.scenario import Scenario


class _Listed(Struct, frozen=True):
    """The revisions as they were listed, and what of the service would have changed with them."""

    at: datetime
    beside: object
    revisions: dict[str, Revision]


class Observer:
    """Looks at one service, again and again; remembers only what saves reading twice.

    Args:
        memory: how old a list of the revisions may be while no traffic can be raised on it. In the cloud each list is
            a read of a quota.
    """

    def __init__(
        self,
        ref: ServiceRef,
        world: World,
        scenarios: Sequence[Scenario],
        *,
        listen: Listener = unheard,
        authenticated: bool = False,
        memory: timedelta = timedelta(0),
        ways: Ways | None = None,
        is_inside: bool = False,
    ) -> None:
        self.ref = ref
        self.current: Rollout | None = None  # as last read, for who only shows it
        self._memory = memory
        self._listed: _Listed | None = None
        self._world = world
        self._clock = world.clock
        self._listen = harmless(listen)
        self.rounds = Rounds(
            world.prober, world.clock, scenarios, self._listen, authenticated=authenticated, ways=ways,
            is_inside=is_inside,
        )  # fmt: skip
        self._verifications = Verifications(world.verifier, world.clock, self._listen, ways)
        self._last_epoch = 0
        self._asked: tuple[str, int] = ("", 0)  # driver and epoch of our last write, whose answer may be lost
        self._thought: tuple[str, JudgeState] | None = None
        self._watched: tuple[str, timedelta, datetime] | None = None  # by the record's text, until when
        self._late = ""  # why silence in the logs says nothing
        self._seen: LiveService | None = None  # the last read in which nobody had meddled
        self._our_write: tuple[str, int, LiveService] | None = None

    def about_to_write(self, driver: str, epoch: int, live: LiveService, split: Split | None) -> None:
        """A record with all evidence so far is on its way. Whether it arrived, the next look sees: an answer may be lost.

        Args:
            live: the read that it was decided on, which the write changes in record and, where one is given, split alone.
        """
        self._asked = driver, epoch
        self._our_write = driver, epoch, replace(live, wanted=split or live.wanted)

    def written(self, epoch: int) -> None:
        """The record now holds all evidence so far; ``epoch`` is what it bears."""
        self._last_epoch = max(self._last_epoch, epoch)
        self.rounds.forget_written()
        self._asked = "", 0

    def look(self, *, probe: bool = True, pause: timedelta = timedelta(0)) -> Look:
        """Read, observe and judge; change nothing. Raises UserError when no rollout was ever started.

        Args:
            probe: hold probe conversations when they are due; a mere onlooker does not.
            pause: so much of the time since the look before counts at most for a soak.
        """
        begun = self._clock.now()
        with urgent(self.current is not None and self.current.phase is Phase.ROLLING_BACK):
            live = self._world.platform.read(self.ref)
            current = self.current = self.decode(live)
            revisions = self._revisions(live, current)
        if (current.driver, current.epoch) == self._asked:
            self.written(current.epoch)
        candidate, stable = revisions.get(current.plan.candidate), revisions.get(current.plan.stable)
        changed, foreign = self._others(current, live, candidate, stable)
        state, blind = self._judge(current, live, candidate, stable, probe=probe)
        at_the_end = current.is_last_stage and current.phase is Phase.ROLLING
        verified, unverified = self._verifications.look(current, live, candidate, stable, begin=probe)
        last, now = self.rounds.last, self._clock.now()
        situation = Situation(
            rollout=current,
            live=live,
            now=now,
            candidate=candidate,
            stable=stable,
            stage_verdict=judge.judge_stage(state, current.plan, current.stage_index),
            certification=judge.certify(state, current.plan) if at_the_end else None,
            drift=changed,
            blind=blind,
            is_stable_bad=last is not None and last.is_stable_bad,
            stable_fails=last.stable_fails if last is not None else "",
            is_probed_now=self.rounds.is_now,
            verified=verified,
            unverified=unverified,
            watched=self._watch(current, live, begun, now, pause),
            rounds=state.probes.rounds,
        )
        return Look(situation, state, last, foreign)

    def _watch(
        self, current: Rollout, live: LiveService, begun: datetime, now: datetime, pause: timedelta
    ) -> timedelta:
        """What was watched of the running stage, this look included: on from our last look, or from the last write."""
        text = live.record_text or ""
        before, last = current.watched, current.heartbeat
        if self._watched and self._watched[0] == text:
            _, before, last = self._watched
        seen = soak.watched(before, last, begun, now, pause) if current.arrived else timedelta(0)
        self._watched = text, seen, now
        return seen

    def forget_revisions(self) -> None:
        """The next look lists them anew."""
        self._listed = None

    def _revisions(self, live: LiveService, current: Rollout) -> dict[str, Revision]:
        """By name: listed at this look, or remembered while nothing is raised on them and nothing they show in changed."""
        now, beside = self._clock.now(), (live.latest_created, live.latest_ready, live.failure, live.wanted)
        soaked = current.arrived is not None and now >= current.arrived + current.stage.soak
        may_raise = current.phase is Phase.ROLLING and soaked and self.rounds.is_near
        old = self._listed
        if old is None or may_raise or old.beside != beside or now - old.at >= self._memory:
            listed = {r.name: r for r in self._world.platform.revisions(self.ref)}
            self._listed = old = _Listed(now, beside, listed)
        return old.revisions

    def _others(
        self, current: Rollout, live: LiveService, candidate: Revision | None, stable: Revision | None
    ) -> tuple[str, str]:
        """What other people did: drift, and what stops nothing; each in words."""
        has_candidate, before = candidate is not None, self._seen
        # A generation that was seen with this very record was looked at then; with another record it proves nothing.
        known = before.generation if before and before.record_text == live.record_text else 0
        count = drift.foreign_writes(current, live, has_candidate=has_candidate, known=known)
        changed = current.drift or self.side_effects(current, live)
        changed = changed or drift.drift_of(
            current, live, count, self._last_epoch, has_candidate=has_candidate
        )
        changed = changed or drift.reborn(current, candidate, stable)
        if changed:
            return changed, ""
        # Only from here on is this read one to compare with: else the next look would find what was done in order.
        foreign = drift.told(before, live, count) if count else ""
        if foreign:
            self._listen(Said(self._clock.now(), "foreign_write", foreign))
        self._seen = live
        self._last_epoch = max(self._last_epoch, current.epoch)
        return "", foreign

    def side_effects(self, current: Rollout, live: LiveService) -> str:
        """What our last write changed that it should not have, in words; empty when nothing."""
        if self._our_write is None:
            return ""
        driver, epoch, before = self._our_write
        if (current.driver, current.epoch) != (driver, epoch):
            return ""
        found = drift.side_effects(before, live)
        return f"our own write changed more than traffic and record: {found}" if found else ""

    def _judge(
        self,
        current: Rollout,
        live: LiveService,
        candidate: Revision | None,
        stable: Revision | None,
        *,
        probe: bool,
    ) -> tuple[JudgeState, str]:
        """The judge's state with everything that was seen since it was written, and why we are blind, if we are."""
        self.rounds.is_now = False
        if current.phase not in (Phase.ROLLING, Phase.PAUSED) or candidate is None:
            return current.judge, ""
        blind = self.rounds.collect(current, live, candidate, stable) if probe else ""
        state = current.judge
        # By the record's text: once anybody has written it, what we made of the one before is void.
        if self._thought and self._thought[0] == live.record_text:
            state = self._thought[1]
        try:
            blocks = self._blocks(current, candidate, stable, state)
            for block in blocks:
                in_stage = current.arrived is not None and block.start >= current.arrived
                # With session affinity whoever was here before stays where he was, and the share is not of everybody.
                told = replace(block, came=Counts()) if live.session_affinity else block
                state = judge.observe(state, current.plan, told, in_stage=in_stage)
            if len(blocks) >= evidence.MOST_BLOCKS:
                blind = f"evidence is taken in up to {blocks[-1].end.isoformat()}, and goes on"
            elif current.stage.percent:
                blind = blind or self._late
            self._thought = (live.record_text or "", state)
        except PlatformUnavailable as error:
            blind = f"logs cannot be read: {error.what}"
        return self.rounds.judged(state, current), blind

    def _blocks(
        self, current: Rollout, candidate: Revision, stable: Revision | None, state: JudgeState
    ) -> Sequence[Block]:
        """The closed blocks that were not judged yet: of the splits before this one, and of this one.

        Raises: PlatformUnavailable when logs cannot be read.
        """
        plan, now = current.plan, self._clock.now()
        arms = (
            Arm(candidate.name, candidate.nonce),
            Arm(stable.name, stable.nonce) if stable else None,
        )
        spans = [span for span in due.spans_of(current) if self._is_due(span, plan, state)]
        if not spans:
            return []
        # Once for all of them, and for both arms: each search is a part of the project's quota.
        since = min(
            due.needed(span, plan.terms.sampling, state.seen_until(span.split_epoch)) for span in spans
        )
        revisions = (current.plan.candidate, current.plan.stable)
        lines = self._world.logs.lines(self.ref, since=since, revisions=revisions)
        blocks: list[Block] = []
        clients = state.clients
        for span in spans:
            after = state.seen_until(span.split_epoch)
            reach = Reach.of(lines, span, plan.terms.sampling, now, after)
            self._late = reach.late if judge.counts_runs(plan) else ""
            blocks += evidence.closed_blocks(
                lines, span, arms, plan.terms.sampling, plan.terms.criteria, reach.until, after=after,
                clients=clients, windows=current.windows,
            )  # fmt: skip
            clients = blocks[-1].memory if blocks else clients
            if len(blocks) >= evidence.MOST_BLOCKS:
                break  # in order, and the rest at the next look
        return blocks

    def _is_due(self, span: Span, plan: Plan, state: JudgeState) -> bool:
        """Whether something of it is judged, and a block of it can be closed."""
        closed = last_closed(span, plan.terms.sampling, self._clock.now())
        return due.is_open(span, plan, state) and closed > state.seen_until(span.split_epoch)

    def decode(self, live: LiveService) -> Rollout:
        """The service's rollout. Raises UserError where there never was one, RecordLost where ours is gone."""
        try:
            found = record.of(live)
        except RecordUnreadable as error:
            if self._last_epoch:
                raise self._lost(live, "cannot be read any more", error.why) from error
            raise
        if found is not None:
            return found
        if self._last_epoch:
            raise self._lost(live, "vanished")
        raise UserError(
            f"{self.ref.service}: no rollout was ever started here",
            "The service carries no rollout record.",
            "Start one: spillway rollout --image DIGEST",
        )

    def _lost(self, live: LiveService, what: str, why: str = "") -> RecordLost:
        return RecordLost(
            f"{self.ref.service}: the rollout record {what}{drift.author(live)}",
            f"{why} We wrote epoch {self._last_epoch}; nothing is raised without a record.".strip(),
            f"Roll back from the stable tag: spillway rollback {self.ref.name}",
        )
