"""One WebSocket of asyncio's, over websockets' protocol without I/O: as little as can be between the wire and a session.

The service is not trusted with our time or memory. A message may have ``max_message_bytes`` after decompression and so
many fragments; what breaks that or the protocol ends the connection there, and so does a flood of pings whose pongs
nobody reads. Who sends more than is read is made to wait, and what has come by then is taken apart in small pieces, as
it is read: a kilobyte on the wire may be a megabyte.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as WireFrame
from websockets.http11 import Response
from websockets.protocol import State

from pipeline.framing.protocol import Frame
from pipeline.probe.closes import closing_of
from pipeline.probe.verdict import Closing

CLOSE_S = 2.0  # for the answer to our close
UNSENT_BYTES = 1 << 20  # of pongs that a flood of pings may pile up before we hang up
UNREAD_FRAMES = 16
PIECE_BYTES = 4096  # deflate makes of them 4 MiB at most, and of the shortest frames there are 2,048 in them
EVENTS_AT_ONCE = 256  # of one connection; then others have their turn
FRAGMENTS = 4096  # of one message
_OF_MESSAGES = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class WebSocket(asyncio.Protocol):
    """See the module's docstring. One task at a time waits for what comes: for the handshake, a frame or the end."""

    def __init__(self, protocol: ClientProtocol) -> None:
        self._protocol = protocol
        self._transport: asyncio.Transport
        self._answer: Response | None = None
        self._came: deque[bytes] = deque()  # and was not taken apart yet
        self._frames: deque[WireFrame] = deque()
        self._parts: list[WireFrame] = []  # of the message that is not whole yet
        self._is_paused = False  # the peer is made to wait
        self._is_lost = False  # and nothing comes any more
        self._is_over = False  # and all that came was taken apart
        self._is_late = False  # the answer to our close
        self._goes_on = False  # in the loop's next turn
        self._fault: BaseException | None = None  # why it is lost
        self._heard: asyncio.Future[None] | None = None
        self._may_write: asyncio.Future[None] | None = None  # only while the peer makes us wait

    async def shake_hands(self, before: bytes, after: bytes) -> Response:
        """Open it. Raises InvalidHandshake. Args: before, after: the request's headers around its key."""
        line = f"GET {self._protocol.uri.resource_name} HTTP/1.1\r\n"
        self._transport.write(line.encode("ascii") + before + self._protocol.key.encode() + after)
        while self._answer is None and self._protocol.handshake_exc is None:
            await self._more()
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        assert self._answer is not None
        return self._answer

    async def recv(self) -> Frame:
        """The next message. May be cancelled, and nothing is lost. Raises ConnectionClosed at the end."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if self._is_paused and len(self._frames) <= UNREAD_FRAMES // 4:
                    self._go_on()
                self._parts.append(frame)
                if frame.fin:
                    try:
                        return self._whole()
                    except UnicodeDecodeError as error:
                        self._give_up(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
                elif len(self._parts) > FRAGMENTS:
                    self._give_up(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            if self._is_over:
                raise self._close_exc
            await self._more()

    async def send(self, frame: Frame) -> None:
        """Say it, unless the connection is closing: ``recv`` tells of that."""
        if self._protocol.state is not State.OPEN:
            return
        if isinstance(frame, str):
            self._protocol.send_text(frame.encode())
        else:
            self._protocol.send_binary(frame)
        self._flush()
        if self._may_write is not None:
            await asyncio.shield(self._may_write)

    async def hang_up(self, code: int, hear: Callable[[Frame], object] | None = None) -> Closing | None:
        """Close, and see how the server takes it; None where it did not answer.

        Args:
            hear: told of messages that the server had sent before it knew; None: nobody wants to know.
        """
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()
        timer = asyncio.get_running_loop().call_later(CLOSE_S, self._be_late)  # a tenth of asyncio.timeout()
        try:
            while not (self._is_over or self._is_late):
                await (asyncio.sleep(0) if self._is_paused else self._more())
                self._hear_out(hear)
                if self._is_paused:
                    self._go_on()
            self._hear_out(hear)
        finally:
            timer.cancel()
        if not self._is_over and self._protocol.close_rcvd is None:
            return None
        await self.let_go()
        return closing_of(self._close_exc)

    async def let_go(self) -> None:
        """End it at once."""
        self._transport.abort()
        self._came.clear()
        while not self._is_over:
            if self._is_lost:
                self._go_on()
            else:
                await self._more()

    async def handshake(self, *_: object) -> None:
        """Nothing: ``shake_hands`` comes later. For websockets' ``connect``, which leads here through a proxy."""

    def start_keepalive(self) -> None:
        """Nothing: a service that ignores pings is judged by its events."""

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came.extend([data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)])
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._fault = exc
        self.resume_writing()
        self._go_on()

    def pause_writing(self) -> None:
        self._may_write = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._may_write is not None:
            self._may_write.set_result(None)
            self._may_write = None

    def _go_on(self) -> None:
        """Take apart what came, as far as it is read, and let more come or not; after the last of it is the end."""
        events, room = 0, UNREAD_FRAMES
        while self._came and events < EVENTS_AT_ONCE and len(self._frames) <= room:
            events += self._take_apart(self._came.popleft())
        is_held = len(self._frames) > room or bool(self._came)
        if is_held is not self._is_paused:
            self._is_paused = is_held
            (self._transport.pause_reading if is_held else self._transport.resume_reading)()
        if events >= EVENTS_AT_ONCE and self._came and not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._next_turn)
        if self._is_lost and not self._came and not self._is_over:
            self._is_over = True
            self._protocol.receive_eof()
            self._protocol.parser.close()  # it and the protocol hold each other, and collections are rare
        self._wake()

    def _next_turn(self) -> None:
        self._goes_on = False
        self._go_on()

    def _take_apart(self, data: bytes) -> int:
        """Returns how many frames it had."""
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        for event in events:
            if isinstance(event, WireFrame):
                if event.opcode in _OF_MESSAGES:
                    self._frames.append(event)
            elif isinstance(event, Response):
                self._answer = event
        if self._protocol.writes:
            self._flush()
        if self._protocol.parser_exc is not None:
            self._transport.abort()
        elif self._transport.get_write_buffer_size() > UNSENT_BYTES:
            self._give_up(CloseCode.POLICY_VIOLATION, "pings without end, and our pongs are not read")
        return len(events)

    @property
    def _close_exc(self) -> ConnectionClosed:
        closed = self._protocol.close_exc
        closed.__cause__ = self._fault or closed.__cause__
        return closed

    def _hear_out(self, hear: Callable[[Frame], object] | None) -> None:
        """Its close is behind what it says, and what of that is no text is not judged any more."""
        while hear is not None and self._frames:
            frame = self._frames.popleft()
            if len(self._parts) < FRAGMENTS:
                self._parts.append(frame)
            if frame.fin:
                with suppress(UnicodeDecodeError):
                    hear(self._whole())
        self._frames.clear()

    def _whole(self) -> Frame:
        """The message whose last frame has come. Raises UnicodeDecodeError."""
        parts, self._parts = self._parts, []
        data = parts[0].data if len(parts) == 1 else bytearray().join([part.data for part in parts])
        return str(data, "utf-8") if parts[0].opcode is Opcode.TEXT else bytes(data)

    def _give_up(self, code: CloseCode, reason: str) -> None:
        """Hang up over something that the server did; where it has closed already, its close counts."""
        if self._protocol.state is State.OPEN:
            self._protocol.fail(code, reason)
            self._flush()
        self._frames.clear()  # what it said behind that counts for nothing
        self._came.clear()
        self._transport.abort()

    def _flush(self) -> None:
        """Put on the wire what the protocol wants there. Its end of file is left out: both sides close it whole."""
        for data in self._protocol.data_to_send():
            if data and not self._transport.is_closing():
                self._transport.write(data)

    async def _more(self) -> None:
        """Until something has come, or the end."""
        self._heard = asyncio.get_running_loop().create_future()
        await self._heard

    def _wake(self) -> None:
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)

    def _be_late(self) -> None:
        self._is_late = True
        self._wake()
