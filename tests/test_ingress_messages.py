"""WebSocket messages larger than may be, and sockets of which one end is gone: bounded and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from pipeline.local.front.limits import MIB
from tests.ingress import World, echo, get, open_world, until
from tests.ingress_bytes import (
    HANDSHAKE,
    SMALL,
    SWITCHING,
    Handler,
    bounded_memory,
    client,
    instance,
    send_all,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, limits=SMALL) as made:
        yield made


def header(size: int, *, opcode: int = 2, fin: bool = True, masked: bool = False) -> bytes:
    first = (0x80 if fin else 0) | opcode
    return bytes([first, (0x80 if masked else 0) | 127]) + size.to_bytes(8, "big") + bytes(4 if masked else 0)


def collects(into: bytearray, first: bytes = SWITCHING) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                into.extend(piece)
        into.extend(b"END")
        writer.close()

    return handler


async def test_a_message_of_120_mib_is_refused_by_its_header(world: World) -> None:
    """The usual limits: a whole message before it arrives, and of the large one not a byte."""
    got = bytearray()
    await instance(world, collects(got))
    before = header(5, masked=True) + b"hello"
    with bounded_memory():
        async with client(world, get(world, "/ws", *HANDSHAKE, last=False)) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(before + header(120 * MIB, masked=True))
            await send_all(writer, b"x" * 60_000, 20)
            close = await asyncio.wait_for(reader.read(), 60)
    assert close == b"\x88\x11" + (1009).to_bytes(2, "big") + b"message too big"
    await until(lambda: got.endswith(b"END"))
    assert got == before + b"END"
    (seen,) = await world.closed(1)
    assert (seen.code, seen.reason, seen.closed_by) == (1009, "message too big", "")
    await world.logged(1)
    ((_, severity, text),) = world.logs.events
    assert severity == "ERROR"
    assert text.startswith("A WebSocket message of the client was refused")
    await until(lambda: world.fleet.leased == 0)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(header(995), id="one-frame"),
        pytest.param(header(400, fin=False) + b"x" * 400 + header(700, opcode=0), id="fragments"),
        pytest.param(
            header(0, opcode=1, fin=False) + header(0, opcode=0, fin=False) * 200, id="empty-fragments"
        ),
        pytest.param(header(400, fin=False) + b"x" * 400 + header(5, opcode=9) + b"x" * 5 + header(700, opcode=0), id="a-ping-between"),
        pytest.param(header(2**63 - 1, opcode=9), id="a-control-frame"),
    ],
)  # fmt: skip
async def test_a_message_of_the_instance_is_bounded_too(small: World, frames: bytes) -> None:
    got = bytearray()
    await instance(small, collects(got, SWITCHING + frames))
    async with client(small, get(small, "/ws", *HANDSHAKE, last=False)) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        assert len(await asyncio.wait_for(reader.read(), 60)) <= 1000
    await until(lambda: got.endswith(b"END"))
    assert got == b"\x88\x91\0\0\0\0" + (1009).to_bytes(2, "big") + b"message too bigEND"
    assert (await small.closed(1))[0].code == 1009


async def test_a_refused_sender_gets_no_close_into_another_frame(small: World) -> None:
    got = bytearray()
    await instance(small, collects(got, SWITCHING + header(100) + b"half of it"))
    async with client(small, get(small, "/ws", *HANDSHAKE, last=False)) as (reader, writer):
        await reader.readuntil(b"half of it")
        writer.write(header(5000, masked=True))
        assert await asyncio.wait_for(reader.read(), 60) == b""


async def test_many_small_messages_are_no_large_one(small: World) -> None:
    await small.websocket("one", echo)
    await small.route(("one", 100))
    async with small.connect(compression=None) as connection:
        for _ in range(50):
            await connection.send(b"x" * 900)
            assert len(await connection.recv()) == 900
        await connection.send([b"x" * 300] * 3)
        assert len(await connection.recv()) == 900
        await connection.send(b"x" * 1000)
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
    assert ended.value.rcvd
    assert ended.value.rcvd.code == 1009


@pytest.mark.parametrize("who", ["instance", "client"])
async def test_a_half_closed_socket_ends_when_the_other_end_stays(small: World, who: str) -> None:
    gone, over = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHING + b"\x81\x02hi")
        if who == "instance":
            writer.write_eof()
        with suppress(ConnectionError):
            while await reader.read(100):
                pass
        gone.set()
        await over.wait()
        writer.close()

    await instance(small, handler)
    async with client(small, get(small, "/ws", *HANDSHAKE, last=False)) as (reader, writer):
        await reader.readuntil(b"\x02hi")
        if who == "client":
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 60) == b""
        await asyncio.wait_for(gone.wait(), 60)
        (seen,) = await small.closed(1)
    assert (seen.code, seen.closed_by) == (1006, "server" if who == "instance" else "client")
    await until(lambda: small.fleet.leased == 0)
    over.set()
