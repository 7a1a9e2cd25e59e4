"""An ingress with instances that are servers of the test itself: no process, no control plane, real sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Routes, StartFailed
from pipeline.local.front.addresses import PortBook
from pipeline.local.front.ingress import Ingress
from pipeline.local.front.limits import USUAL, Limits
from pipeline.local.front.observed import ObservedSocket
from pipeline.local.run.fleet import NoInstance

SERVICE = "projects/local/locations/here/services/chat"

Stream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeInstance:
    id: str
    spec: InstanceSpec
    port: int
    fleet: FakeFleet

    def release(self) -> None:
        self.fleet.leased -= 1


class FakeFleet:
    """One server per revision; ``leased`` counts requests on them."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.specs: dict[str, InstanceSpec] = {}
        self.leased = 0
        self.does_not_start = False

    def add(self, revision: str, port: int, **fields: Any) -> None:
        self.ports[revision] = port
        self.specs[revision] = InstanceSpec(SERVICE, revision, ContainerSpec("image"), **fields)

    async def acquire(self, service: str, revision: str, *, port: int | None = None) -> FakeInstance:
        await asyncio.sleep(0)
        if self.does_not_start:
            raise StartFailed("HEALTH_CHECK_CONTAINER_ERROR", "it exits")
        if revision not in self.ports:
            raise NoInstance
        self.leased += 1
        return FakeInstance(f"of {revision}", self.specs[revision], self.ports[revision], self)

    def has_affinity(self, service: str, revision: str) -> bool:
        return revision in self.specs and self.specs[revision].session_affinity


@dataclass
class Sink:
    """Implements ``LogSink``; keeps what it is told."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)  # revision, stream, text
    containers: list[str] = field(default_factory=list)  # of each line
    requests: list[tuple[str, Mapping[str, Any], str]] = field(
        default_factory=list
    )  # revision, fields, trace
    events: list[tuple[str, str, str]] = field(default_factory=list)  # revision, severity, text
    instances: dict[str, str] = field(default_factory=dict)  # by text, or URL, the last one

    def line(
        self, service: str, revision: str, stream: str, text: str, container: str = "", instance: str = ""
    ) -> None:
        self.instances[text] = instance
        self.containers.append(container)
        self.lines.append((revision, stream, text))

    def request(
        self, service: str, revision: str, request: Mapping[str, Any], trace: str = "", instance: str = ""
    ) -> None:
        self.instances[str(request["requestUrl"])] = instance
        self.requests.append((revision, request, trace))

    def system(
        self, service: str, revision: str, text: str, severity: str = "INFO", instance: str = ""
    ) -> None:
        self.instances[text] = instance
        self.events.append((revision, severity, text))


class World:
    """Made by ``open_world``. ``chance`` is seeded: the same case draws the same revisions."""

    def __init__(
        self, folder: Path, stack: AsyncExitStack, *, trust_forwarded: bool = False, limits: Limits = USUAL
    ) -> None:
        self.fleet = FakeFleet()
        self.logs = Sink()
        self.ports = PortBook(folder)
        self.ingress = Ingress(
            self.fleet, self.ports, self.logs,
            chance=random.Random(1011), trust_forwarded=trust_forwarded, limits=limits,
        )  # fmt: skip
        self._stack = stack

    async def websocket(
        self, revision: str, handler: Callable[[ServerConnection], Awaitable[None]], **fields: Any
    ) -> None:
        """An instance that speaks WebSocket."""
        server = await self._stack.enter_async_context(serve(handler, "127.0.0.1", 0, close_timeout=1))
        self.fleet.add(revision, server.sockets[0].getsockname()[1], **fields)

    async def tcp(self, revision: str, handler: Stream, **fields: Any) -> None:
        """An instance that does with the bytes whatever the case wants."""
        running: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await handler(reader, writer)
            with suppress(ConnectionError):
                await writer.wait_closed()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            running.add(asyncio.ensure_future(serve(reader, writer)))

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        self._stack.push_async_callback(_end, server, running)
        self.fleet.add(revision, server.sockets[0].getsockname()[1], **fields)

    async def route(self, *weights: tuple[str, int], **tags: str) -> None:
        await self.ingress.route(SERVICE, Routes(weights, tags))

    def port(self, tag: str = "") -> int:
        return self.ports.port(SERVICE, tag)

    def connect(self, tag: str = "", **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port(tag)}/ws", proxy=None, **options)

    async def ask(self, request: bytes, tag: str = "") -> bytes:
        """Everything that comes back for these bytes, until the other side ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port(tag))
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def closed(self, count: int) -> list[ObservedSocket]:
        """What was seen of the sockets, once so many have ended."""
        await until(lambda: len(self.ingress.observations.ended) >= count)
        return list(self.ingress.observations.ended)

    async def logged(self, count: int) -> list[tuple[str, Mapping[str, Any], str]]:
        await until(lambda: len(self.logs.requests) >= count)
        return self.logs.requests


@asynccontextmanager
async def open_world(
    folder: Path, *, trust_forwarded: bool = False, limits: Limits = USUAL
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(folder, stack, trust_forwarded=trust_forwarded, limits=limits)
        try:
            yield world
        finally:
            await world.ingress.close()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Return once it holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def get(world: World, path: str = "/", *headers: str, tag: str = "", last: bool = True) -> bytes:
    """A request's bytes."""
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{world.port(tag)}", *headers]
    return "\r\n".join([*lines, *(["Connection: close"] if last else []), "", ""]).encode()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def says(text: str) -> Callable[[ServerConnection], Awaitable[None]]:
    """Says one thing, then echoes."""

    async def handler(connection: ServerConnection) -> None:
        await connection.send(text)
        await echo(connection)

    return handler


def answers(text: str) -> Stream:
    """Answers each connection's first request with 200 and this text."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode()))
        writer.close()

    return handler


async def _end(server: asyncio.Server, running: set[asyncio.Task[None]]) -> None:
    server.close()
    await server.wait_closed()
    if running:
        await asyncio.wait(running, timeout=10)
