"""The local Cloud Run's load balancer: whom it leads where, and who comes otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.local.dataplane import Routes
from pipeline.local.front.addresses import listen
from pipeline.local.front.balancer import ADDRESS, led
from tests.ingress import SERVICE, World, open_world

OTHER = "projects/p/locations/l/services/other"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("host", "header", "services", "found"),
    [
        ("candidate.chat.localhost:80", "", ("chat", "other"), ("chat", "candidate")),
        ("chat.localhost:80", "", ("chat", "other"), ("chat", "")),
        ("CHAT.localhost:80", "stable", ("chat", "other"), ("chat", "stable")),
        ("candidate.chat.localhost:80", "stable", ("chat",), ("chat", "candidate")),
        ("127.0.0.1:80", "candidate", ("chat",), ("chat", "candidate")),
        ("127.0.0.1:80", "", ("chat", "other"), ("", "")),
        ("nobody.localhost:80", "", ("chat",), ("", "")),
        ("a.b.chat.localhost:80", "", ("chat",), ("chat", "a.b")),
    ],
)
def test_where_a_request_is_led(
    host: str, header: str, services: tuple[str, ...], found: tuple[str, str]
) -> None:
    names = {f"projects/p/locations/l/services/{each}": each for each in services}
    service, tag = led(host, header, names)
    assert (names.get(service, ""), tag if service else "") == found


async def _ask(port: int, host: str, more: str = "") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n{more}\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def _says_its_name(world: World, revision: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        chain = next(line for line in head.splitlines() if line.startswith("x-forwarded-for:"))
        body = f"{revision} {chain}".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    await world.tcp(revision, answer)


async def test_an_internal_service_is_reached_through_the_balancer_alone(world: World) -> None:
    for revision in ("one", "two"):
        await _says_its_name(world, revision)
    await world.ingress.route(SERVICE, Routes((("one", 100),), {"candidate": "two"}, is_internal=True))
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    await world.ingress.balance(sock)
    for tag in ("", "candidate"):
        assert b" 404 " in (await _ask(world.port(tag), "127.0.0.1")).split(b"\r\n")[0]
    short = SERVICE.rpartition("/")[2]
    met = await _ask(port, "127.0.0.1", "X-Forwarded-For: 10.1.1.1\r\n")
    assert f"one x-forwarded-for: 10.1.1.1, 127.0.0.1, {ADDRESS}".encode() in met
    assert b"two " in await _ask(port, "127.0.0.1", "X-Revision: candidate\r\n")
    assert b"two " in await _ask(port, f"candidate.{short}.localhost")
    assert b" 404 " in (await _ask(port, "nobody.localhost")).split(b"\r\n")[0]
    assert b" 403 " in (await _ask(port, "evil.example.com")).split(b"\r\n")[0]


async def test_an_internal_service_answers_who_is_inside_at_its_own_addresses(world: World) -> None:
    await _says_its_name(world, "one")
    asked: list[tuple[int, int]] = []

    def is_inside(client: int, server: int) -> bool:
        asked.append((client, server))
        return len(asked) > 1

    world.ingress._is_inside = is_inside
    await world.ingress.route(SERVICE, Routes((("one", 100),), is_internal=True))
    assert b" 404 " in (await _ask(world.port(), "127.0.0.1")).split(b"\r\n")[0]
    assert b"one " in await _ask(world.port(), "127.0.0.1")
    assert {server for _, server in asked} == {world.port()}
    await world.ingress.route(SERVICE, Routes((("one", 100),), is_internal=True, is_disabled=True))
    assert b" 404 " in (await _ask(world.port(), "127.0.0.1")).split(b"\r\n")[0], "no address, no answer"
    await world.ingress.route(SERVICE, Routes((("one", 100),), is_disabled=True))
    assert b" 404 " in (await _ask(world.port(), "127.0.0.1")).split(b"\r\n")[0]
    assert len(asked) == 2


async def test_an_open_service_is_reached_both_ways(world: World) -> None:
    await _says_its_name(world, "one")
    await world.ingress.route(SERVICE, Routes((("one", 100),)))
    assert b"one " in await _ask(world.port(), "127.0.0.1")
