"""WebSockets through the ingress: chosen by weight once, then left alone, byte for byte, and observed."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from tests.ingress import SERVICE, World, echo, get, open_world, says, until

HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


async def test_connections_are_shared_by_weight(world: World) -> None:
    weights = {"one": 70, "two": 25, "three": 5}
    for revision in weights:
        await world.websocket(revision, says(revision))
    await world.route(*weights.items())
    seen: Counter[str] = Counter()

    async def visit() -> None:
        for _ in range(60):
            async with world.connect(compression=None) as connection:
                seen[str(await connection.recv())] += 1

    await asyncio.gather(*(visit() for _ in range(10)))

    total = seen.total()
    assert total == 600
    expected = {revision: total * percent / 100 for revision, percent in weights.items()}
    chi_square = sum((seen[r] - expected[r]) ** 2 / expected[r] for r in weights)
    assert chi_square < 13.82, seen  # two degrees of freedom, p = 0.001; the draws are seeded


async def test_a_revision_without_weight_gets_nothing(world: World) -> None:
    await world.websocket("one", says("one"))
    await world.websocket("two", says("two"))
    await world.route(("one", 100), candidate="two")
    for _ in range(30):
        async with world.connect() as connection:
            assert await connection.recv() == "one"


async def test_a_tag_leads_to_its_revision_whatever_the_weights(world: World) -> None:
    await world.websocket("one", says("one"))
    await world.websocket("two", says("two"))
    await world.route(("one", 100), candidate="two", stable="one")
    for tag, revision in (("candidate", "two"), ("stable", "one")):
        async with world.connect(tag) as connection:
            assert await connection.recv() == revision
    assert len({world.port(), world.port("candidate"), world.port("stable")}) == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1001, "going"),
        (1011, "internal error"),
        (1012, ""),
        (4001, "kicked: ü ☃"),
        (4999, "r" * 120),
    ],
)
async def test_a_servers_close_arrives_as_it_was_sent_and_is_recorded(
    world: World, code: int, reason: str
) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(code, reason)

    await world.websocket("one", handler)
    await world.route(("one", 100))
    async with world.connect() as connection:
        await connection.send("now")
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
    assert ended.value.rcvd == Close(code, reason)
    (seen,) = await world.closed(1)
    assert (seen.code, seen.reason, seen.closed_by, seen.revision) == (code, reason, "server", "one")


async def test_a_clients_close_arrives_as_it_was_sent_and_is_recorded(world: World) -> None:
    arrived: list[Close | None] = []

    async def handler(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
        arrived.append(ended.value.rcvd)

    await world.websocket("one", handler)
    await world.route(("one", 100))
    async with world.connect() as connection:
        await connection.close(4002, "enough")
    (seen,) = await world.closed(1)
    assert arrived == [Close(4002, "enough")]
    assert (seen.code, seen.reason, seen.closed_by) == (4002, "enough", "client")


async def test_an_end_without_a_close_is_1006_on_both_sides(world: World) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    await world.websocket("one", handler)
    await world.route(("one", 100))
    async with world.connect() as connection:
        await connection.send("now")
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
    assert ended.value.rcvd is None
    (seen,) = await world.closed(1)
    assert (seen.code, seen.reason, seen.closed_by) == (1006, "", "server")


async def test_a_client_that_vanishes_is_1006_and_the_server_hears_of_it(world: World) -> None:
    heard = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        heard.set()

    await world.websocket("one", handler)
    await world.route(("one", 100))
    connection = await world.connect()
    connection.transport.abort()
    (seen,) = await world.closed(1)
    assert (seen.code, seen.closed_by) == (1006, "client")
    await asyncio.wait_for(heard.wait(), 60)


async def test_an_open_socket_stays_when_traffic_moves_and_its_tag_goes(world: World) -> None:
    await world.websocket("one", says("one"))
    await world.websocket("two", says("two"))
    await world.route(("one", 100), old="one")
    async with world.connect() as by_weight, world.connect("old") as by_tag:
        assert await by_weight.recv() == await by_tag.recv() == "one"
        await world.route(("two", 100))
        for connection in (by_weight, by_tag):
            await connection.send("still there?")
            assert await connection.recv() == "still there?"
        async with world.connect() as fresh:
            assert await fresh.recv() == "two"
        await world.closed(1)
        assert world.ingress.observations.open_sockets() == {(SERVICE, "one"): 2}
    assert {seen.code for seen in await world.closed(3)} == {1000}
    with pytest.raises(OSError, match=r"refused|Multiple|\[Errno"):
        await world.connect("old")


async def test_a_tag_that_comes_back_has_the_same_address(world: World) -> None:
    await world.websocket("one", says("one"))
    await world.route(("one", 100), t="one")
    before = world.ingress.uri(SERVICE, "t")
    await world.route(("one", 100))
    await world.route(("one", 100), t="one")
    assert world.ingress.uri(SERVICE, "t") == before
    async with world.connect("t") as connection:
        assert await connection.recv() == "one"


async def test_compression_is_between_the_two_ends(world: World) -> None:
    await world.websocket("one", echo)
    await world.route(("one", 100))
    text = "all work and no play " * 5000
    async with world.connect() as connection:
        assert connection.response
        assert "permessage-deflate" in connection.response.headers["Sec-WebSocket-Extensions"]
        await connection.send(text)
        assert await connection.recv() == text
    (seen,) = await world.closed(1)
    assert seen.bytes_to_server < len(text) / 20
    assert seen.bytes_to_client < len(text) / 20


async def test_pings_and_subprotocols_are_between_the_two_ends(world: World) -> None:
    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping(b"from the server"))
        await connection.send("pong came")

    await world.websocket("one", handler)
    await world.route(("one", 100))
    async with world.connect() as connection:
        assert await connection.recv() == "pong came"


async def test_large_and_fragmented_messages_pass_whole(world: World) -> None:
    await world.websocket("one", echo)
    await world.route(("one", 100))
    large = bytes(range(256)) * 3000  # 750 KiB
    async with world.connect(compression=None) as connection:
        await connection.send(large)
        assert await connection.recv() == large
        await connection.send([large[:100], large[100:70_000], large[70_000:]])
        assert await connection.recv() == large


async def test_frames_sent_with_the_handshake_are_not_lost(world: World) -> None:
    await world.websocket("one", echo)
    await world.route(("one", 100))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port())
    masked_hi = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
    writer.write(get(world, "/ws", *HANDSHAKE, last=False) + masked_hi)
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(4) == b"\x81\x02hi"
    writer.close()


async def test_a_refused_handshake_is_an_ordinary_answer(world: World) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope")
        writer.close()

    await world.tcp("one", handler)
    await world.route(("one", 100))
    with pytest.raises(InvalidStatus) as refused:
        await world.connect()
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"nope"
    ((_, logged, _),) = await world.logged(1)
    assert logged["status"] == 403
    assert not world.ingress.observations.ended


async def test_the_request_timeout_ends_a_socket_without_a_close_frame(world: World) -> None:
    await world.websocket("one", echo, request_timeout_s=0.2)
    await world.route(("one", 100))
    async with world.connect() as connection:
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
    assert ended.value.rcvd is None
    (seen,) = await world.closed(1)
    assert (seen.code, seen.closed_by) == (1006, "")
    await world.logged(1)
    ((revision, severity, text),) = world.logs.events
    assert (revision, severity) == ("one", "ERROR")
    assert "maximum request timeout" in text
    await until(lambda: world.fleet.leased == 0)


async def test_a_request_entry_is_written_when_the_socket_ends(world: World) -> None:
    await world.websocket("one", echo)
    await world.route(("one", 100))
    async with world.connect(additional_headers={"X-Cloud-Trace-Context": "abc/1;o=1"}) as connection:
        await connection.send("x" * 1000)
        await connection.recv()
        assert not world.logs.requests
    ((revision, logged, trace),) = await world.logged(1)
    (seen,) = world.ingress.observations.ended
    assert (revision, logged["status"], logged["requestMethod"]) == ("one", 101, "GET")
    assert logged["requestUrl"] == f"http://127.0.0.1:{world.port()}/ws"
    assert logged["responseSize"] == seen.bytes_to_client > 0
    assert logged["latency"] >= seen.seconds > 0
    assert trace == "projects/local/traces/abc"


async def test_a_slow_reader_holds_up_its_own_sender_and_nobody_else(world: World) -> None:
    piece, pieces = b"x" * 65_536, 1000  # 64 MiB: more than all buffers between the two ends
    sent = 0

    async def flood_or_echo(connection: ServerConnection) -> None:
        nonlocal sent
        first = await connection.recv()
        await connection.send(first)
        if first == "flood":
            for _ in range(pieces):
                await connection.send(piece)
                sent += 1
        await echo(connection)

    await world.websocket("one", flood_or_echo)
    await world.route(("one", 100))
    sock = socket.create_connection(("127.0.0.1", world.port()))
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=sock, limit=1)
    masked_flood = bytes([0x81, 0x85, 0, 0, 0, 0]) + b"flood"
    writer.write(get(world, "/ws", *HANDSHAKE, last=False) + masked_flood)
    async with world.connect() as other:
        await until(lambda: sent > 0)
        before = 0
        while sent != before:  # until the flood stands still
            before = sent
            for _ in range(20):
                await other.send("still served")
                assert await other.recv() == "still served"
        assert 0 < sent < pieces
    total = 0
    while total < len(piece) * pieces:
        total += len(await reader.read(1 << 20))
    assert sent >= pieces - 1
    writer.close()


async def test_affinity_beats_the_split(world: World) -> None:
    for revision in ("one", "two"):
        await world.websocket(revision, says(revision), session_affinity=True)
    await world.route(("one", 100))
    async with world.connect() as connection:
        assert await connection.recv() == "one"
        assert connection.response
        cookie = connection.response.headers["Set-Cookie"].partition(";")[0]
    await world.route(("two", 100))
    async with world.connect(additional_headers={"Cookie": f"other=1; {cookie}"}) as returning:
        assert await returning.recv() == "one"
        assert returning.response
        assert "Set-Cookie" not in returning.response.headers
    async with world.connect() as fresh:
        assert await fresh.recv() == "two"


async def test_without_affinity_a_cookie_means_nothing(world: World) -> None:
    for revision in ("one", "two"):
        await world.websocket(revision, says(revision))
    await world.route(("two", 100))
    cookie = f"GAESA=one.{world.fleet.ports['one']}"
    async with world.connect(additional_headers={"Cookie": cookie}) as connection:
        assert await connection.recv() == "two"
        assert connection.response
        assert "Set-Cookie" not in connection.response.headers


async def test_open_sockets_are_counted_by_revision(world: World) -> None:
    await world.websocket("one", says("one"))
    await world.route(("one", 100))
    key = (SERVICE, "one")
    connections = [await world.connect() for _ in range(3)]
    for connection in connections:
        await connection.recv()
    assert world.ingress.observations.open_sockets() == {key: 3}
    for connection in connections:
        await connection.close(1000)
    await world.closed(3)
    assert world.ingress.observations.open_sockets() == {}
    assert world.ingress.observations.closes == {(*key, 1000): 3}
    await until(lambda: world.fleet.leased == 0)


async def test_any_bytes_pass_as_they_are_in_both_directions_until_both_ends_end(world: World) -> None:
    chance = random.Random(5)
    sizes = (1, 2, 125, 126, 4096, 70_000)
    pieces = [
        b"\x82\x7f" + (n := chance.choice(sizes)).to_bytes(8, "big") + chance.randbytes(n) for _ in range(60)
    ]
    arrived = asyncio.get_running_loop().create_future()

    async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        arrived.set_result(await reader.read())  # until the client has ended its direction
        writer.write(b"last words")
        writer.close()

    await world.tcp("one", raw)
    await world.route(("one", 100))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port())
    writer.write(get(world, "/ws", *HANDSHAKE, last=False))
    await reader.readuntil(b"\r\n\r\n")
    for piece in reversed(pieces):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    assert await reader.read() == b"".join([*pieces, b"last words"])
    assert await arrived == b"".join(reversed(pieces))
    writer.close()


async def test_the_request_log_has_a_socket_once_it_ended_with_its_instance_and_length(world: World) -> None:
    await world.websocket("one", echo)
    await world.route(("one", 100))
    async with world.connect() as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"
        assert world.logs.requests == []
    await until(lambda: bool(world.logs.requests))
    ((revision, fields, _),) = world.logs.requests
    assert (revision, fields["status"]) == ("one", 101)
    assert fields["latency"] > 0
    assert world.logs.instances[fields["requestUrl"]] == "of one"
