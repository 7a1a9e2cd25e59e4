"""Rollouts under faults drawn from seeds: whatever happens, no invariant breaks and every rollout ends.

``SPILLWAY_SEEDS`` sets how many seeds run (default 240, about twenty seconds); ``SPILLWAY_FIRST_SEED`` where they begin.
"""

from __future__ import annotations

import os

import pytest

from pipeline.model import Outcome
from tests.simulation import CANDIDATES, Simulation

SEEDS = int(os.environ.get("SPILLWAY_SEEDS", "240"))
FIRST = int(os.environ.get("SPILLWAY_FIRST_SEED", "0"))
CHUNKS = 8


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_fault_breaks_an_invariant(chunk: int) -> None:
    for seed in range(FIRST + chunk, FIRST + SEEDS, CHUNKS):
        told = Simulation(seed).run()
        assert not told.oracle.violations, f"seed {seed}, {told.kind}:\n" + "\n".join(told.trace)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("good", Outcome.PROMOTED),
        ("slow to start", Outcome.PROMOTED),
        ("fails users", Outcome.ROLLED_BACK),
        ("fails probes", Outcome.STOPPED_AT_ZERO),
        ("never ready", Outcome.STOPPED_AT_ZERO),
        ("both fail", Outcome.PAUSED),
    ],
)
def test_without_faults_each_candidate_gets_what_it_deserves(kind: str, outcome: Outcome) -> None:
    seeds = [seed for seed in range(60) if Simulation(seed).kind == kind][:3]
    assert seeds
    for seed in seeds:
        told = Simulation(seed, odds=0.0, hands=0).run()
        assert told.outcome is outcome, told.trace
        assert not told.oracle.violations


def test_all_kinds_of_candidates_are_known_to_the_table_above() -> None:
    assert set(CANDIDATES) == {
        "good",
        "slow to start",
        "fails users",
        "fails probes",
        "never ready",
        "both fail",
    }


def test_the_same_seed_is_the_same_rollout() -> None:
    for seed in (3, 11, 19):
        one, other = Simulation(seed).run(), Simulation(seed).run()
        assert one.trace == other.trace
        assert one.outcome is other.outcome
        assert one.live == other.live


def test_faults_do_happen() -> None:
    """The control of the control: over thirty seeds every kind of fault was seen."""
    told = " ".join(line for seed in range(30) for line in Simulation(seed).run().trace)
    for fault in (
        "unavailable",
        "lost",
        "kill",
        "stall",
        "edit",
        "touch",
        "replay",
        "wipe",
        "remake",
        "blind logs",
        "blind probes",
    ):
        assert f"{fault} at" in told
