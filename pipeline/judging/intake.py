"""One closed block, taken in once.  PURE.

Theory of operation. A block holds a table for each stratum of sockets; a table with trials on one arm alone teaches
nothing yet. It waits (``pending``) and is added to the next block's of its stratum, until both arms have a trial: then it
is played. Which tables wait depends on how many trials there are and never on how they ended. A new split opens new
strata: what still waits is given up.

Where no stable runs beside the candidate (at 100 %, or while stable has not shown a single run) the bet is against a
limit. That of 100 % is fixed by the first block there with a trial, before it is counted: the criterion's own, or what
stable showed if stable's runs refute it; few clean runs refute nothing. Without a limit of its own it is the rate that
stable's runs certified.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import log

from msgspec.structs import replace

from pipeline.judging import bound, sequential
from pipeline.judging.counts import Block, Counts
from pipeline.judging.judgestate import KEPT_STRATA, JudgeState
from pipeline.judging.metrics import UNASKED_METRICS, Unit, unit_of
from pipeline.judging.sequential import Bets
from pipeline.judging.spans import horizon
from pipeline.judging.terms import Criterion, Plan

_RECENT = 20  # trials on both arms after which what came before the last ones is forgotten
_NONE = Counts()
_NO_RATIOS = (0.0,) * len(sequential.ODDS)


def observe(state: JudgeState, plan: Plan, block: Block, *, in_stage: bool = True) -> JudgeState:
    """Take one closed block in; a block that was taken in before changes nothing.

    Args:
        in_stage: it began after the stage's traffic arrived; other blocks count for the rollout alone.
    """
    if (block.split_epoch, block.index) <= state.seen:
        return state
    intake = _Intake(state, plan, block, in_stage=in_stage)
    criteria = [c for c in plan.terms.criteria if c.metric in block.counts]
    played = {c.metric: intake.take(c) for c in criteria}
    runs = max((n for metric, n in played.items() if metric not in UNASKED_METRICS), default=0)
    return bound.latched(intake.state(runs), plan)


class _Intake:
    """A state while a block is taken in: its parts, open for change."""

    def __init__(self, state: JudgeState, plan: Plan, block: Block, *, in_stage: bool) -> None:
        self._before, self._plan, self._block = state, plan, block
        self._counts_for_stage = in_stage and not state.failed
        blocks = horizon((stage.soak for stage in plan.terms.stages), plan.terms.sampling)
        self._feed = sequential.feed(state.blocks, blocks)  # the same for all metrics
        self._compared, self._limited = dict(state.compared), dict(state.limited)
        is_new = self._is_new = block.split_epoch != state.seen[0]
        self._limits = {} if is_new and block.percent == 100 else dict(state.limits)
        self._fresh, self._alone = dict(state.fresh), dict(state.alone)
        self._total, self._stage, self._recent = dict(state.total), dict(state.stage), dict(state.recent)
        self._pending = {} if is_new else dict(state.pending)

    def take(self, criterion: Criterion) -> int:
        """Count one criterion and bet on it. Returns how many candidate trials may speak for a stage."""
        metric, block = criterion.metric, self._block
        counts, before = block.whole(metric), self._total.get(metric, _NONE)
        self._count(metric, counts)
        is_betted = bound.is_betted(criterion, block.percent)
        if block.percent == 100:
            if is_betted:
                self._against_limit(criterion, counts, before)
            return counts.candidate_trials
        tables = self._playable(metric, block.counts[metric])
        if is_betted:
            self._compared[metric] = sequential.step(self._compared[metric], _ratios(tables), self._feed)
            if not self._total[metric].stable_trials:
                self._against_limit(criterion, counts, before)
        return sum(table.candidate_trials for table in tables)

    def state(self, runs: int) -> JudgeState:
        """Args: runs: the candidate's, of this block and of those before it that waited, that may speak for a stage."""
        before, block, in_stage = self._before, self._block, self._counts_for_stage
        return replace(
            before,
            compared=self._compared, limited=self._limited, limits=self._limits, alone=self._alone, fresh=self._fresh,
            total=self._total, stage=self._stage, recent=self._recent, pending=self._pending,
            clients=block.memory,
            comparable=before.comparable + runs * in_stage,
            epoch_clients=(0 if self._is_new else before.epoch_clients) + block.clients,
            came=before.came + block.came if in_stage else before.came,
            stage_blocks=before.stage_blocks + in_stage,
            blocks=before.blocks + 1, seen=(block.split_epoch, block.index),
        )  # fmt: skip

    def _count(self, metric: str, counts: Counts) -> None:
        self._total[metric] = self._total.get(metric, _NONE) + counts
        fresh = self._block.fresh.get(metric, _NONE)
        self._fresh[metric] = self._fresh.get(metric, _NONE) + _of_candidate(fresh)
        if self._counts_for_stage:
            self._stage[metric] = self._stage.get(metric, _NONE) + counts
            old, new = self._recent.get(metric, (_NONE, _NONE))
            is_full = min(new.candidate_trials, new.stable_trials) >= _RECENT
            self._recent[metric] = (new, counts) if is_full else (old, new + counts)

    def _playable(self, metric: str, tables: Sequence[Counts]) -> list[Counts]:
        """The tables in which both arms have a trial; the others wait."""
        waiting = self._pending.pop(metric, ())
        whole = [a + b for a, b in zip_longest(waiting, tables, fillvalue=_NONE)]
        ripe = [table for table in whole if table.candidate_trials and table.stable_trials]
        unripe = [_NONE if table.candidate_trials and table.stable_trials else table for table in whole]
        unripe[:-KEPT_STRATA] = [_NONE] * len(unripe[:-KEPT_STRATA])
        if any(table != _NONE for table in unripe):
            self._pending[metric] = tuple(unripe)
        return ripe

    def _against_limit(self, criterion: Criterion, counts: Counts, before: Counts) -> None:
        """Args: before: what the rollout counted before this block."""
        if not counts.candidate_trials:
            return
        metric = criterion.metric
        if metric not in self._limits:
            self._fix(criterion, before)
        if metric in self._limits:
            limit = self._limits[metric]
            ratios = sequential.against_limit(counts.candidate_trials, counts.candidate_failures, limit)
            self._limited[metric] = sequential.step(self._limited[metric], ratios, self._feed)
            self._alone[metric] = self._alone.get(metric, _NONE) + _of_candidate(counts)

    def _fix(self, criterion: Criterion, before: Counts) -> None:
        """Open the bets against a limit; what was won or lost against another one is the stake."""
        metric, limit = criterion.metric, _limit_alone(self._plan, criterion, before)
        size = len(sequential.limit_grid(limit))
        if size:
            stake = sequential.log_mean(self._limited.get(metric, (0.0,)))
            self._limits[metric], self._alone[metric] = limit, _NONE
            self._limited[metric] = tuple(bet + stake for bet in sequential.opening(size))


