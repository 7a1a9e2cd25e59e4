"""What a peer may send at once: it is taken apart piece by piece, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import suppress

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate, enable_client_permessage_deflate
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri
from websockets.utils import accept_key

from pipeline.probe.closes import closing_of
from pipeline.probe.websocket import UNREAD_FRAMES, WebSocket

MIB = 1 << 20
READ = 80 * 1024  # a third of what uvloop reads at once


class Wire(asyncio.Transport):
    """The peer's side of a connection: what it is sent, and whether it is made to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_paused = self.is_gone = False
        self.socket: WebSocket

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_gone

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            asyncio.get_running_loop().call_soon(self.socket.connection_lost, None)


async def shaken() -> tuple[WebSocket, Wire]:
    """A connection whose handshake is done, with compression."""
    protocol = ClientProtocol(
        parse_uri("ws://h/"), extensions=enable_client_permessage_deflate(None), max_size=MIB
    )
    socket, wire = WebSocket(protocol), Wire()
    wire.socket = socket
    socket.connection_made(wire)
    shaking = asyncio.create_task(socket.shake_hands(b"", b"\r\n\r\n"))
    await asyncio.sleep(0)
    socket.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(protocol.key).encode() + b"\r\n\r\n"
    )
    await shaking
    return socket, wire


def compressed(text: bytes) -> bytes:
    """A frame as it goes over the wire."""
    deflate = PerMessageDeflate(
        remote_no_context_takeover=True, local_no_context_takeover=True, remote_max_window_bits=15,
        local_max_window_bits=15,
    )  # fmt: skip
    return Frame(Opcode.TEXT, text).serialize(mask=False, extensions=[deflate])


async def test_small_frames_that_come_to_much_are_held_as_they_are_read() -> None:
    socket, wire = await shaken()
    bomb = compressed(b"a" * MIB)
    many = READ // len(bomb)
    tracemalloc.start()
    try:
        socket.data_received(bomb * many + Frame(Opcode.CLOSE, b"\x03\xf3").serialize(mask=False))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert many > 60
    assert held < (UNREAD_FRAMES + 8) * MIB
    assert wire.is_paused
    wire.abort()  # and all that came is still heard, with the close behind it
    for _ in range(many):
        assert await socket.recv() == "a" * MIB
    with pytest.raises(ConnectionClosed) as ended:
        await socket.recv()
    assert closing_of(ended.value).code == 1011


async def test_who_reads_lets_the_peer_go_on() -> None:
    socket, wire = await shaken()
    socket.data_received(Frame(Opcode.TEXT, b"x").serialize(mask=False) * (UNREAD_FRAMES + 1))
    assert wire.is_paused
    for _ in range(UNREAD_FRAMES + 1):
        assert await socket.recv() == "x"
    assert not wire.is_paused


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG], ids=str)
async def test_a_flood_of_what_is_no_message_leaves_others_their_turn(opcode: Opcode) -> None:
    socket, wire = await shaken()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = len(wire.sent)
    socket.data_received(
        Frame(opcode, b"").serialize(mask=False) * 20_000 + Frame(Opcode.TEXT, b"end").serialize(mask=False)
    )
    assert len(wire.sent) - before < 5_000 * 6
    assert wire.is_paused
    assert await socket.recv() == "end"
    running.cancel()
    assert turns >= 5
    assert len(wire.sent) - before == (20_000 * 6 if opcode is Opcode.PING else 0)


async def test_a_close_behind_a_flood_is_seen() -> None:
    socket, wire = await shaken()
    socket.data_received(compressed(b"a" * MIB) * 60 + Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False))
    wire.abort()
    seen = await socket.hang_up(1000)
    assert seen is not None
    assert (seen.code, seen.by_server) == (1000, False)


async def test_what_is_left_of_a_flood_holds_up_no_end() -> None:
    socket, wire = await shaken()
    socket.data_received(compressed(b"a" * MIB) * 60)
    await socket.let_go()
    assert wire.is_gone
    heard = 0
    with suppress(ConnectionClosed):
        while await socket.recv():
            heard += 1
    assert heard <= UNREAD_FRAMES + 8
