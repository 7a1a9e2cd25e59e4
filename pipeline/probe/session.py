"""One conversation with a service, held to its end whatever the service does.

The service is not trusted with our time or memory. Each wait has a deadline and ends in an abort of the socket:
``within_s`` for the HTTP steps, the same for handshake and events, ``CLOSE_S`` for the close. A message may have
``max_message_bytes`` after decompression; what breaks that or the protocol ends the conversation there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import perf_counter  # the loop's own time may be as coarse as a millisecond
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

from pipeline.framing.protocol import BadFrame, Declined, Decoded, Frame
from pipeline.probe.dial import dial
from pipeline.probe.event_source import EventSource, NotStreamed
from pipeline.probe.http_steps import run_steps
from pipeline.probe.scenario import USER_AGENT, Conversation, Kind, Message, Scenario
from pipeline.probe.target import http_url, proxy_for, socket_url, target_of
from pipeline.probe.verdict import NO_FRAME, Closing, Ending, Progress, judge_conversation
from pipeline.redact import SINK

CLOSE_S = 2.0  # for the answer to our close; also for stragglers once the last group has come
TRANSCRIPT_MESSAGES = 200
TRANSCRIPT_BYTES = 4096  # of each message
UNSENT_BYTES = 1 << 20  # of pongs that a flood of pings may pile up before we hang up

#: Codes with which *we* end a connection, and what the server did then.
_COMPLAINTS: Mapping[int, str] = {
    CloseCode.PROTOCOL_ERROR: "broken frames",
    CloseCode.INVALID_DATA: "text that is not UTF-8",
    CloseCode.POLICY_VIOLATION: "a flood",
    CloseCode.MESSAGE_TOO_BIG: "a message that is too large",
}


async def hold_conversation(scenario: Scenario, base_url: str, headers: Mapping[str, str]) -> Conversation:
    """Hold one conversation and judge it. ``headers`` go with the scenario's own (authorization)."""
    session = _Session(scenario, base_url, headers)
    begun = perf_counter()
    ending = await session.run()
    return judge_conversation(
        scenario,
        session.progress,
        ending,
        seconds=perf_counter() - begun,
        first_event_s=session.first_event_s,
        transcript=tuple(session.transcript),
    )