def _of_candidate(counts: Counts) -> Counts:
    return Counts(counts.candidate_trials, counts.candidate_failures)


def _ratios(tables: Sequence[Counts]) -> Bets:
    """Strata are tables of their own: given each one's failures, the ratios multiply."""
    each = [
        sequential.against_stable(
            t.candidate_trials, t.candidate_failures, t.stable_trials, t.stable_failures
        )
        for t in tables
    ]
    return tuple(map(sum, zip(*each, strict=True))) if each else _NO_RATIOS


def _limit_alone(plan: Plan, criterion: Criterion, before: Counts) -> float:
    """What holds where no stable runs beside; 1.0, which nothing can exceed, when nothing is known.

    Args:
        before: the first block that it judges.
    """
    trials, failures = before.stable_trials, before.stable_failures
    if criterion.limit is None and unit_of(criterion.metric) is Unit.ASKED:
        return 1.0  # how long people wait is not the service's doing alone
    if criterion.limit is not None:
        excess = sequential.against_limit(trials, failures, criterion.limit)
        if not excess or sequential.log_mean(excess) < -log(plan.terms.beta):
            return criterion.limit
    shown = float(f"{sequential.certified_level(trials, failures, plan.terms.beta):.6g}")
    return shown if criterion.limit is None else max(criterion.limit, shown)
