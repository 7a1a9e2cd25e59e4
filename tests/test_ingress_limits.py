"""Whatever a peer sends or does not send, client or instance: the ingress's memory and time are bounded, and it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.local.front.limits import MIB
from pipeline.local.front.wire import Wire
from tests.ingress import World, answers, get, open_world, until
from tests.ingress_bytes import (
    CHUNKED,
    EARLY,
    SMALL,
    bounded_memory,
    client,
    floods,
    instance,
    post,
    send_all,
    status_of,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, limits=SMALL) as made:
        yield made


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        pytest.param(b"", EARLY, id="interim-heads"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 60_000, id="head-without-end"),
        pytest.param(CHUNKED + b"0\r\n", b"X-T: " + b"x" * 3000 + b"\r\n", id="trailers"),
        pytest.param(CHUNKED + b"0\r\nX: ", b"x" * 60_000, id="trailer-without-end"),
        pytest.param(CHUNKED, b"1;" + b"x" * 4000 + b"\r\nx\r\n", id="chunk-extensions"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"x" * 60_000, id="junk-after-the-answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000, id="body"),
    ],
)  # fmt: skip
async def test_what_an_instance_floods_is_not_held(world: World, first: bytes, piece: bytes) -> None:
    """The client reads nothing."""
    await instance(world, floods(first, piece, 64 * MIB), request_timeout_s=3.0)
    with bounded_memory():
        async with client(world, get(world)):
            await world.logged(1)


@pytest.mark.parametrize(
    ("headers", "first", "piece", "status"),
    [
        pytest.param(("Transfer-Encoding: chunked",), b"0\r\n", b"X-T: " + b"x" * 3000 + b"\r\n", 431, id="trailers"),
        pytest.param(("Transfer-Encoding: chunked",), b"0\r\nX: ", b"x" * 60_000, 431, id="trailer-without-end"),
        pytest.param(("Transfer-Encoding: chunked",), b"", b"1;" + b"x" * 4000 + b"\r\nx\r\n", 400, id="extensions"),
        pytest.param(("Transfer-Encoding: chunked",), b"", b"1;" + b"x" * 60_000, 431, id="extension-without-end"),
        pytest.param(("Transfer-Encoding: chunked",), b"", b"ffff\r\n" + b"x" * 65535 + b"\r\n", 413, id="chunks"),
        pytest.param(("Content-Length: 125829120",), b"", b"x" * 60_000, 413, id="length"),
    ],
)  # fmt: skip
async def test_what_a_client_floods_is_refused_and_not_held(
    world: World, headers: tuple[str, ...], first: bytes, piece: bytes, status: int
) -> None:
    async def takes_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        writer.close()

    await instance(world, takes_all)
    with bounded_memory():
        async with client(world, post(world, *headers) + first) as (reader, writer):
            # Heard beside the sending: the connection may be gone before all is sent, and a reader forgets with it.
            answer = asyncio.create_task(reader.readline())
            async with asyncio.timeout(120):
                with suppress(ConnectionError):
                    for _ in range(64 * MIB // len(piece)):
                        if answer.done() or writer.is_closing():
                            break
                        writer.write(piece)
                        await writer.drain()
                assert status_of(await answer) == status
    await until(lambda: world.fleet.leased == 0)


async def test_an_instance_that_does_not_read_holds_up_its_client(world: World) -> None:
    over, ended = asyncio.Event(), asyncio.Event()

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        writer.transport.abort()
        ended.set()

    await instance(world, deaf, request_timeout_s=1.0)
    with bounded_memory():
        async with client(world, post(world, f"Content-Length: {30 * MIB}")) as (reader, writer):
            writer.transport.set_write_buffer_limits(0)
            sending = asyncio.create_task(send_all(writer, b"x" * 60_000, 500))
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 504
            sending.cancel()
    over.set()
    await ended.wait()


async def test_a_head_that_does_not_end_in_time_is_408(small: World) -> None:
    await instance(small, answers("x"))
    async with client(small, b"GET / HT") as (reader, writer):
        trickle = asyncio.create_task(send_slowly(writer))
        assert status_of(await asyncio.wait_for(reader.read(), 60)) == 408
        trickle.cancel()


async def send_slowly(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("before", ["nothing", "a request"])
async def test_an_idle_connection_ends_without_a_word(small: World, before: str) -> None:
    await instance(small, answers("x"))
    request = b"" if before == "nothing" else get(small, last=False)
    async with client(small, request) as (reader, _):
        response = await asyncio.wait_for(reader.read(), 60)
    assert response.count(b"HTTP/1.1") == (0 if before == "nothing" else 1)
    assert b"408" not in response


async def test_a_body_that_announces_too_much_meets_no_instance(small: World) -> None:
    await instance(small, answers("x"))
    response = await small.ask(post(small, "Content-Length: 1001"))
    assert status_of(response) == 413
    assert not small.logs.requests


async def test_an_answer_that_announces_too_much_is_500(small: World) -> None:
    await instance(small, floods(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", b"-", 0))
    assert status_of(await small.ask(get(small))) == 500
    await small.logged(1)
    ((_, severity, text),) = small.logs.events
    assert (severity, text) == (
        "ERROR",
        "Response size was too large. Please consider reducing response size.",
    )


async def test_a_peer_that_never_reads_the_last_of_it_is_cut_off() -> None:
    wires: list[Wire] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(wires.append), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: bool(wires))
        wires[0].write(b"x" * 32 * MIB)  # more than the system's buffers
        wires[0].end(0.2)
        await asyncio.wait_for(wires[0].ended, 60)
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
