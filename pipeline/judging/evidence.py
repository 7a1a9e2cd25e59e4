"""Trials counted per block, candidate and stable side by side.  PURE.

Theory of operation. A *span* is the time during which one split was live (its ``split_epoch``). It is cut into blocks
of equal length (a new split cuts the last one); a block holds the trials that *started* in it, and is closed, for both
arms alike, at its end + D + lateness: only then is every one of its trials decided. Counting sockets when they end
instead would see the short and broken ones first. A block is the unit that the judge takes in, once.

What is a trial is said in ``trials.py`` (runs), ``instances.py`` (the platform's words) and ``reading.py``; which of
them are judged, and compared with which, in ``cohorts.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.judging.clients import Clients, Memory
from pipeline.judging.cohorts import Cohort, Side
from pipeline.judging.counts import Block
from pipeline.judging.metrics import ERROR_PATTERNS, Unit, unit_of
from pipeline.judging.reading import Arm, read_lines
from pipeline.judging.spans import Span, Windows, last_closed
from pipeline.judging.terms import Criterion, Sampling
from pipeline.model import LogLine

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
    candidate, stable = (_side(lines, arm, sampling, now, first) for arm in arms)
    counting = _Counting(
        span,
        sampling,
        tuple(criteria),
        (candidate, stable),
        Windows.between((span.since, span.arrived)) if windows is None else windows,
        Memory(clients or Clients(), span.split_epoch, is_alone=span.percent == 100),
    )
    return tuple(counting.block(index) for index in range(max(after, -1) + 1, last + 1))


def _side(
    lines: Sequence[LogLine], arm: Arm | None, sampling: Sampling, now: datetime, since: datetime
) -> Side:
    """Args: since: what was written before cannot be of these blocks."""
    if arm is None:
        return Side()
    reading = read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS, since.timestamp())
    return Side.of(reading, sampling, now.timestamp())


def judged_at(percent: int, criteria: Iterable[Criterion]) -> tuple[Criterion, ...]:
    """Behind its tag alone, at 0 %, the candidate has no users; its containers can crash all the same."""
    return tuple(c for c in criteria if percent or unit_of(c.metric) is Unit.INSTANCE)


@dataclass(slots=True)
class _Counting:
    """The blocks of one span, one after the other; ``memory`` is folded with each."""

    span: Span
    sampling: Sampling
    criteria: tuple[Criterion, ...]
    sides: tuple[Side, Side]
    windows: Windows
    memory: Memory

    def block(self, index: int) -> Block:
        span = self.span
        start = span.since + index * self.sampling.block
        end = min(start + self.sampling.block, span.until or datetime.max.replace(tzinfo=UTC))
        warm = span.warm_from(self.sampling.warm_up).timestamp()
        cohort = Cohort(self.sides, start.timestamp(), end.timestamp(), warm, self.windows, self.memory)
        tallies = {c.metric: cohort.tally(c) for c in judged_at(span.percent, self.criteria)}
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
            self.memory.kept(),
            came,
        )
