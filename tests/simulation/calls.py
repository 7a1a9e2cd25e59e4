"""Faults of one call, and of the process that makes it. What Google answers goes through our own translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api_core import exceptions as google

from pipeline.cloudrun.faults import translated
from tests.simulation.faults import Fault, happens
from tests.simulation.process import Killed
from tests.simulation.world import SECOND

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.rollout import Simulation

_ANSWERS = {
    "503": google.ServiceUnavailable("The service is currently unavailable."),
    "429": google.ResourceExhausted("Quota exceeded for quota metric 'Write requests'"),
    "403 quota": google.PermissionDenied(
        "Quota exceeded for quota metric 'Read requests' and limit 'per minute'"
    ),
    "403": google.PermissionDenied("Permission 'run.services.get' denied"),
    "lost": google.RetryError("Deadline of 30.0s exceeded", cause=None),
}


@happens("503", weight=2)
@happens("429", "403 quota", "403")
@happens("lost", weight=2)
def answer_badly(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """Before the call: it was refused. After it: it was done, and the answer is not what comes back."""
    with translated(name, etag=True):
        raise _ANSWERS[fault.kind]


@happens("409")
def conflict(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    if name.endswith(("write", "deploy")):
        with translated(name, etag=name.endswith("write")):
            raise google.Aborted("Conflict for resource: version was specified but current is another")


@happens("kill", weight=4)
def kill(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    raise Killed


@happens("stall", weight=2)
def stall(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """A call that takes long, or a machine that slept."""
    sim.clock.sleep(fault.pick((2, 30, 30, 90)) * SECOND)


@happens("clock jumps")
def jump(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """The machine's clock is set; a process that runs keeps its own time, one that begins takes the new."""
    sim.off += fault.pick((-3600, -5, 5, 3600)) * SECOND
    sim.is_clock_wrong = True
