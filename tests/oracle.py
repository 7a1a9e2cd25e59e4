"""What must hold after every write of a rollout, judged from outside: knows the truth, and nothing of the pipeline.

The oracle stands inside the fake platform. It sees every read, every write and whose it was, and what users and probes
really met, counted on its own. Its numbers are those of ``reliability.md``'s invariants.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log

from pipeline.model import CANDIDATE_TAG, RECORD_ANNOTATION, STABLE_TAG, LiveService, Split, Stage
from pipeline.plan import Wish
from tests.fakes import FakePlatform
from tests.rollouts import CANDIDATE, STABLE

FOREIGN_TAG = "green"


@dataclass
class Truth:
    """What the world really is, as the simulation set it up and changed it."""

    is_bad: Callable[[], bool]  # sending the candidate back is right, or at least not wrong
    runs_between: Callable[[datetime, datetime], int]  # agent runs that began on the candidate
    green_at: Callable[[], datetime | None]  # the last probe round of the candidate that was all ok
    is_blind: Callable[[], bool]  # the last probe round told nothing


@dataclass
class Oracle:
    """Collects violations; ``hand`` is what an operator is doing just now, if anything."""

    platform: FakePlatform
    wish: Wish
    truth: Truth
    hand: str = ""
    is_tainted: bool = False
    violations: list[str] = field(default_factory=list)
    last_etag: str = ""
    seen_ready: set[str] = field(default_factory=set)
    entered: datetime | None = None  # when the current stage was entered
    vouched_from: datetime | None = None  # evidence before that is of another revision
    promoted: int = 0

    def read(self, live: LiveService) -> None:
        self.last_etag = live.etag

    def listed(self, ready: set[str]) -> None:
        self.seen_ready = ready

    def foreign(self, before: LiveService, after: LiveService) -> None:
        """Somebody else wrote."""
        is_rolling = (_json(before.record_text) or {}).get("phase") == "rolling"
        if (
            is_rolling
            or not before.wanted.agrees_with(after.wanted)
            or before.record_text != after.record_text
        ):
            self.is_tainted = True

    def remade(self) -> None:
        """The candidate was deleted and made again under its name; until it was entered, nobody vouched for it."""
        record = _json(self.platform.live.record_text if self.platform.live else None) or {}
        self.is_tainted = self.is_tainted or bool(record.get("candidate_uid"))
        self.vouched_from = self.platform.clock.now()

    def written(
        self, before: LiveService, etag: str, annotations: Mapping[str, str], split: Split | None
    ) -> None:
        """The pipeline wrote."""
        self.must("S4", etag and etag == self.last_etag, f"etag {etag!r}, last read {self.last_etag!r}")
        record = _json(annotations.get(RECORD_ANNOTATION))
        if record is not None:
            epoch = record.get("epoch", 0)
            self.must("S7", epoch > self._epoch_of(before), f"epoch {epoch} after {self._epoch_of(before)}")
            if before.record_text is None and record.get("phase") == "deploying":
                self.is_tainted = False  # a rollout that begins looks at everything afresh
            if record.get("phase") == "promoted":
                self._promotion(before)
            if record.get("phase") == "rolled_back":
                served = self.platform.served().serving
                self.must("S10", served == {STABLE: 100}, f"called rolled back while serving {served}")
        if split is not None:
            self._traffic(before, split, record)

    def _epoch_of(self, live: LiveService) -> int:
        return (_json(live.record_text) or {}).get("epoch", 0)

    def _traffic(self, before: LiveService, split: Split, record: Mapping[str, object] | None) -> None:
        self.must("S1", sum(t.percent for t in split.targets) == 100, f"sum of {split.serving}")
        for target in split.targets:
            known = self.platform.known.get(target.revision or "")
            self.must(
                "S1",
                known is not None and (known.is_ready or not target.percent),
                f"{target.revision} not ready",
            )
        self.must("S5", split.tagged(STABLE_TAG) == STABLE, f"stable tag on {split.tagged(STABLE_TAG)}")
        self.must("S5", split.tagged(CANDIDATE_TAG) in (None, CANDIDATE), "candidate tag moved")
        kept = before.wanted.tagged(FOREIGN_TAG)
        self.must("foreign tags", split.tagged(FOREIGN_TAG) == kept, f"{FOREIGN_TAG} was {kept}")
        was, share = before.wanted.percent_of(CANDIDATE), split.percent_of(CANDIDATE)
        self.must("S5", set(split.serving) <= {STABLE, CANDIDATE}, f"traffic on {set(split.serving)}")
        if record is not None:
            theirs = sum(
                t.get("percent", 0) for t in record["split"]["targets"] if t["revision"] == CANDIDATE
            )  # type: ignore[index]
            self.must("one write", theirs == share, f"record says {theirs}%, traffic is {share}%")
        if self.hand:
            self.is_tainted = self.is_tainted and self.hand != "promote"
        elif share > was:
            self._raise(was, share)
        elif share < was:
            self.must("S11", self.truth.is_bad(), f"{was}% -> {share}% of a candidate that was never bad")
        self.entered = self.platform.clock.now()

    def _raise(self, was: int, share: int) -> None:
        stage, number = self._stage(was)
        self.must("S6", not self.is_tainted, f"{was}% -> {share}% after a foreign edit")
        self.must("S11", not self.truth.is_blind(), f"{was}% -> {share}% while the probes are blind")
        self.must("S5", STABLE in self.seen_ready, f"{was}% -> {share}% with nothing to go back to")
        self.must(
            "S2",
            number + 1 < len(self.wish.stages) and self.wish.stages[number + 1].percent == share,
            f"{was}% -> {share}%",
        )
        self._gate(stage)

    def _gate(self, stage: Stage) -> None:
        """Soaked, probed green, and enough users' runs on this very revision since the stage was entered."""
        now = self.platform.clock.now()
        assert self.entered is not None
        self.must("S2", now - self.entered >= stage.soak, f"left {stage.percent}% after {now - self.entered}")
        green = self.truth.green_at()
        self.must(
            "S3",
            green is not None and green >= max(self.entered, self.vouched_from or self.entered),
            f"last green probe {green}",
        )
        if stage.percent:
            runs = self.truth.runs_between(
                max(self.entered, self.vouched_from or self.entered), now - self._settle
            )
            needed = self.wish.sampling.min_trials
            self.must("S3", runs >= needed, f"{runs} of {needed} runs at {stage.percent}%")

    def _promotion(self, before: LiveService) -> None:
        self.promoted += 1
        self.must("S6", not self.is_tainted, "promoted after a foreign edit")
        served = self.platform.served().serving
        self.must(
            "S10", served == before.wanted.serving == {CANDIDATE: 100}, f"promoted while serving {served}"
        )
        self._gate(self.wish.stages[-1])
        begin = self.vouched_from or self.platform.history[0][0]
        runs = self.truth.runs_between(begin, self.platform.clock.now() - self._settle)
        for criterion in self.wish.criteria:
            if criterion.certify:  # no valid test certifies on fewer clean runs than the most hopeful one
                least = log(1 / self.wish.beta) / -log(1 - criterion.certify)
                self.must("S3", runs >= least, f"certified {criterion.metric} by {runs} runs")

    @property
    def _settle(self) -> timedelta:
        return self.wish.sampling.within + self.wish.sampling.lateness

    def _stage(self, percent: int) -> tuple[Stage, int]:
        number = max(i for i, stage in enumerate(self.wish.stages) if stage.percent <= percent)
        return self.wish.stages[number], number

    def must(self, invariant: str, holds: object, words: str) -> None:
        """Note a violation unless it holds."""
        if not holds:
            self.violations.append(f"{invariant}: {words}")


def _json(text: str | None) -> dict[str, object] | None:  # type: ignore[type-arg]
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
