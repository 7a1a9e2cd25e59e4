"""Whether a scenario's framing can be spoken here, asked before anything is deployed or sent."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.framing.protocol import CannotSpeak, Framing
from pipeline.probe.scenario import Scenario


def framing_of(scenario: Scenario) -> Framing:
    """A new object of its framing. Raises: UserError where a library or a class of the user's is missing, or fails."""
    try:
        return scenario.framing.connect()
    except CannotSpeak as error:
        raise UserError(f"scenario {scenario.name} cannot be held", str(error), error.fix) from None
