"""Other processes of ours that act while one stands in the middle of a call: rivals, operators, onlookers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.driving.promote import promote
from pipeline.driving.restore import Cause, restore
from tests.fakes import REF
from tests.simulation.faults import Fault, happens
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.rollout import Simulation

BY = "ada"
DEEPEST = 3  # processes in the middle of a call at once


@happens("rival", weight=3)
def rival(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """A second job with the same command."""
    if sim.depth < DEEPEST:
        sim.drive("rival", fault.pick((1, 8, 40)))


@happens("step")
def step(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """A scheduler's single step."""
    if sim.depth < DEEPEST:
        sim.step()


@happens("onlooker")
def onlooker(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """``status``: looks, and must not write."""
    if sim.depth < DEEPEST:
        eyes = sim.process("onlooker")
        sim.attempt(eyes, "status", lambda: eyes.engine.observer.look(probe=False))


@happens("operator promotes", weight=2)
def let_go_on(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    if sim.depth < DEEPEST:
        by_hand(sim, "promote", fault.pick((None, None, 20, 100)))


@happens("operator rolls back")
def give_back(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    if sim.depth < DEEPEST:
        by_hand(sim, "roll back")


def by_hand(sim: Simulation, what: str, to_percent: int | None = None) -> bool:
    """An operator's command, to its end. Whether it did anything."""
    hand = sim.process("operator")
    sim.oracle.asked.add(what)
    if what == "promote":
        reason = "" if to_percent is None else "in a hurry"
        return sim.attempt(
            hand, what, lambda: promote(hand.engine, hand.clock, to_percent=to_percent, reason=reason, by=BY)
        )
    cause = Cause("felt wrong", BY, by_hand=True)
    return sim.attempt(hand, what, lambda: restore(hand, hand.clock, REF, cause, listen=hand.heard))
