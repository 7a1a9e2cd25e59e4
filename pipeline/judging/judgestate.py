"""What the judge remembers between two looks, and how large that can get.  PURE."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from math import isnan

from msgspec import Struct, field

from pipeline.judging import clients, probes, sequential
from pipeline.judging.clients import Clients
from pipeline.judging.counts import Counts
from pipeline.judging.probes import Probes
from pipeline.judging.terms import Plan

KEPT_STRATA = 6  # tables that wait for a partner, for each metric: the newest


class JudgeState(Struct, frozen=True):
    """What the judge remembers, by metric: logarithms of bets, judged trials of the rollout and of the stage.

    Args:
        limits: what the candidate is held against where no stable runs beside it.
        alone: of the candidate, what was held against those limits.
        total, stage: every trial that was judged, those without a partner on the other arm too.
        pending: by stratum, what was not played yet for want of a partner; of the split that is live.
        recent: the last trials of the stage, in two parts; what an incident shows in, and is forgotten with.
        fresh: each client once per split's epoch: what certification counts.
        clients: who was counted in this split's epoch.
        comparable: candidate trials of the stage that were played.
        stage_blocks: of how many blocks ``stage`` is.
        epoch_clients: whom the candidate met since the split changed.
        came: of the stage, new clients by the arm that their connections came to (``Block.came``).
        seen: split epoch and index of the last block taken in.
    """

    compared: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limited: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    alone: Mapping[str, Counts] = field(default_factory=dict)
    total: Mapping[str, Counts] = field(default_factory=dict)
    stage: Mapping[str, Counts] = field(default_factory=dict)
    pending: Mapping[str, tuple[Counts, ...]] = field(default_factory=dict)
    recent: Mapping[str, tuple[Counts, Counts]] = field(default_factory=dict)
    fresh: Mapping[str, Counts] = field(default_factory=dict)
    clients: Clients = field(default_factory=Clients)
    comparable: int = 0
    stage_blocks: int = 0
    epoch_clients: int = 0
    came: Counts = field(default_factory=Counts)
    blocks: int = 0
    seen: tuple[int, int] = (-1, -1)
    probes: Probes = field(default_factory=Probes)
    failed: str = ""  # what was found worse than stable, and by which figures; for good
    blamed: str = ""  # the metric of it

    def seen_until(self, split_epoch: int) -> int:
        """Index of the last block of this epoch that was taken in, -1 when none was."""
        return self.seen[1] if self.seen[0] == split_epoch else -1


def fits(state: JudgeState, plan: Plan) -> bool:
    """Whether a state that was read is one of these criteria: every bet there, of the right size."""
    bets = (*state.compared.values(), *state.limited.values())
    if any(isnan(figure) for figure in chain(state.limits.values(), *bets)) or not state.clients.is_readable:
        return False
    compared = all(len(state.compared.get(c.metric, ())) == len(sequential.ODDS) for c in plan.terms.criteria)
    limits = state.limits.items()
    if not compared or not probes.fits(state.probes) or any(not 0 <= limit <= 1 for _, limit in limits):
        return False
    grids = {metric: len(sequential.limit_grid(limit)) for metric, limit in limits}
    limited = all(grids.get(metric, len(bets)) == len(bets) for metric, bets in state.limited.items())
    return limited and set(state.limits) <= set(state.limited)


def grown(plan: Plan) -> JudgeState:
    """A state as large, written down, as a rollout of these criteria can make it."""
    metrics = [c.metric for c in plan.terms.criteria]
    counts, few, bet = Counts(*(10**8,) * 4), Counts(*(10**3,) * 4), -12345.1234567
    return JudgeState(
        compared=dict.fromkeys(metrics, (bet,) * len(sequential.ODDS)),
        limited=dict.fromkeys(metrics, (bet,) * len(sequential.limit_grid(1e-6))),
        limits=dict.fromkeys(metrics, 0.123456789),
        alone=dict.fromkeys(metrics, Counts(10**8, 10**8)),
        total=dict.fromkeys(metrics, counts),
        stage=dict.fromkeys(metrics, counts),
        pending=dict.fromkeys(metrics, (few,) * KEPT_STRATA),
        recent=dict.fromkeys(metrics, (few, few)),
        fresh=dict.fromkeys(metrics, Counts(10**8, 10**8)),
        came=counts,
        clients=clients.grown(10**6),
        comparable=10**8, epoch_clients=10**8, stage_blocks=10**6,
        blocks=10**6, seen=(10**6, 10**6), probes=probes.grown(bet), failed="x" * 200, blamed="x" * 40,
    )  # fmt: skip
