"""Rollouts under faults drawn from a seed (``make simulate SEEDS=N FROM=M``)."""

from tests.simulation.faults import Fault, draw
from tests.simulation.rollout import CANDIDATES, Simulation

__all__ = ["CANDIDATES", "Fault", "Simulation", "draw"]
