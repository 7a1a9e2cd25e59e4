"""Trials counted per block, candidate and stable side by side.  PURE.

Theory of operation. A *span* is the time during which one split was live (its ``split_epoch``). It is cut into blocks
of equal length (a new split cuts the last one); a block holds the trials that *started* in it, and is closed, for both
arms alike, at its end + D + lateness: only then is every one of its trials decided. Counting sockets when they end
instead would see the short and broken ones first. A block is the unit that the judge takes in, once.

Where the arms' lines are of two versions (``telemetry/lines.py``), each is read for no more than the other can tell.

What is a trial is said in ``trials.py`` (runs), ``instances.py`` (the platform's words) and ``reading.py``; which of
them are judged, and compared with which, in ``cohorts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from pipeline.judging.clients import Clients, Memory
from pipeline.judging.cohorts import Cohort, Side
from pipeline.judging.counts import Block
from pipeline.judging.instances import LOOKBACK
from pipeline.judging.metrics import ERROR_PATTERNS, Unit, unit_of
from pipeline.judging.reading import Arm, Reading, read_lines
from pipeline.judging.spans import Span, Windows, last_closed
from pipeline.judging.terms import Criterion, Sampling
from pipeline.model import LogLine

_ReadAs = Callable[[Reading], Reading]
MOST_BLOCKS = 5_000  # taken in by one look: some 40 hours at half a minute each


def closed_blocks(
    lines: Sequence[LogLine],
    span: Span,
    arms: tuple[Arm, Arm | None],
    sampling: Sampling,
    criteria: Iterable[Criterion],
    now: datetime,
    *,
    after: int = -1,
    clients: Clients | None = None,
    windows: Windows | None = None,
) -> tuple[Block, ...]:
    """Closed blocks with index > ``after``, oldest first; empty ones too, because silence is told as silence.

    At most ``MOST_BLOCKS``, so that a look ends though nobody looked for days: the next one goes on where it ended.

    Args:
        arms: candidate, and stable if it is there.
        clients: who was counted in the blocks before these; another epoch's is nobody's.
        windows: of the rollout's splits; None: this one's alone.
    """
    last = min(last_closed(span, sampling, now), max(after, -1) + MOST_BLOCKS)
    if last <= after:
        return ()
    first = span.since + (max(after, -1) + 1) * sampling.block - sampling.within
    since = first.timestamp()  # what was written before cannot be of these blocks
    readings = [
        read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS, since) for arm in arms if arm is not None
    ]
    block = partial(
        _block,
        span,
        sampling,
        tuple(criteria),
        _Arms(readings, sampling, now.timestamp(), is_alone=span.percent == 100),
        Windows.between((span.since, span.arrived)) if windows is None else windows,
        Memory(clients or Clients(), span.split_epoch, is_alone=span.percent == 100),
    )
    return tuple(map(block, range(max(after, -1) + 1, last + 1)))


class _Arms:
    """The candidate's lines and stable's, as far as each may be held against the other in a block.

    A run that was asked for and never ended is told by lines of version 2 alone, and so is when an old socket was
    accepted. Where stable was not heard, nobody knows what it would have told: then the candidate's unended runs are
    left out. Stable's are not, for they are its failures.

    Args:
        readings: of the candidate, and of stable if it is there.
        is_alone: nothing is compared.
    """

    def __init__(
        self, readings: Sequence[Reading], sampling: Sampling, now: float, *, is_alone: bool
    ) -> None:
        self._readings, self._sampling, self._now = readings, sampling, now
        self._is_alone = is_alone or len(readings) < 2
        self._sides: dict[tuple[int, _ReadAs], Side] = {}

    def sides(self, start: float, end: float) -> tuple[Side, Side]:
        """Of a block."""
        if self._is_alone:
            candidate, *stable = (self._side(arm, _whole) for arm in range(len(self._readings)))
            return candidate, stable[0] if stable else Side()
        since, (candidate_told, stable_told) = start - LOOKBACK.total_seconds(), self._readings
        of_candidate = self._as_told_by(stable_told.version(since, end), unheard=Reading.without_starts)
        of_stable = self._as_told_by(candidate_told.version(since, end), unheard=_whole)
        return self._side(0, of_candidate), self._side(1, of_stable)

    def _as_told_by(self, version: int, *, unheard: _ReadAs) -> _ReadAs:
        return (unheard, Reading.as_version_1, _whole)[version]

    def _side(self, arm: int, read_as: _ReadAs) -> Side:
        if (arm, read_as) not in self._sides:
            self._sides[arm, read_as] = Side.of(read_as(self._readings[arm]), self._sampling, self._now)
        return self._sides[arm, read_as]


def _whole(reading: Reading) -> Reading:
    return reading


def judged_at(percent: int, criteria: Iterable[Criterion]) -> tuple[Criterion, ...]:
    """Behind its tag alone, at 0 %, the candidate has no users; its containers can crash all the same."""
    return tuple(c for c in criteria if percent or unit_of(c.metric) is Unit.INSTANCE)


def _block(
    span: Span,
    sampling: Sampling,
    criteria: Iterable[Criterion],
    arms: _Arms,
    windows: Windows,
    memory: Memory,
    index: int,
) -> Block:
    """One block of a span, of which each is asked for after the one before it: ``memory`` is folded with it."""
    start = span.since + index * sampling.block
    end = min(start + sampling.block, span.until or datetime.max.replace(tzinfo=UTC))
    warm = span.warm_from(sampling.warm_up).timestamp()
    start_s, end_s = start.timestamp(), end.timestamp()
    sides = arms.sides(start_s, end_s)
    is_alone = span.percent == 100
    cohort = Cohort(sides, start_s, end_s, warm, windows, memory, is_alone)
    tallies = {c.metric: cohort.tally(c) for c in judged_at(span.percent, criteria)}
    new, came, shown = cohort.new_clients, cohort.came, cohort.shown
    cohort.remember()
    return Block(
        index,
        start,
        end,
        span.split_epoch,
        span.percent,
        {metric: tally.strata for metric, tally in tallies.items()},
        {metric: tally.fresh for metric, tally in tallies.items()},
        new,
        shown,
        memory.kept(),
        came,
    )
