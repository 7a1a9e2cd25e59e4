"""One WebSocket of a conversation: opened, guarded, and closed, whatever the server does.

The service is not trusted with our time or memory. A message may have ``max_message_bytes`` after decompression; what
breaks that or the protocol ends the connection there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from pipeline.probe.dial import dial
from pipeline.probe.event_source import EventSource, NotStreamed
from pipeline.probe.http_steps import excerpt
from pipeline.probe.route import Saw, unseen
from pipeline.probe.scenario import USER_AGENT, Kind, Scenario
from pipeline.probe.target import http_url, proxy_for, socket_url, target_of
from pipeline.probe.verdict import NO_FRAME, Closing, Ending

CLOSE_S = 2.0  # for the answer to our close
UNSENT_BYTES = 1 << 20  # of pongs that a flood of pings may pile up before we hang up

#: Codes with which *we* end a connection, and what the server did then.
_COMPLAINTS: Mapping[int, str] = {
    CloseCode.PROTOCOL_ERROR: "broken frames",
    CloseCode.INVALID_DATA: "text that is not UTF-8",
    CloseCode.POLICY_VIOLATION: "a flood",
    CloseCode.MESSAGE_TOO_BIG: "a message that is too large",
}


async def open_socket(
    scenario: Scenario,
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    saw: Saw = unseen,
    tls: SSLContext | None = None,
) -> ClientConnection | Ending:
    """A connection, or why there is none. The caller limits the time.

    Args:
        saw: told the headers of the answer.
        tls: instead of the usual one, where the address is https.
    """
    if scenario.framing.is_http:
        return cast("ClientConnection", EventSource(scenario, http_url(base_url, path), headers, saw, tls))
    url = socket_url(base_url, path)
    by: dict[str, Any] = {} if tls is None else {"ssl": tls}
    try:
        proxy = proxy_for(url)
        if proxy is not None:
            return await _handshake(scenario, url, headers, saw, proxy=proxy, **by)
        reached = await dial(*target_of(url))
        try:
            return await _handshake(scenario, url, headers, saw, sock=reached, **by)
        except BaseException:
            reached.close()
            raise
    except (OSError, WebSocketException) as error:
        if isinstance(error, InvalidStatus):
            saw(error.response.headers)
        return _handshake_fault(error)


async def _handshake(
    scenario: Scenario, url: str, headers: Mapping[str, str], saw: Saw, **way: Any
) -> ClientConnection:
    made = await _Connect(
        url,
        additional_headers={**scenario.headers, **headers},
        subprotocols=[Subprotocol(name) for name in scenario.subprotocols] or None,
        user_agent_header=USER_AGENT,
        open_timeout=None,  # ours is around it
        ping_interval=None,  # a service that ignores pings is judged by its events
        close_timeout=CLOSE_S,
        max_size=scenario.max_message_bytes,
        create_connection=_Guarded,
        **way,
    )
    saw(made.response.headers if made.response else {})
    return made


async def hang_up(connection: ClientConnection, code: int) -> Closing | None:
    """Close, and see how the server takes it; None where it did not answer."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(connection.close(code), _drain(connection))
    except TimeoutError:
        if connection.protocol.close_rcvd is None:
            return None
    connection.transport.abort()
    await connection.wait_closed()
    return closing_of(connection.protocol.close_exc)


async def let_go(connection: ClientConnection) -> None:
    """End it at once."""
    connection.transport.abort()
    await connection.wait_closed()


class _Connect(connect):
    """websockets' connect, but a redirect is a refusal: credentials go nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Guarded(ClientConnection):
    """A connection that hangs up at once where websockets would wait for the server to close.

    Without this a server that breaks the protocol and then stays silent holds a session until its deadline, and one
    that floods us with pings and reads no pong fills our memory.
    """

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > UNSENT_BYTES:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, "pings without end, and our pongs are not read")
            self.transport.abort()
        elif self.protocol.parser_exc is not None:
            self.transport.abort()


async def _drain(connection: ClientConnection) -> None:
    """Read until the close: behind unread messages the server's close frame would never be seen."""
    try:
        while True:
            await connection.recv(decode=False)
    except ConnectionClosed:
        return


def _handshake_fault(error: Exception) -> Ending:
    """Refused, if an HTTP answer came; unreachable otherwise."""
    if isinstance(error, InvalidStatus):
        answer = error.response
        detail = f"handshake got {answer.status_code} {answer.reason_phrase}{excerpt(answer.body or b'')}"
        return Ending(Kind.REFUSED, detail, answer.status_code)
    if isinstance(error, InvalidHandshake) and not isinstance(error, InvalidMessage | ProxyError):
        return Ending(Kind.REFUSED, f"the answer to the handshake is wrong: {_chain(error)}", 101)
    return Ending(Kind.UNREACHABLE, _chain(error))


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
        return Closing(
            NO_FRAME, by_server=sent is None, cause=str(cause) if isinstance(cause, OSError) else ""
        )
    return Closing(received.code, received.reason, by_server=sent is None or bool(closed.rcvd_then_sent))


def _chain(error: BaseException) -> str:
    """The error and its causes in one line; websockets keeps the telling one in the cause."""
    words = str(error) or type(error).__name__
    return f"{words}: {_chain(error.__cause__)}" if error.__cause__ else words
