"""What no record of ours holds, though it can be read and its types are right.  PURE.

Anybody who may write the service may write the record, and what it says is computed with for as long as a rollout lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta

from pipeline.core.rollout import Phase, Rollout
from pipeline.judging import judgestate
from pipeline.judging.evidence import METRICS
from pipeline.model import Criterion

MAX_EPOCH = 2**53  # beyond that JSON readers lose the counter's last digits
_SHORTEST, _LONGEST = timedelta(milliseconds=10), timedelta(days=400)  # of durations
_FIRST_YEAR, _LAST_YEAR = 2000, 2200  # of times: a day more or less stays a time


def complaints(rollout: Rollout) -> Iterator[str]:
    """What no record of ours holds, though its types are right."""
    plan, terms = rollout.plan, rollout.plan.terms
    if not terms.stages or not 0 <= rollout.stage_index < len(terms.stages):
        yield f"stage {rollout.stage_index} of {len(terms.stages)}"
    if not all(0 <= stage.percent <= 100 for stage in terms.stages):
        yield "a stage's percent is not within 0 and 100"
    if not all(0 <= target.percent <= 100 for target in rollout.split.targets):
        yield "a share of the split is not within 0 and 100"
    if not (plan.stable and plan.candidate):
        yield "a revision has no name"
    counters = (rollout.epoch, rollout.split_epoch, rollout.generation, rollout.attempt, rollout.reached)
    if not all(0 <= counter <= MAX_EPOCH for counter in counters):
        yield "a counter is out of range"
    if not all(0 < bound < 1 for bound in (terms.alpha, terms.beta)):
        yield "a bound is not within 0 and 1"
    if not all(_is_known(criterion) for criterion in terms.criteria):
        yield "a criterion that this version cannot judge"
    if min(terms.sampling.block, terms.sampling.within, terms.probing.every) < _SHORTEST:
        yield "a duration is too short"
    if not (0 < terms.probing.sessions <= 1000 and 0 < terms.probing.concurrency <= 1000):
        yield f"{terms.probing.sessions} sessions, {terms.probing.concurrency} at a time, in a probe round"
    yield from filter(None, map(_leaf_complaint, _leaves(rollout)))
    yield from _judge_complaints(rollout)


def _leaf_complaint(value: object) -> str:
    """Of one plain value, wherever it stands: what no clock, no file and no counter of ours can have made."""
    match value:
        case timedelta() if not timedelta(0) <= value <= _LONGEST:
            return f"a duration of {value.days:,} days"
        case datetime(tzinfo=None):
            return "a time has no zone"
        case datetime() if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
            return f"a time in the year {value.year}"
        case int() if not -1 <= value <= MAX_EPOCH:  # -1: no block was seen yet
            return "a number that is out of range"
    return ""


def _leaves(value: object) -> Iterator[object]:
    """All plain values of a record, wherever they stand."""
    if is_dataclass(value):
        for each in fields(value):
            yield from _leaves(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _is_known(criterion: Criterion) -> bool:
    limit, certify = criterion.limit, criterion.certify
    is_rate = (limit is None or 0 <= limit <= 1) and (certify is None or 0 < certify < 1)
    return criterion.metric in METRICS and is_rate


def _judge_complaints(rollout: Rollout) -> Iterator[str]:
    judged = rollout.phase in (Phase.ROLLING, Phase.PAUSED) or rollout.judge.compared
    if judged and not judgestate.fits(rollout.judge, rollout.plan):
        yield "the judge's state is not that of its criteria"
