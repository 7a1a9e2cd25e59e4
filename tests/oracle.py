"""What must hold after every write of a rollout, judged from outside: knows the truth, and nothing of the pipeline.

The oracle stands at the platform. It sees every read and write and whose it was, every hand of somebody else, and what
users and probes really met. Its numbers are those of ``docs/architecture.md``'s invariants. Whose a move of traffic is, is
told by what the record says was meant (``by``, ``by_hand``), not by who happens to carry it out: a driver finishes what
an operator began. That an operator asked at all is known from outside (``asked``).

``oracle_record.py`` reads the records, ``oracle_ledger.py`` counts runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import log
from typing import TYPE_CHECKING

from pipeline.events import Looked, RolloutEvent
from pipeline.judging.terms import Stage
from pipeline.model import CANDIDATE_TAG, RECORD_ANNOTATION, STABLE_TAG, LiveService, Outcome, Split
from tests.oracle_ledger import compare, must_be_fresh
from tests.oracle_record import LEGAL, Written, changed, is_misled, moved
from tests.rollouts import CANDIDATE, STABLE

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.rollout import Simulation

FOREIGN_TAG = "green"
SECOND = timedelta(seconds=1)
HEARTBEAT = 20.0
AT_ONCE = 3.0  # seconds that a driver may take for what it does at once: one look, and the next
_OURS = "spillway.rollout/"
# What no process can keep that believes in a wrong hour: when a stage began, and which runs had their time to end.
_RESTS_ON_STABLE = ("S2", "S5", "S6", "S8", "S10", "S11 judged", "S14")
_RESTS_ON_CLOCKS = ("S2 soak", "S3 runs", "S11 judged", "exactly once", "L4 deadline")


class Oracle:
    """Collects violations."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.platform = sim.platform
        self.violations: list[str] = []
        self.shares: list[Split] = []  # what was served when a write came, and what was still to be
        self.served_since = sim.clock.now()  # and since when
        self.asked: set[str] = set()  # what operators asked for: "promote", "roll back"
        self.was_misled = (
            False  # nothing was left on the service that says what was good, and something that lies
        )
        self.foreign_writes = 0  # since our last write
        self.was_ever_touched = False
        self.was_touched = False  # somebody else changed something of ours since the attempt began
        self.taint = ""  # what somebody else changed, and nobody of ours answered for
        self.entered: datetime | None = None  # when traffic was last moved by us
        self.begins: dict[
            tuple[str, int, str], datetime
        ] = {}  # of attempts: a replay may bring an earlier one back
        self.begun = sim.clock.now()  # when the attempt began
        self.vouched_from: datetime | None = None  # evidence before that is of another revision
        self.last_write = 0.0
        self.wrote: dict[str, float] = {}  # when each driver wrote last
        self.ours: LiveService | None = None  # as our last write left it
        self._failed: tuple[float, int] | None = None  # when a driver saw FAIL, after how many faults
        self._was_pausable = False

    def must(self, invariant: str, holds: object, words: str) -> None:
        """Note a violation unless it holds."""
        is_excused = (self.sim.is_clock_wrong and invariant in _RESTS_ON_CLOCKS) or (
            self.was_misled and invariant in _RESTS_ON_STABLE
        )
        if not holds and not is_excused:
            self.violations.append(f"{invariant}: {words}")
            self.sim.note(f"VIOLATION {invariant}: {words}")

    # -- somebody else -------------------------------------------------------------------------------------------------

    def foreign(self, before: LiveService, after: LiveService) -> None:
        """Somebody else wrote. What leaves traffic, our tags and our record alone is nobody's business."""
        found = changed(before, after)
        self.foreign_writes += 1
        if found:
            self.taint, self.was_touched = self.taint or found, True
            self.was_ever_touched = True
        record = Written.of(after.record_text)
        if record is not None and record.phase == "deploying" and self.ours and not changed(self.ours, after):
            self.taint = ""  # all is as we had left it, and no user was with the candidate meanwhile

    def remade(self) -> None:
        """The candidate was deleted and made again under its name; until it was entered, nobody vouched for it."""
        record = Written.of(self.platform.shown().record_text)
        self.was_touched = True
        if record is not None and record.candidate_uid:
            self.taint = self.taint or "the candidate was made again"
        self.vouched_from = self.sim.clock.now()

    # -- ours ----------------------------------------------------------------------------------------------------------

    def heard(self, process: Process, event: RolloutEvent) -> None:
        """What a driver tells: a FAIL that was seen must lead to a write."""
        if not isinstance(event, Looked):
            return
        s = event.look.situation
        if s.drift and s.stage_verdict.verdict != "fail":
            self._failed = None  # a round at a tag that somebody took away: it blames nobody
        if self._failed is not None:
            return
        can_go_back = (
            s.rollout.phase == "rolling" and s.live.wanted.percent_of(CANDIDATE) and not s.is_stable_bad
        )
        if s.stage_verdict.verdict == "fail" and can_go_back and self.sim.is_ready(STABLE):
            self._failed = (self.sim.now, len(self.sim.fired))

    def about_to_be_written(self) -> None:
        """What a write finds."""
        self.shares = [self.platform.served(), *self.platform.under_way]
        self.served_since = self.platform.served_since()

    def written(
        self,
        process: Process,
        before: LiveService,
        etag: str,
        annotations: Mapping[str, str],
        split: Split | None,
    ) -> None:
        """The pipeline wrote; ``before`` is the service as it was."""
        self.must("S4", etag and etag == process.etag, f"etag {etag!r}, last read {process.etag!r}")
        self.must("S9", not process.name.startswith("onlooker"), "an onlooker wrote")
        kept = {name: text for name, text in before.annotations.items() if not name.startswith(_OURS)}
        left = {name: text for name, text in annotations.items() if not name.startswith(_OURS)}
        self.must("S16", kept == left, f"other annotations {kept} became {left}")
        was, now = Written.of(before.record_text), Written.of(annotations.get(RECORD_ANNOTATION))
        if now is not None:
            self._record(process, before, was, now, is_moved=split is not None)
            compare(self.sim, was, now)
        if split is not None:
            self._traffic(process, before, split, was, now)
            self.entered = self.sim.clock.now()
        self.foreign_writes = 0
        self.last_write, self.ours = self.sim.now, self.platform.shown()
        self.wrote[process.name] = self.sim.now
        if (
            was is None
            or now is None
            or (was.phase, was.share, was.event) != (now.phase, now.share, now.event)
        ):
            told = (
                f"{now.event or 'began'}: {now.phase} at {now.share}%"
                if now
                else f"{dict(split.serving) if split else ''}"
            )
            self.sim.note(f"{process.name} wrote {told}")

    def _record(
        self, process: Process, before: LiveService, was: Written | None, now: Written, *, is_moved: bool
    ) -> None:
        is_new = was is None or was.attempt_id != now.attempt_id
        self.begun = self.begins.setdefault(now.attempt_id, self.sim.clock.now())
        if was is not None:
            self.must("S7", now.epoch > was.epoch, f"epoch {now.epoch} after {was.epoch}")
        if is_new:
            self.taint = ""  # it looks at everything afresh
            self._failed, self.was_touched = None, False
        else:
            assert was is not None
            legal = (was.phase, now.phase) in LEGAL
            self.must("S9", legal, f"{was.phase} became {now.phase}")
        if now.step_by("ada") and now.event in ("resumed", "retried", "raised"):
            self.must("S2", "promote" in self.asked, "let go on in the name of somebody who did not ask")
            is_still_theirs = not is_moved and self.ours is not None and moved(self.ours, before)
            self.taint = self.taint if is_still_theirs else ""
        if now.by_hand:
            self.must("S2", "roll back" in self.asked, "sent back in the name of somebody who did not ask")
        if now.phase == "promoted" and was is not None and was.phase != "promoted":
            self._promotion(process, before, was, now)
        if now.phase == "rolled_back":
            self._settled()
        if now.phase == "paused" and was is not None and was.phase != "paused":
            self._pause(now)

    def drives(self, process: Process, *, fresh: bool) -> None:
        """A driver goes on. A new one took the rollout over, or began it: nobody takes it from one that lives."""
        if fresh:
            process.drives_since = self.sim.now
        record = Written.of(process.seen.record_text) if fresh and process.seen else None
        if record is not None and record.is_driven and record.driver not in ("", process.name):
            silence = process.last_read - self.wrote.get(record.driver, 0.0)
            words = f"took over from {record.driver} after {silence:.1f}s of silence"
            self.must("L5", silence >= HEARTBEAT - 1.5, words)

    def _pause(self, now: Written) -> None:
        """One foreign write that touches nothing of ours stops nothing; of two, one may have been undone by the other."""
        # Who remembers the record that was taken away may think the new attempt's an old one. Whether a write came before
        # an apply had read or after it, nobody can tell.
        is_why = (
            self.was_touched
            or self.foreign_writes > 1
            or (self.was_ever_touched and "older" in now.drift)
            or (self.foreign_writes and "was applied" in now.drift)
        )
        self.must("S6", not now.drift or is_why, f"paused for a harmless write: {now.drift}")
        if "deadline" in now.reason:
            held = self.sim.clock.now() - now.since
            enough = 60 * SECOND - 2 * abs(self.sim.skew)
            self.must("L4 deadline", held >= enough, f"past its deadline of 60s after {held}")

    def _settled(self) -> None:
        shares = [dict(split.serving) for split in self.shares]
        is_back = all(share == {STABLE: 100} for share in shares)
        self.must("S10", is_back, f"called rolled back while serving {shares}")

    def _traffic(
        self,
        process: Process,
        before: LiveService,
        split: Split,
        past: Written | None,
        record: Written | None,
    ) -> None:
        self._shape(before, split)
        was, share = before.wanted.percent_of(CANDIDATE), split.percent_of(CANDIDATE)
        if record is not None:
            self.must("one write", record.share == share, f"record says {record.share}%, traffic is {share}%")
        if share > was:
            by_hand = record is not None and record.step_by("ada") and "promote" in self.asked
            if not by_hand and not self.was_misled:
                self._raise(process, before, was, share)
                if past is not None and record is not None:
                    must_be_fresh(self.sim, process.read_at, past, record)
        elif share < was:
            asked = "roll back" in self.asked and (record is None or record.by_hand)
            # A share that somebody else set goes back to ours once an operator has looked at it and said: go on.
            is_ours = past is not None and past.share <= share and "promote" in self.asked
            is_right = asked or is_ours or self.sim.bad_since is not None
            self.must("S11 judged", is_right, f"{was}% -> {share}% of one that was never bad")
            self._lowered()

    def _shape(self, before: LiveService, split: Split) -> None:
        self.must("S1", sum(t.percent for t in split.targets) == 100, f"sum of {split.serving}")
        for target in split.targets:
            known = self.platform.known.get(target.revision or "")
            is_fit = known is not None and (known.is_ready or not target.percent)
            self.must("S1", is_fit, f"{target.revision} not ready")
        self.was_misled = self.was_misled or is_misled(before)
        stable = split.tagged(STABLE_TAG)
        self.must("S5", stable == STABLE, f"stable tag on {stable}")
        self.must("S5", split.tagged(CANDIDATE_TAG) in (None, CANDIDATE), "candidate tag moved")
        self.must("S5", set(split.serving) <= {STABLE, CANDIDATE}, f"traffic on {set(split.serving)}")
        kept = before.wanted.tagged(FOREIGN_TAG)
        self.must("S16", split.tagged(FOREIGN_TAG) == kept, f"the tag {FOREIGN_TAG} was on {kept}")

    def _lowered(self) -> None:
        """L1: from the verdict to the write, as far as nothing came between."""
        if self._failed is not None:
            since, faults = self._failed
            took = self.sim.now - since
            if len(self.sim.fired) == faults:
                at_once = AT_ONCE + 5 * self.sim.is_stepped  # a scheduler's next step comes when it comes
                self.must("L1", took <= at_once, f"{took:.1f}s from the verdict to the write")
        self._failed = None

    def _raise(self, process: Process, before: LiveService, was: int, share: int) -> None:
        stage, number = self._stage(was)
        words = f"{was}% -> {share}%"
        self.must("S6", not self.taint, f"{words} after {self.taint}")
        self.must("S11", not process.prober.was_blind, f"{words} while the probes are blind")
        self.must("S5", STABLE in process.ready, f"{words} with nothing to go back to")
        steps = self.sim.wish.terms.stages
        self.must("S2", number + 1 < len(steps) and steps[number + 1].percent == share, words)
        self._is_served(before, words)
        self._gate(stage)
        green = self.sim.rounds.green_at.get(self.platform.known[STABLE].uid)
        is_answering = green is not None and green >= self._arrived
        self.must("S5", is_answering, f"{words}, and stable last answered a probe at {green}")

    def _is_served(self, before: LiveService, words: str) -> None:
        """Nothing goes up while what is served is not what was asked for."""
        shares = [dict(split.serving) for split in self.shares]
        is_settled = all(share == before.wanted.serving for share in shares)
        self.must(
            "S10", is_settled, f"{words} while {shares} is served, asked: {dict(before.wanted.serving)}"
        )

    @property
    def _arrived(self) -> datetime:
        """When the split of our last move began to be served."""
        assert self.entered is not None
        return max(self.entered, self.served_since)

    def _gate(self, stage: Stage) -> None:
        """Soaked, probed green, and enough users' runs on this very revision since the stage's traffic was served."""
        now, arrived = self.sim.clock.now(), self._arrived
        slack = 2 * abs(self.sim.skew) + timedelta(milliseconds=10)
        self.must(
            "S2 soak",
            now - arrived >= stage.soak - slack,
            f"left {stage.percent}% after {now - arrived}",
        )
        since = max(arrived, self.vouched_from or arrived)
        known = self.platform.known.get(CANDIDATE)
        green = self.sim.rounds.green_at.get(known.uid) if known else None
        self.must(
            "S3 probe", green is not None and green >= since, f"last green probe {green}, arrived {since}"
        )
        if stage.percent:
            runs, _ = self.sim.users.runs_between(CANDIDATE, since - 2 * abs(self.sim.skew), now)
            needed = self.sim.wish.terms.sampling.min_trials
            self.must("S3 runs", runs >= needed, f"{runs} of {needed} runs at {stage.percent}%")

    def _promotion(self, process: Process, before: LiveService, was: Written, now: Written) -> None:
        self.must("S6", not self.taint, f"promoted after {self.taint}")
        self.must(
            "S10", before.wanted.serving == {CANDIDATE: 100}, f"promoted at {dict(before.wanted.serving)}"
        )
        self._is_served(before, "promoted")
        if self.sim.bad_since is not None and self.entered is not None:
            age = self.sim.now - self.sim.bad_since
            self.must(
                "S3", age < (self.sim.clock.now() - self.entered).total_seconds(), "promoted a bad candidate"
            )
        self._gate(self.sim.wish.terms.stages[-1])
        must_be_fresh(self.sim, process.read_at, was, now)
        begin = max(self.vouched_from or self.begun, self.begun)
        runs, _ = self.sim.users.runs_between(CANDIDATE, begin, self.sim.clock.now())
        for criterion in self.sim.wish.terms.criteria:
            if criterion.certify:  # no valid test certifies on fewer clean runs than the most hopeful one
                least = log(1 / self.sim.wish.terms.beta) / -log(1 - criterion.certify)
                self.must("S3 runs", runs >= least, f"certified {criterion.metric} by {runs} runs")

    def _stage(self, percent: int) -> tuple[Stage, int]:
        steps = self.sim.wish.terms.stages
        number = max(i for i, stage in enumerate(steps) if stage.percent <= percent)
        return steps[number], number

    # -- answers, and the end ------------------------------------------------------------------------------------------

    def answered(self, process: Process, outcome: Outcome | None) -> None:
        """A command ended with this outcome: what it says of traffic was read back."""
        if outcome is None or process.seen is None:
            return
        serving = dict(process.seen.serving.serving)
        if outcome.exit_code == 0:
            self.must("S14", serving == {CANDIDATE: 100}, f"{outcome.label}, exit 0, serving {serving}")
        if outcome in (Outcome.ROLLED_BACK, Outcome.STOPPED_AT_ZERO):
            self.must("S10", serving == {STABLE: 100}, f"{outcome.label}, serving {serving}")
        record = Written.of(process.seen.record_text)
        if outcome is Outcome.UNDER_WAY and record is not None and record.is_driven:
            silent = self.sim.now - max(self.last_write, process.drives_since)
            is_calm = self.sim.now - self.sim.last_fault > HEARTBEAT + 2 * AT_ONCE
            self.must(
                "L5", silent <= HEARTBEAT + AT_ONCE or not is_calm, f"a driver was silent for {silent:.1f}s"
            )

    def stopped(self) -> None:
        """A process ended before its end: what it saw it can no longer act on."""
        self._failed = None

    def came_between(self) -> None:
        """Somebody wrote between a read and the write that it led to: the next look sees it all again."""
        self._failed = None

    def end(self) -> None:
        sim = self.sim
        self.must("L4", sim.outcome or sim.refusal, "it never ended")
        self.must("S9", len(sim.deployed) <= 1, f"deployed {sim.deployed}")
