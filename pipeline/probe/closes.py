"""The end of a connection, in a session's words: whose it was, and how it looked."""

from __future__ import annotations

from collections.abc import Mapping

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from pipeline.probe.conversation import Kind
from pipeline.probe.verdict import NO_FRAME, Closing, Ending

#: Codes with which *we* end a connection, and what the server did then.
_COMPLAINTS: Mapping[int, str] = {
    CloseCode.PROTOCOL_ERROR: "broken frames",
    CloseCode.INVALID_DATA: "text that is not UTF-8",
    CloseCode.POLICY_VIOLATION: "a flood",
    CloseCode.MESSAGE_TOO_BIG: "a message that is too large",
}


class NotStreamed(ConnectionClosed):
    """There is no stream of events."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(None, None)
        self.ending = ending


def complaint(closed: ConnectionClosed) -> Ending | None:
    """The fault for which we ended the connection, if it was us, or for which there never was one."""
    if isinstance(closed, NotStreamed):
        return closed.ending
    sent = closed.sent
    if sent is None or closed.rcvd_then_sent or sent.code not in _COMPLAINTS:
        return None
    return Ending(Kind.UNREADABLE, f"{_COMPLAINTS[sent.code]} ({sent.reason})")


def closing_of(closed: ConnectionClosed) -> Closing:
    """The close as the server showed it."""
    received, sent = closed.rcvd, closed.sent
    if received is None:
        cause = closed.__cause__
        # what the system says, or what is wrong with a frame
        is_told = isinstance(cause, OSError | WebSocketException | UnicodeDecodeError)
        return Closing(NO_FRAME, by_server=sent is None, cause=str(cause) if is_told else "")
    return Closing(received.code, received.reason, by_server=sent is None or bool(closed.rcvd_then_sent))
