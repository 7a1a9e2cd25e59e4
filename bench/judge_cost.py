"""What taking a block in costs, and how large the judge's state gets."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from random import Random

from pipeline.core import codec
from pipeline.judging import clients, judge, sequential
from pipeline.judging.counts import Block, Counts
from pipeline.judging.terms import Criterion, Plan, Stage, Terms
from pipeline.model import ServiceRef

START = datetime(2030, 1, 1, tzinfo=UTC)
_BLOCKS = 200


def plan_of(metrics: int) -> Plan:
    criteria = tuple(Criterion(f"a_metric_{n:02}_long", limit=0.001, certify=0.01) for n in range(metrics))
    terms = Terms(tuple(Stage(percent) for percent in (0, 5, 25, 100)), criteria)
    return Plan("bench", ServiceRef("p", "l", "svc"), "svc-old", "1", "svc-new", "svc@sha256:0", terms)


def block_us(n_c: int, n_b: int, rate: float, metrics: int = 4) -> float:
    """CPU time of one metric and block, of tables that were not seen before."""
    plan, rng = plan_of(metrics), Random(1)
    names = [criterion.metric for criterion in plan.terms.criteria]
    blocks = []
    for index in range(_BLOCKS):
        drawn = {
            name: Counts(n_c, _failures(rng, n_c, rate), n_b, _failures(rng, n_b, rate)) for name in names
        }
        tables = {name: (counts,) for name, counts in drawn.items()}
        blocks.append(Block(index, START, START, 2, 5, tables, drawn, n_c))
    best = float("inf")
    for _ in range(3):
        state = judge.begin(plan)
        sequential.against_stable.cache_clear()
        began = time.process_time()
        for block in blocks:
            state = judge.observe(state, plan, block)
        best = min(best, time.process_time() - began)
    return best / _BLOCKS / metrics * 1e6


def _failures(rng: Random, trials: int, rate: float) -> int:
    return sum(rng.random() < rate for _ in range(trials))


def state_bytes() -> int:
    """A judge's state late in a rollout of 12 metrics, tables of clients filled to the worst, as the record has it."""
    plan = plan_of(12)
    names = [criterion.metric for criterion in plan.terms.criteria]
    state = judge.begin(plan)
    for epoch, percent in ((1, 5), (2, 25), (3, 50), (4, 100)):
        state = judge.new_stage(state)
        for index in range(40):
            counts = {name: Counts(37, 1, 703, 2) for name in names}
            strata = {name: (each, Counts(0, 0, 7, 0)) for name, each in counts.items()}
            full = clients.grown(epoch)
            block = Block(index, START, START, epoch, percent, strata, counts, 37, 0, full)
            state = judge.observe(state, plan, block)
    return len(json.dumps(codec.plain(state), separators=(",", ":")))
