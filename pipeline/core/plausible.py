"""What no record of ours holds, though it can be read and its types are right.  PURE.

Anybody who may write the service may write the record, and what it says is computed with for as long as a rollout lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from math import isfinite

from msgspec import Struct, structs

from pipeline.core.promoted import KEPT
from pipeline.core.rollout import Phase, Rollout
from pipeline.judging import judgestate
from pipeline.judging.metrics import METRICS
from pipeline.judging.terms import Criterion

_HEAVIEST = 1000.0  # weight of a criterion
MAX_EPOCH = 2**53  # beyond that JSON readers lose the counter's last digits
_SHORTEST, _LONGEST = timedelta(milliseconds=10), timedelta(days=400)  # of durations
_FIRST_YEAR, _LAST_YEAR = 2000, 2200  # of times: a day more or less stays a time


def complaints(rollout: Rollout) -> Iterator[str]:
    """What no record of ours holds, though its types are right."""
    yield from (words for is_so, words in _rules(rollout) if not is_so)
    yield from filter(None, map(_leaf_complaint, _leaves(rollout)))
    is_judged = rollout.phase in (Phase.ROLLING, Phase.PAUSED) or rollout.judge.compared
    if is_judged and not judgestate.fits(rollout.judge, rollout.plan):
        yield "the judge's state is not that of its criteria"


def _rules(rollout: Rollout) -> Iterable[tuple[bool, str]]:
    """What must be so, and the complaint where it is not."""
    plan, terms, index = rollout.plan, rollout.plan.terms, rollout.stage_index
    probing, sampling = terms.probing, terms.sampling
    counters = (rollout.epoch, rollout.split_epoch, rollout.generation, rollout.attempt, rollout.reached)
    judged = rollout.last.criteria if rollout.last else ()
    return (
        (0 <= index < len(terms.stages), f"stage {index} of {len(terms.stages)}"),
        (all(span.until for span in rollout.spans), "an earlier split without its end"),
        (_are_percents(s.percent for s in terms.stages), "a stage's percent is not within 0 and 100"),
        (
            _are_percents(t.percent for t in rollout.split.targets),
            "a share of the split is not within 0 and 100",
        ),
        (len(rollout.promoted) <= KEPT, f"{len(rollout.promoted)} promoted images"),
        (bool(plan.stable and plan.candidate), "a revision has no name"),
        (all(0 <= counter <= MAX_EPOCH for counter in counters), "a counter is out of range"),
        (0 < terms.alpha < 1 and 0 < terms.beta < 1, "a bound is not within 0 and 1"),
        (all(map(_is_known, terms.criteria)), "a criterion that this version cannot judge"),
        (min(sampling.block, sampling.within, probing.every) >= _SHORTEST, "a duration is too short"),
        (
            0 < probing.sessions <= 1000 and 0 < probing.concurrency <= 1000,
            f"{probing.sessions} sessions, {probing.concurrency} at a time, in a probe round",
        ),
        (all(isfinite(c.e_value + c.threshold) for c in judged), "a judgement that is no number"),
    )


def _are_percents(numbers: Iterable[int]) -> bool:
    return all(0 <= number <= 100 for number in numbers)


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
    if isinstance(value, Struct):
        value = structs.astuple(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, tuple | list):
        yield value
        return
    for part in value:
        yield from _leaves(part)


def _is_known(criterion: Criterion) -> bool:
    limit, certify = criterion.limit, criterion.certify
    is_rate = (limit is None or 0 <= limit <= 1) and (certify is None or 0 < certify < 1)
    return criterion.metric in METRICS and is_rate and 0 < criterion.weight <= _HEAVIEST
