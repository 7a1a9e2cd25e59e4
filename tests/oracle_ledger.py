"""That each logged run is judged exactly once: the record's own totals, held against what users really did.

Two records that follow each other say in which spans of time the candidate had users (``since``, ``spans``, by split
epoch) and how far into which span the judge has taken evidence in (``seen``). From that and the truth follows, by plain
counting, by how much its totals must have grown: by every run in the blocks between, once each, none left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.oracle_record import Written
from tests.rollouts import CANDIDATE, STABLE

if TYPE_CHECKING:
    from tests.simulation.rollout import Simulation

METRIC = "agent_completed"


@dataclass(frozen=True, slots=True)
class Counted:
    """A span of time with one split; ``until`` None: it still is."""

    epoch: int
    since: datetime
    until: datetime | None
    arrived: datetime | None

    def judged_from(self, warm_up: timedelta) -> datetime:
        """The warm-up begins when the split was seen, which is taken to be a minute at most."""
        latest = self.since + timedelta(minutes=1)
        return min(self.arrived or latest, latest) + warm_up if warm_up else self.since

    def end_of(self, block: int | None, length: timedelta) -> datetime:
        """When a block ends, -1 being the one before the first; None: the last one."""
        if block is None:
            assert self.until is not None
            return self.until
        end = self.since + (block + 1) * length
        return min(end, self.until) if self.until else end


def spans_of(record: Written) -> Iterator[Counted]:
    """Those in which users met the candidate, oldest first."""
    yield from (Counted(*span) for span in record.spans)
    if record.share:
        yield Counted(record.split_epoch, record.since, None, record.arrived)


def judged_until(span: Counted, record: Written, length: timedelta) -> datetime:
    """How far into a span a record's judge has come."""
    epoch, index = record.judge.get("seen", (-1, -1))
    if span.epoch > epoch:
        return span.since
    return span.end_of(index if span.epoch == epoch else None, length)


def compare(sim: Simulation, was: Written | None, now: Written) -> None:
    """What was judged between two writes. A new attempt, or another candidate, starts from nothing."""
    if now.phase not in ("deploying", "rolling", "paused", "promoted"):
        return
    starts_anew = was is None or was.attempt_id != now.attempt_id or was.candidate_uid != now.candidate_uid
    for arm, revision in (("candidate", CANDIDATE), ("stable", STABLE)):
        if was is None or starts_anew:
            told, truth = _told(now, arm), (0, 0)
        else:
            before = _told(was, arm)
            told = _told(now, arm)[0] - before[0], _told(now, arm)[1] - before[1]
            truth = _between(sim, was, now, revision)
        sim.oracle.must("exactly once", told == truth, f"{arm}: {told} judged since, {truth} were held")


def _told(record: Written, arm: str) -> tuple[int, int]:
    total = (record.judge.get("total") or {}).get(METRIC) or []
    trials, failures = [*total, 0, 0, 0, 0][2 * (arm == "stable") :][:2]  # zeros at the end are left out
    return trials, failures


def _between(sim: Simulation, was: Written, now: Written, revision: str) -> tuple[int, int]:
    length, warm_up = sim.wish.terms.sampling.block, sim.wish.terms.sampling.warm_up
    runs = failed = 0
    for span in spans_of(was):
        begin = max(judged_until(span, was, length), span.judged_from(warm_up))
        more, bad = sim.users.runs_between(revision, begin, judged_until(span, now, length))
        runs, failed = runs + more, failed + bad
    return runs, failed


def must_be_fresh(sim: Simulation, at: datetime, was: Written, now: Written) -> None:
    """A step up rests on all that could be known when it was decided: this span's to a moment ago, earlier ones' all."""
    sampling = sim.wish.terms.sampling
    slack = sampling.within + sampling.lateness + abs(sim.skew) + 2 * sampling.block
    for span in spans_of(was):
        wanted = span.until or at - slack
        come = judged_until(span, now, sampling.block)
        sim.oracle.must("S3 runs", come >= wanted, f"evidence until {wanted} was there, judged until {come}")
