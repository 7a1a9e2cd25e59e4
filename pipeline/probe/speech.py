"""Whether a scenario can be spoken here, asked before anything is deployed or sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from pipeline.errors import UserError
from pipeline.framing.protocol import BadFrame, CannotSpeak, Framing
from pipeline.probe import secrets
from pipeline.probe.http_text import TOKEN, VALUE
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import Close, is_sendable
from pipeline.probe.templates import Scope, references
from pipeline.redact import SINK

_COMPLAINT_CHARS = 300
_OURS = (
    "connection",
    "content-length",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)  # and Sec-WebSocket-...
_FILLED_IN = re.compile(r"\$\{[^{}]*\}")  # escaped in a path, looked at again in a header


def check_words(scenario: Scenario) -> None:
    """Return if all that it says can be said in its framing, which is here. Raises: UserError."""
    for complaint in _complaints(scenario):
        raise UserError(f"scenario {scenario.name} cannot be held", complaint, "Correct it in spillway.yaml.")


def check(scenario: Scenario, *, by_tls: bool) -> None:
    """The same, and its secrets and certificates are here, too. Raises: UserError.

    Args:
        by_tls: some address is https, so that its certificates are needed.
    """
    check_words(scenario)
    scope = Scope(str, lambda: datetime.now(UTC), secrets.read(scenario))
    if by_tls and scenario.tls is not None:
        from pipeline.probe import tls  # and what reads certificates: few scenarios have them

        tls.context(scenario, scope)


def framing_of(scenario: Scenario) -> Framing:
    """A new object of its framing. Raises: UserError where a library or a class of the user's is missing, or fails."""
    try:
        return scenario.framing.connect()
    except CannotSpeak as error:
        raise UserError(f"scenario {scenario.name} cannot be held", complaint_of(error), error.fix) from None


def complaint_of(error: BadFrame | CannotSpeak) -> str:
    """What a framing complains of. It may quote all that came, so it is cut, once its secrets are out."""
    return SINK.cut(str(error), _COMPLAINT_CHARS)


def _complaints(scenario: Scenario) -> Iterator[str]:
    """What cannot go over the wire."""
    for close in (scenario.close, *(step for step in scenario.steps if isinstance(step, Close))):
        if not is_sendable(close.code):
            yield f"close code {close.code} may not be sent (RFC 6455 section 7.4.1)"
    yield from _http_complaints(scenario)
    yield from _unsayable(scenario)


def _http_complaints(scenario: Scenario) -> Iterator[str]:
    for path in scenario.paths:
        if not re.fullmatch(r"/[!-\"$-~]*", _FILLED_IN.sub("x", path)):
            yield f"path {path!r} does not start with a slash, or has what a URL must escape"
    every = (scenario.headers, *(step.headers for step in scenario.http))
    for name, value in (pair for headers in every for pair in headers.items()):
        if not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            yield f"header {name!r} is not one that HTTP can carry"
        elif name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            yield f"header {name!r} is the connection's own, and not a scenario's to say"
    for name in scenario.subprotocols:
        if not TOKEN.fullmatch(_FILLED_IN.sub("x", name)):
            yield f"subprotocol {name!r} is not a token"


def _unsayable(scenario: Scenario) -> Iterator[str]:
    framing = framing_of(scenario)
    said = (*scenario.sent, *scenario.replies)
    if scenario.framing.is_http and len(said) > 1:
        yield f"{len(said)} messages to send, and framing {scenario.framing.name} is one request"
    for message in said:
        if any(references(message)):  # what it comes to is known when it is said
            continue
        try:
            list(framing.encode(message))
        except (TypeError, ValueError) as error:
            yield f"a message to send is not {scenario.framing.name}: {error}"
