"""What holds for a whole rollout, in some of them: a slow platform, wrong clocks, bad logs, no output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.events import RolloutEvent
from tests.rollouts import STABLE
from tests.simulation.faults import Fault, holds
from tests.simulation.world import SECOND

if TYPE_CHECKING:
    from tests.simulation.rollout import Simulation


@holds("status lags", chance=0.4)
def lag(sim: Simulation, fault: Fault) -> None:
    """Traffic is served, and the status tells it, this much after the write; 10 s is longer than the soak."""
    sim.platform.lag = fault.pick((1, 3, 10)) * SECOND


@holds("status skips", chance=0.2)
def skips(sim: Simulation, fault: Fault) -> None:
    """A write takes the place of one that was not reached yet."""
    sim.platform.skips = True


@holds("clocks differ", chance=0.25)
def skew(sim: Simulation, fault: Fault) -> None:
    sim.skew = fault.pick((-1.0, -0.4, 0.4, 1.0)) * SECOND


@holds("warm-up", chance=0.2)
def warm_up(sim: Simulation, fault: Fault) -> None:
    sim.wish = replace(
        sim.wish,
        terms=replace(
            sim.wish.terms, sampling=replace(sim.wish.terms.sampling, warm_up=fault.pick((2, 3)) * SECOND)
        ),
    )


@holds("lines are late", chance=0.3)
def late(sim: Simulation, fault: Fault) -> None:
    """Each by less than ``lateness``, so they come out of order."""
    sim.users.late = fault.pick((0.3, 1.0))


@holds("lines come twice", chance=0.15)
def twice(sim: Simulation, fault: Fault) -> None:
    sim.users.twice = 0.2


@holds("lines are lost", chance=0.15)
def lost(sim: Simulation, fault: Fault) -> None:
    """The accept or the close of some runs; never the run itself."""
    sim.users.lost = 0.2


@holds("stable is silent", chance=0.04)
def silent(sim: Simulation, fault: Fault) -> None:
    """It never writes a line."""
    sim.health.writes_nothing.add(STABLE)
    sim.is_silent = True


@holds("probes are slow", chance=0.2)
def slow_probes(sim: Simulation, fault: Fault) -> None:
    sim.round_takes = fault.pick((1.0, 3.0, 6.0))


@holds("probes stumble", chance=0.25)
def stumbling_probes(sim: Simulation, fault: Fault) -> None:
    """The way to both revisions loses some conversations: nobody is worse for it."""
    sim.health.stumbles = fault.pick((0.001, 0.01, 0.05))


@holds("listener raises", chance=0.1)
def listener_raises(sim: Simulation, fault: Fault) -> None:
    def listener(event: RolloutEvent) -> None:
        raise fault.pick((ValueError, BrokenPipeError, UnicodeEncodeError.mro()[1]))("no view")

    sim.listeners.append(listener)


@holds("disk is full", chance=0.1)
def disk_full(sim: Simulation, fault: Fault) -> None:
    def journal(event: RolloutEvent) -> None:
        raise OSError(28, "No space left on device")

    sim.listeners.append(journal)


@holds("output is closed", chance=0.1)
def output_closed(sim: Simulation, fault: Fault) -> None:
    """Whatever is said, it cannot be written."""

    def say(text: str) -> None:
        raise fault.pick((BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")))

    sim.say = say  # type: ignore[method-assign]


@holds("deploy goes wrong", chance=0.2)
def deploy_goes_wrong(sim: Simulation, fault: Fault) -> None:
    sim.deploy_goes = fault.pick(("fails", "hangs", "lost", "lost", "refused"))


@holds("single steps", chance=0.1)
def single_steps(sim: Simulation, fault: Fault) -> None:
    """No driver that stays: a scheduler takes one step at a time, each in a process of its own."""
    sim.is_stepped = True


@holds("an apply outlives its driver", chance=0.3)
def outlives(sim: Simulation, fault: Fault) -> None:
    """Pulumi's engine applies, in a process of its own, by a write without an etag."""
    sim.outlives = 40 * SECOND
