"""Clients and instances of the ingress that say bytes, whatever HTTP thinks of them."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from pipeline.local.front.limits import MIB, Limits
from tests.ingress import World, get

SMALL = Limits(idle_s=0.3, head_s=0.3, half_closed_s=0.3, linger_s=0.3, body=1000, message=1000)
HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "==")  # fmt: skip
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
BOUND = 8 * MIB  # of what is held for one peer, the test's own buffers included
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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


async def send_all(writer: asyncio.StreamWriter, piece: bytes, times: int) -> None:
    with suppress(ConnectionError):
        for _ in range(times):
            writer.write(piece)
            await writer.drain()
