"""What a round may ask for; anything else is refused before a byte is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from websockets.exceptions import ProtocolError
from websockets.frames import Close

from pipeline.errors import UserError
from pipeline.probe.scenario import ProbeAsk, Scenario
from pipeline.probe.target import check_address

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2


def check_ask(ask: ProbeAsk) -> None:
    """Return if the round may be held. Raises: UserError; nothing was sent."""
    for address in filter(None, (ask.candidate, ask.control)):
        check_address(address)
    for scenario in ask.scenarios:
        check_scenario(scenario)


def check_scenario(scenario: Scenario) -> None:
    """Return if it can be held at all. Raises: UserError for what cannot go over the wire."""
    for complaint in _complaints(scenario):
        raise UserError(f"scenario {scenario.name} cannot be held", complaint, "Correct it in spillway.yaml.")


def _complaints(scenario: Scenario) -> Iterator[str]:
    try:
        Close(scenario.close, "").check()
    except ProtocolError:
        yield f"close code {scenario.close} may not be sent (RFC 6455 section 7.4.1)"
    for message in scenario.send:
        try:
            json.dumps(message, allow_nan=False)
        except (TypeError, ValueError) as error:
            yield f"a message to send is not JSON: {error}"
    for path in [step.path for step in scenario.http] + [scenario.path] * bool(scenario.path):
        if not re.fullmatch(r"/[!-\"$-~]*", path):
            yield f"path {path!r} does not start with a slash, or has what a URL must escape"
    for name, value in scenario.headers.items():
        if not _TOKEN.fullmatch(name) or not re.fullmatch(r"[\t -~]*", value):
            yield f"header {name!r} is not one that HTTP can carry"
    for name in scenario.subprotocols:
        if not _TOKEN.fullmatch(name):
            yield f"subprotocol {name!r} is not a token"
