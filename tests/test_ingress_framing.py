"""Where a message begins and ends is said once: what frames it, in heads, interim answers and trailers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ingress import World, get, open_world, until
from tests.ingress_bytes import (
    CHUNKED,
    HANDSHAKE,
    SWITCHING,
    client,
    floods,
    instance,
    post,
    status_of,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


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
