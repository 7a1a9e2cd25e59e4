"""Whether a scenario can be spoken here, asked before anything is deployed or sent."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.errors import UserError
from pipeline.framing.protocol import CannotSpeak, Framing
from pipeline.probe import secrets
from pipeline.probe.scenario import Scenario
from pipeline.probe.templates import Scope


def check(scenario: Scenario, *, by_tls: bool) -> None:
    """Return if its framing, its secrets and its certificates are here. Raises: UserError.

    Args:
        by_tls: some address is https, so that its certificates are needed.
    """
    framing_of(scenario)
    scope = Scope(str, lambda: datetime.now(UTC), secrets.read(scenario))
    if by_tls and scenario.tls is not None:
        from pipeline.probe import tls  # and what reads certificates: few scenarios have them

        tls.context(scenario, scope)


def framing_of(scenario: Scenario) -> Framing:
    """A new object of its framing. Raises: UserError where a library or a class of the user's is missing, or fails."""
    try:
        return scenario.framing.connect()
    except CannotSpeak as error:
        raise UserError(f"scenario {scenario.name} cannot be held", str(error), error.fix) from None
