"""Which splits of a rollout still owe blocks of evidence, and from when on their lines are needed.  PURE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.core.rollout import Phase, Rollout
from pipeline.judging import evidence
from pipeline.judging.instances import LOOKBACK
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.spans import Span
from pipeline.judging.terms import Plan, Sampling


def lines_needed(current: Rollout) -> datetime | None:
    """From when on the next look at it may need lines of the logs; None: it needs none.

    For who looks at many rollouts, and asks for the lines of all at once.
    """
    plan, state = current.plan, current.judge
    if current.phase not in (Phase.ROLLING, Phase.PAUSED):
        return None
    spans = [span for span in spans_of(current) if is_open(span, plan, state)]
    since = (needed(span, plan.terms.sampling, state.seen_until(span.split_epoch)) for span in spans)
    return min(since, default=None)


def spans_of(current: Rollout) -> Sequence[Span]:
    """The splits before this one that may still owe blocks, and this one."""
    running = Span(current.since, None, current.split_epoch, current.stage.percent, current.arrived)
    return (*current.spans, running)


def is_open(span: Span, plan: Plan, state: JudgeState) -> bool:
    """Whether something of it is judged, and not all of it was taken in.

    Blocks are taken in by split, in order: one of a later split was taken in after all of this one.
    """
    is_judged = span.percent or evidence.judged_at(span.percent, plan.terms.criteria)
    return bool(is_judged) and span.split_epoch >= state.seen[0]


def needed(span: Span, sampling: Sampling, after: int) -> datetime:
    """From when on lines are needed: an accept that is owed an answer lies up to D before the first of these blocks."""
    return span.since + (after + 1) * sampling.block - max(sampling.within, LOOKBACK)
