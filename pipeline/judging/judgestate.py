"""What the judge remembers between two looks, and how large that can get.  PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import isnan

from pipeline.judging import clients, sequential
from pipeline.judging.clients import Clients
from pipeline.judging.evidence import Counts
from pipeline.judging.terms import Plan


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What the judge remembers, by metric: logarithms of bets, judged trials of the rollout and of the stage.

    Args:
        limits: what the candidate is held against where no stable runs beside it.
        seen: split epoch and index of the last block taken in.
        clients: who was counted in this split's epoch, up to that block.
    """

    compared: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limited: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    total: Mapping[str, Counts] = field(default_factory=dict)
    stage: Mapping[str, Counts] = field(default_factory=dict)
    blocks: int = 0
    seen: tuple[int, int] = (-1, -1)
    clients: Clients = field(default_factory=Clients)
    probes_ok: int = 0  # of this stage
    probes_bad: int = 0  # confirmed failures, of the whole rollout
    failed: str = ""  # what was found worse than stable, and by which figures; for good
    blamed: str = ""  # the metric of it

    def seen_until(self, split_epoch: int) -> int:
        """Index of the last block of this epoch that was taken in, -1 when none was."""
        return self.seen[1] if self.seen[0] == split_epoch else -1


def fits(state: JudgeState, plan: Plan) -> bool:
    """Whether a state that was read is one of these criteria: every bet there, of the right size."""
    figures = [*state.limits.values(), *chain(*state.compared.values()), *chain(*state.limited.values())]
    if any(isnan(figure) for figure in figures):
        return False
    compared = all(len(state.compared.get(c.metric, ())) == len(sequential.ODDS) for c in plan.terms.criteria)
    limits = state.limits.items()
    if not compared or not state.clients.is_readable or any(not 0 <= limit <= 1 for _, limit in limits):
        return False
    grids = {metric: len(sequential.limit_grid(limit)) for metric, limit in limits}
    return all(grids.get(metric) == len(bets) for metric, bets in state.limited.items())


def grown(plan: Plan) -> JudgeState:
    """A state as large, written down, as a rollout of these criteria can make it."""
    metrics = [c.metric for c in plan.terms.criteria]
    counts, bet = Counts(*(10**9,) * 4), -1.2345678901234567e-05
    return JudgeState(
        compared=dict.fromkeys(metrics, (bet,) * len(sequential.ODDS)),
        limited=dict.fromkeys(metrics, (bet,) * len(sequential.limit_grid(1e-6))),
        limits=dict.fromkeys(metrics, 0.12345678901234567),
        total=dict.fromkeys(metrics, counts),
        stage=dict.fromkeys(metrics, counts),
        blocks=10**6, seen=(10**6, 10**6), clients=clients.grown(10**6), probes_ok=10**6, probes_bad=10**6, failed="x" * 200, blamed="x" * 40,
    )  # fmt: skip
