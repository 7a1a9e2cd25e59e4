"""Confirmation conversations of the probes, taken in as one block of a comparison.  PURE.

A probe that fails proves little: conversations are held again and again, and one in a hundred may break by itself. So a
round with a failure is followed at once by as many conversations on each address. The first failure does not count; what
does is that block, candidate beside stable, with a share of the bound of its own (``bound.PROBES``). Two blocks in which
all of the candidate's fail and none of stable's decide.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.judging import bound, sequential
from pipeline.judging.evidence import Counts
from pipeline.judging.judgestate import PROBE_LIMIT, JudgeState
from pipeline.judging.terms import Plan

_NEVER = float("-inf")  # nothing is held back: there are blocks only where something failed


def confirmed(state: JudgeState, plan: Plan, block: Counts) -> JudgeState:
    """Take the conversations of one confirmation in.

    Args:
        block: both sides' conversations; without any on stable the candidate is held against a limit.
    """
    n_c, x_c, n_b, x_b = (
        block.candidate_trials,
        block.candidate_failures,
        block.stable_trials,
        block.stable_failures,
    )
    if n_b:
        bets = state.probes or (0.0,) * len(sequential.ODDS)
        ratios = sequential.against_stable(n_c, x_c, n_b, x_b)
        state = replace(state, probes=sequential.step(bets, ratios, _NEVER))
    else:
        bets = state.probes_alone or (0.0,) * len(sequential.limit_grid(PROBE_LIMIT))
        ratios = sequential.against_limit(n_c, x_c, PROBE_LIMIT)
        state = replace(state, probes_alone=sequential.step(bets, ratios, _NEVER))
    return bound.latched(state, plan)
