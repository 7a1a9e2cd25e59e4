"""Plans and blocks for tests of the judge, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import settings
from hypothesis import strategies as st

from pipeline.core import plan
from pipeline.judging import judge
from pipeline.judging.counts import Block, Counts
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.probes import Round
from pipeline.judging.terms import Criterion, Plan
from tests.fakes import START
from tests.rollouts import a_wish, stages

METRIC = "server_error_1011"

BOTH = (Criterion(METRIC, limit=0.01, certify=0.05), Criterion("agent_completed", limit=0.01))

AT = {0: 0, 5: 1, 25: 2, 100: 3}  # percent to stage of the plan

unhurried = settings(deadline=None)


def a_plan(*criteria: Criterion, alpha: float = 0.001) -> Plan:
    return plan.first(a_wish(stages=stages(0, 5, 25, 100), criteria=criteria or BOTH, alpha=alpha))


def block(index: int, *counts: int, percent: int = 5, epoch: int = 2, metric: str = METRIC) -> Block:
    """``counts``: candidate trials and failures, stable trials and failures; each trial is another client's."""
    return made_of(index, {metric: (Counts(*counts),)}, percent=percent, epoch=epoch)


def made_of(
    index: int, counts: Mapping[str, tuple[Counts, ...]], *, percent: int = 5, epoch: int = 2
) -> Block:
    whole = {metric: sum(tables, Counts()) for metric, tables in counts.items()}
    clients = max((c.candidate_trials for c in whole.values()), default=0)
    return Block(index, START, START, epoch, percent, counts, whole, clients)


def judged(made: Plan, blocks: Iterable[Block], *, probes_ok: int = 5) -> JudgeState:
    state = judge.observe_probes(judge.begin(made), made, Round(ok=probes_ok))
    for each in blocks:
        state = judge.observe(state, made, each)
    return state


def e_value(made: Plan, state: JudgeState) -> float:
    return judge.judge_stage(state, made, AT[5]).criteria[0].e_value


counts_of_blocks = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 3), st.integers(1, 200), st.integers(0, 5)).map(
        lambda c: (c[0], min(c[1], c[0]), c[2], min(c[3], c[2]))
    ),
    min_size=1,
    max_size=12,
)