class _Session:
    """One conversation under way: what was said so far and how far the expected events have come."""

    def __init__(self, scenario: Scenario, base_url: str, headers: Mapping[str, str]) -> None:
        self.scenario = scenario
        self.base_url = base_url
        self.headers = headers
        self.framing = scenario.framing.connect()
        self.started = perf_counter()
        self.progress = Progress.at_start(scenario)
        self.transcript: list[Message] = []
        self.first_event_s: float | None = None

    async def run(self) -> Ending:
        fault = await run_steps(self.scenario, self.base_url, self.headers)
        if fault or not self.scenario.path:
            return fault or Ending()
        self.started = perf_counter()
        deadline = asyncio.get_running_loop().time() + self.scenario.within_s
        opened = await self._open(deadline)
        if isinstance(opened, Ending):
            return opened
        try:
            return await self._talk(opened, deadline)
        finally:
            opened.transport.abort()
            await opened.wait_closed()

    async def _open(self, deadline: float) -> ClientConnection | Ending:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connect()
        except TimeoutError:
            return Ending(Kind.UNREACHABLE, f"no answer to the handshake within {self.scenario.within_s:g} s")
        except (OSError, WebSocketException) as error:
            return _handshake_fault(error)

    async def _connect(self) -> ClientConnection:
        if self.scenario.framing.is_http:
            at = http_url(self.base_url, self.scenario.path)
            return cast("ClientConnection", EventSource(self.scenario, at, self.headers))
        url = socket_url(self.base_url, self.scenario.path)
        proxy = proxy_for(url)
        if proxy is not None:
            return await self._handshake(url, proxy=proxy)
        reached = await dial(*target_of(url))
        try:
            return await self._handshake(url, sock=reached)
        except BaseException:
            reached.close()
            raise

    async def _handshake(self, url: str, **way: Any) -> ClientConnection:
        return await _Connect(
            url,
            additional_headers={**self.scenario.headers, **self.headers},
            subprotocols=[Subprotocol(name) for name in self.scenario.subprotocols] or None,
            user_agent_header=USER_AGENT,
            open_timeout=None,  # ours is around it
            ping_interval=None,  # a service that ignores pings is judged by its events
            close_timeout=CLOSE_S,
            max_size=self.scenario.max_message_bytes,
            create_connection=_Guarded,
            **way,
        )

    async def _talk(self, connection: ClientConnection, deadline: float) -> Ending:
        try:
            async with asyncio.timeout_at(deadline) as limit:
                if fault := await self._say(connection) or await self._listen(connection, limit):
                    return fault
        except ConnectionClosed as closed:
            return _complaint(closed) or _ending(closed)
        except TimeoutError:
            return Ending()
        return await self._part(connection)

    async def _say(self, connection: ClientConnection) -> Ending | None:
        await self._put(connection, self.framing.opening())
        while not self.framing.is_ready:
            if fault := await self._hear(connection):
                return fault
        for message in self.scenario.send:
            await self._put(connection, self.framing.encode(message))
        return None

    async def _put(self, connection: ClientConnection, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._note(frame, sent=True)
            try:
                await connection.send(frame)
            except ConnectionClosed:
                return  # what the server said before it closed is still to be read; recv() tells of the close

    async def _listen(self, connection: ClientConnection, limit: asyncio.Timeout) -> Ending | None:
        is_last_call = False
        while not self.progress.is_complete:
            if fault := await self._hear(connection):
                return fault
            if self.progress.has_last_group and not is_last_call:
                is_last_call = True
                limit.reschedule(min(limit.when() or 0.0, asyncio.get_running_loop().time() + CLOSE_S))
        return None

    async def _hear(self, connection: ClientConnection) -> Ending | None:
        taken = self._take(await connection.recv())
        if isinstance(taken, Ending):
            return taken
        await self._put(connection, taken.replies)
        return None

    def _take(self, frame: Frame) -> Decoded | Ending:
        self._note(frame, sent=False)
        try:
            decoded = self.framing.decode(frame)
        except BadFrame as error:
            return Ending(Kind.REFUSED if isinstance(error, Declined) else Kind.UNREADABLE, str(error))
        for message in decoded.messages:
            self.progress = self.progress.after(message)
        if self.progress.events and self.first_event_s is None:
            self.first_event_s = perf_counter() - self.started
        return decoded

    def _note(self, frame: Frame, *, sent: bool) -> None:
        if len(self.transcript) < TRANSCRIPT_MESSAGES:
            text = frame if isinstance(frame, str) else frame[: 4 * TRANSCRIPT_BYTES].decode(errors="replace")
            cut = SINK.cut(text, TRANSCRIPT_BYTES).encode()[:TRANSCRIPT_BYTES].decode(errors="ignore")
            self.transcript.append(Message(perf_counter() - self.started, sent, cut))

    async def _part(self, connection: ClientConnection) -> Ending:
        """Close, and see how the server takes it."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(connection.close(self.scenario.close), _drain(connection))
        except TimeoutError:
            if connection.protocol.close_rcvd is None:
                return Ending()
        connection.transport.abort()
        await connection.wait_closed()
        return _ending(connection.protocol.close_exc)


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
        said = SINK.cut((answer.body or b"")[:800].decode(errors="replace"), 200)
        detail = f"handshake got {answer.status_code} {answer.reason_phrase}" + (f": {said}" if said else "")
        return Ending(Kind.REFUSED, detail, answer.status_code)
    if isinstance(error, InvalidHandshake) and not isinstance(error, InvalidMessage | ProxyError):
        return Ending(Kind.REFUSED, f"the answer to the handshake is wrong: {_chain(error)}", 101)
    return Ending(Kind.UNREACHABLE, _chain(error))


def _complaint(closed: ConnectionClosed) -> Ending | None:
    """The fault for which we ended the connection, if it was us, or for which there never was one."""
    if isinstance(closed, NotStreamed):
        return closed.ending
    sent = closed.sent
    if sent is None or closed.rcvd_then_sent or sent.code not in _COMPLAINTS:
        return None
    return Ending(Kind.UNREADABLE, f"{_COMPLAINTS[sent.code]} ({sent.reason})")


def _ending(closed: ConnectionClosed) -> Ending:
    received, sent = closed.rcvd, closed.sent
    if received is None:
        cause = closed.__cause__
        return Ending(
            close=Closing(
                NO_FRAME, by_server=sent is None, cause=str(cause) if isinstance(cause, OSError) else ""
            )
        )
    return Ending(
        close=Closing(received.code, received.reason, by_server=sent is None or bool(closed.rcvd_then_sent))
    )


def _chain(error: BaseException) -> str:
    """The error and its causes in one line; websockets keeps the telling one in the cause."""
    words = str(error) or type(error).__name__
    return f"{words}: {_chain(error.__cause__)}" if error.__cause__ else words
