"""Whatever a peer sends or does not send, client or instance: the ingress's memory and time are bounded, and it ends."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from pipeline.local.front.limits import MIB, Limits
from pipeline.local.front.wire import Wire
from tests.ingress import World, answers, echo, get, open_world, until

SMALL = Limits(idle_s=0.3, head_s=0.3, half_closed_s=0.3, linger_s=0.3, body=1000, message=1000)
HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "==")  # fmt: skip
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
BOUND = 8 * MIB  # of what is held for one peer, the test's own buffers included

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, limits=SMALL) as made:
        yield made


def floods(first: bytes, piece: bytes, size: int) -> Handler:
    """An instance that answers with this and goes on with so many bytes of it, while somebody takes them."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            writer.write(first)
            for _ in range(size // len(piece)):
                writer.write(piece)
                await writer.drain()
            await reader.read()
        writer.close()

    return handler


async def instance(world: World, handler: Handler, **spec: float) -> None:
    await world.tcp("one", handler, **spec)
    await world.route(("one", 100))


@asynccontextmanager
async def client(
    world: World, request: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port())
    writer.write(request)
    try:
        yield reader, writer
    finally:
        writer.close()


@contextmanager
def bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < BOUND, f"{peak / MIB:.1f} MiB"


def post(world: World, *headers: str) -> bytes:
    return get(world, "/", *headers).replace(b"GET", b"POST", 1)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 60_000 + b"\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


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
            async with asyncio.timeout(120):
                with suppress(ConnectionError):
                    for _ in range(64 * MIB // len(piece)):
                        if reader.at_eof() or writer.is_closing():
                            break
                        writer.write(piece)
                        await writer.drain()
                assert status_of(await reader.read()) == status
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


async def send_all(writer: asyncio.StreamWriter, piece: bytes, times: int) -> None:
    with suppress(ConnectionError):
        for _ in range(times):
            writer.write(piece)
            await writer.drain()


async def test_some_interim_heads_pass_without_what_would_frame_a_body(world: World) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nConnection: x\r\nX: 1\r\nLink: a\r\n\r\n"
    await instance(world, floods(hint * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"-", 0))
    response = await world.ask(get(world))
    assert response.count(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n") == 3
    assert response.endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    "head",
    [
        b"Connection: Upgrade\r\nUpgrade: h2c",
        b"Connection: Upgrade\r\nUpgrade: websocket, h2c",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"X: y",
    ],
)
async def test_a_101_to_anything_but_websocket_is_503(world: World, head: bytes) -> None:
    await instance(world, floods(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n\r\n", b"-", 0))
    response = await world.ask(get(world, "/ws", *HANDSHAKE, last=False))
    assert status_of(response) == 503
    assert not world.ingress.observations.ended


async def test_a_101_says_nothing_of_a_body_or_another_hop(world: World) -> None:
    head = (
        SWITCHING[:-2]
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 1\r\nX-End: 1\r\n\r\n"
    )
    await instance(world, floods(head, b"-", 0))
    async with client(world, get(world, "/ws", *HANDSHAKE, last=False)) as (reader, _):
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    assert sorted(lines[1:-2]) == [b"Connection: Upgrade", b"Upgrade: websocket", b"X-End: 1"]


FORBIDDEN = ("Host", "Content-Length", "transfer-encoding", "Connection", "Trailer", "Authorization", "Cookie", "Set-Cookie", "X-Forwarded-For", "Content-Type", "Expect", "If-Match")  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_a_trailer_that_belongs_into_a_head_is_refused_both_ways(world: World, name: str) -> None:
    trailer = f"0\r\n{name}: 1\r\n\r\n".encode()
    seen = bytearray()

    async def records(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(4096):
                seen.extend(piece)
        writer.close()

    await instance(world, records)
    response = await world.ask(post(world, "Transfer-Encoding: chunked") + trailer)
    assert status_of(response) == 400
    assert name.encode() not in seen.partition(b"\r\n\r\n")[2]

    await instance(world, floods(CHUNKED + trailer, b"-", 0))
    with suppress(ConnectionError):
        response = await world.ask(get(world))
        assert name.encode() not in response.partition(b"\r\n\r\n")[2]


async def test_other_trailers_pass(world: World) -> None:
    await instance(world, floods(CHUNKED + b"0\r\nContent-Digest: 1\r\nServer-Timing: a\r\n\r\n", b"-", 0))
    response = await world.ask(get(world))
    assert response.endswith(b"\r\n\r\n0\r\nContent-Digest: 1\r\nServer-Timing: a\r\n\r\n")


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


async def test_an_answer_before_the_requests_end_is_the_last_of_its_connection(world: World) -> None:
    early = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    await instance(world, floods(early, b"-", 0))
    request = post(world, "Content-Length: 1000").replace(b"Connection: close\r\n", b"")
    async with client(world, request + b"half") as (reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: close" in head
        writer.write(get(world))  # these bytes are body, and no second request
        assert await reader.read() == b"ok"
    assert len(world.logs.requests) == 1


async def test_a_client_of_http_1_0_gets_no_chunks(world: World) -> None:
    await instance(world, floods(CHUNKED + b"3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nX: 1\r\n\r\n", b"-", 0))
    response = await world.ask(get(world).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b"ransfer-" not in response
    assert response.endswith(b"\r\n\r\nabcde")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ],
)
async def test_an_answer_of_two_lengths_is_503(world: World, answer: bytes) -> None:
    await instance(world, floods(answer, b"-", 0))
    assert status_of(await world.ask(get(world))) == 503


async def test_a_204_has_no_framing(world: World) -> None:
    await instance(world, floods(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"-", 0))
    assert b"ransfer-" not in await world.ask(get(world))


# WebSockets


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


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_an_instance_that_half_closes_before_its_answer_is_whole(world: World, said: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    await instance(world, handler)
    if said:
        with pytest.raises(ConnectionResetError):
            await world.ask(get(world))
    else:
        assert status_of(await world.ask(get(world))) == 503
    await until(lambda: world.fleet.leased == 0)


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
